"""Run by Alembic: on the connection that :func:`interlock.ledger.store.migrate.migrate` hands in."""

from alembic import context

from interlock.ledger.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
