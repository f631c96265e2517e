"""What a driver is given for a row has the digest that the row itself has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from interlock.ledger.store.bulk_write import RowForm
from interlock.ledger.store.column import Json, Money, UtcDateTime
from interlock.ledger.store.ledger import Ledger, as_dict
from interlock.ledger.store.schema import metadata, notice
from interlock.ledger.store.transaction import Actor, row_digest
from sqlalchemy import Boolean, Float, Integer, LargeBinary, Table, select
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

NEW_YORK = timezone(timedelta(hours=-5))
VALUES = {
    UtcDateTime: [datetime(2026, 11, 24, 9, tzinfo=UTC), datetime(1999, 12, 31, 23, 59, 59, 1, tzinfo=NEW_YORK)],
    Json: [{"b": [1, 2.5, None], "a": {"é": "\u2028", "at": datetime(2026, 1, 1, tzinfo=NEW_YORK)}}, []],
    Money: [Decimal("0.10"), Decimal("1E+2")],
    Boolean: [True, False],
    Integer: [0, -7],
    Float: [0.1, 1e-12],
    LargeBinary: [b"\x00\xff", b""],
}
TEXTS = ['" \\ \n 🚂 \u2028 100 % ?', ""]


def a_row(table: Table, which: int) -> dict[str, Any]:
    kinds = [next((k for k in VALUES if isinstance(column.type, k)), None) for column in table.columns]
    return {
        column.name: VALUES.get(kind, TEXTS)[which]  # type: ignore[call-overload]  # None: a text
        for column, kind in zip(table.columns, kinds, strict=True)
    }


@pytest.mark.parametrize("dialect", [SQLiteDialect_pysqlite(), PGDialect_psycopg()], ids=["sqlite", "postgresql"])
@pytest.mark.parametrize("table", metadata.tables.values(), ids=lambda table: table.name)
def test_what_is_stored_has_the_digest_of_the_row(table: Table, dialect):
    form = RowForm(table, dialect)
    rows = [a_row(table, 0), a_row(table, 1), dict.fromkeys(table.columns.keys())]

    said = [form.digest(form.stored(row)) for row in rows]

    assert said == [row_digest(table, row) for row in rows]


def test_a_naive_instant_is_refused(ledger: Ledger):
    form = RowForm.of(notice, ledger.engine.dialect)
    row = a_row(notice, 0)
    instant = next(column.name for column in notice.columns if isinstance(column.type, UtcDateTime))

    with pytest.raises(ValueError, match="no time zone"):
        form.stored({**row, instant: datetime(2026, 1, 1)})


def test_a_row_that_leaves_columns_out_is_stored_with_their_defaults(ledger: Ledger):
    """And what stands there afterwards is what was written, on either database."""
    whole = a_row(notice, 0) | {"recipients": ["ann@example.com"]}
    given = {c.name: whole[c.name] for c in notice.columns if not c.nullable and c.name != "revision"}

    with ledger.write(actor=Actor("person", "ann"), chain="a") as tx:
        tx.insert(notice, [given], kind="noted")

    with ledger.read() as connection:
        there = as_dict(connection.execute(select(notice)).one())
    assert there == given | {"error": None, "tried_at": None, "revision": 1}
