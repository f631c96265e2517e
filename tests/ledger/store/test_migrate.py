from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from interlock.errors import ConfigurationError, LedgerError
from interlock.ledger.cases.case import list_cases
from interlock.ledger.store.database import open_database
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.migrate import migrate, newest
from interlock.ledger.store.schema import STATE_TABLES, metadata


def test_the_migrations_make_exactly_the_tables_that_the_code_declares(ledger: Ledger):
    with ledger.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})

        assert compare_metadata(context, metadata) == []


def test_migrating_twice_changes_nothing(ledger: Ledger):
    assert migrate(ledger.engine) == (newest(), newest())


def test_a_ledger_without_tables_says_how_to_make_them(tmp_path):
    empty = Ledger.open(f"sqlite:///{tmp_path}/empty.db", "test")

    with pytest.raises(LedgerError, match="airflow interlock ledger migrate"):
        list_cases(empty)


def test_a_postgresql_without_tables_says_how_to_make_them(postgres):
    empty = Ledger.open(postgres.set(database="postgres").render_as_string(hide_password=False), "test")

    with pytest.raises(LedgerError, match="airflow interlock ledger migrate"):
        list_cases(empty)


def test_another_database_is_refused():
    with pytest.raises(ConfigurationError, match="'mysql'; use sqlite or postgresql"):
        open_database("mysql://somebody@somewhere/ledger")


def test_only_tables_without_personal_data_or_of_the_chain_itself_are_without_events():
    quiet = {table.name for table in metadata.sorted_tables} - {table.name for table in STATE_TABLES}

    counters = {"budget_account", "reservation", "connection_state", "permit"}
    assert quiet == {"case_secret", "payload", "case_run", "task_attempt", "audit_chain", "audit_event"} | counters
