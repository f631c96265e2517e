"""Bringing the ledger's tables to the newest shape, by the numbered migrations beside this file."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from interlock.ledger.store.database import translated_errors


def alembic_config() -> Config:
    """Return Alembic's configuration for the ledger."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    return config


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring the tables to the newest shape; return the revision before and after."""
    config = alembic_config()
    with translated_errors(), engine.begin() as connection:
        before = MigrationContext.configure(connection).get_current_revision()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before, newest()


def is_made(engine: Engine) -> bool:
    """Tell whether there are tables of the ledger, of whatever shape."""
    with translated_errors(), engine.connect() as connection:
        return inspect(connection).has_table("alembic_version")


def newest() -> str:
    """Return the newest revision that this package knows."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert head is not None
    return head
