"""
Where a number comes from: its rows in the snapshot, and the number done again from them.

A fact that rests on rows is measured once more under its own condition; one that follows from others is computed once
more from their values as the ledger keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from interlock.domain.facts.fact import Fact
from interlock.domain.facts.formula import compute
from interlock.domain.facts.indicator import parse_kpis
from interlock.engine.datasets.snapshot import Snapshots
from interlock.engine.facts.anomaly_fact import BY_BASELINE, expected_again
from interlock.engine.facts.kpi_fact import table_of
from interlock.errors import SourceError, Tampered
from interlock.ledger.facts.fact import find_fact, inputs_of
from interlock.ledger.runs.run import load_run
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Reading, Run


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """All that is known of where a fact comes from."""

    fact: Fact
    run: Run
    reading: Reading
    inputs: list[Fact]
    """The facts that it follows from."""
    columns: list[str]
    """Of ``rows``: the row's number in its source, then the dataset's columns."""
    rows: list[tuple[Any, ...]]
    """The first of the rows that it rests on."""
    again: Decimal | None
    """The value, done again."""
    is_confirmed: bool | None
    """Whether it came out the same over the same rows; None: it cannot be done again here."""
    problem: str = ""
    """Why it cannot be done again, or what differs."""


def trace(
    ledger: Ledger, fact_id: str, snapshots: Snapshots, *, limit: int = 50, reading_id: str | None = None
) -> Provenance:
    """
    Return where fact *fact_id* comes from.

    :param limit: how many of its rows are returned.
    :param reading_id: the reading that it was stated from; default: the newest. Runs that read the same rows state the
        same fact, each with the quality that its own reading had.
    :raises UnknownName: there is no such fact.
    """
    with ledger.read() as connection:
        fact, run, reading = find_fact(connection, ledger.environment, fact_id, reading_id=reading_id)
        inputs = inputs_of(connection, run.id, fact)
    known: dict[str, Any] = {"fact": fact, "run": run, "reading": reading, "inputs": inputs}
    known |= {"columns": [], "rows": [], "again": None, "is_confirmed": None}
    if fact.withheld:
        return Provenance(**known, problem=fact.withheld)
    if fact.inputs:
        again = compute(fact.expression, [one.value for one in inputs])
        return Provenance(**known | {"again": again, "is_confirmed": again == fact.value})
    with ledger.read() as connection:
        bundle = load_run(connection, run.id).version.bundle
    if fact.kind == "target":
        again = parse_kpis(bundle.document(fact.expression.rpartition(" ")[2])).pick(fact.indicator).target
        return Provenance(**known | {"again": again, "is_confirmed": again == fact.value})
    try:
        columns, rows = rows_of(snapshots, reading, fact, limit=limit)
        dataset = bundle.datasets[fact.dataset]
        with table_of(snapshots, reading, dataset) as table:
            measured = table.measure(fact.expression if BY_BASELINE not in fact.expression else "count(*)", fact.where)
            again = measured.value
            if BY_BASELINE in fact.expression:
                kpis = parse_kpis(bundle.document(fact.expression.rpartition(" ")[2]))
                again = expected_again(kpis, dataset, table, fact)
    except (SourceError, Tampered) as error:
        return Provenance(**known, problem=str(error))
    same = (again, measured.rows, measured.digest) == (fact.value, fact.rows, fact.rows_digest)
    problem = "" if same else f"now {again} over {measured.rows} rows"
    return Provenance(
        **known | {"columns": columns, "rows": rows, "again": again, "is_confirmed": same, "problem": problem}
    )


def rows_of(
    snapshots: Snapshots, reading: Reading, fact: Fact, *, limit: int = 50
) -> tuple[list[str], Sequence[tuple[Any, ...]]]:
    """
    Return the columns and the first *limit* of the rows that *fact* rests on: the row's number in its source first.

    :raises SourceError: the snapshot is not kept any more.
    """
    columns = [name for name, _ in reading.columns]
    with table_of(snapshots, reading) as table:
        return ["row", *columns], table.rows(fact.where or "false", columns, limit)
