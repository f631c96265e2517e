"""A value that nothing can be made of costs its own row, wherever in it and from whatever format it comes."""

from __future__ import annotations

import datetime as dt
import decimal
import ipaddress
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fuzz import inputs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interlock.domain.data.source import SourceRow, parse_source
from interlock.engine.cases.intake import take_in_rows
from interlock.engine.datasets.dataset_source import Reach
from interlock.engine.datasets.readiness import look_at_source
from interlock.engine.reports.quote import quote_run
from interlock.engine.sources.source import read_rows
from interlock.errors import SourceError
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.schema import payload
from pyarrow import parquet
from workflows import CONTRACTS, NAME, WORKFLOW, Workflow

IMPORTS = """
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
"""
FIELDS = """    account_id: str | None = None
    count: int | None = None
    price: Decimal | None = None
    due: date | None = None
    received_at: datetime | None = None
    ends: time | None = None
    takes: timedelta | None = None
    extra: Any = None
"""
WIDE = IMPORTS + CONTRACTS.replace("    account_id: str | None = None\n", FIELDS)


@pytest.fixture
def flow(tmp_path: Path, ledger: Any) -> Workflow:
    """The workflow with a contract of many types."""
    return Workflow(tmp_path, ledger, contracts=WIDE)


def taken_in(flow: Workflow, source: Any, run: str = "r1") -> dict[str, str]:
    """Take a source in and return the state of each case, or its reason when it is quarantined."""
    rows = source
    if isinstance(source, (str, Path)):
        rows = read_rows(parse_source(str(source)), connection=lambda name: None)
    take_in_rows(flow.session("intake", run=run), rows, contract=flow.contract("Refund"), source="inbox")
    return {key: row["reason"] or row["state"] for key, row in flow.cases().items()}


def made_of(*values: Any, column: str = "extra") -> list[SourceRow]:
    return [
        SourceRow(number=number, values={"refund_id": f"R{number}", "text": "a", column: value})
        for number, value in enumerate(values, 1)
    ]


def sound(flow: Workflow) -> bool:
    return not verify(flow.ledger).problems


def test_a_number_without_end_in_a_file_is_quarantined_by_its_field(flow, tmp_path):
    path = tmp_path / "refunds.csv"
    path.write_text(
        "refund_id,text,amount,count\nA,x,1,\nB,x,1e999,\nC,x,-inf,\nD,x,nan,\nE,x,2,99999999999999999999\n"
    )

    assert taken_in(flow, path) == {
        "A": "open",
        "B": "amount: is not a finite number",
        "C": "amount: is not a finite number",
        "D": "amount: is not a finite number",
        "E": "count: is a whole number of more than 64 bits",
    }


def test_a_row_that_lacks_something_keeps_whatever_else_a_parquet_file_holds(flow, tmp_path):
    columns = {
        "refund_id": pa.array(["A", "B"]),
        "text": pa.array([None, "b"]),
        "local": pa.array([dt.datetime(2026, 3, 1, 9), None], pa.timestamp("ns")),  # on purpose
        "zoned": pa.array([dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC), None], pa.timestamp("us", tz="Europe/Berlin")),
        "clock": pa.array([dt.time(9, 30), None]),
        "lasts": pa.array([dt.timedelta(days=1), None]),
        "price": pa.array([decimal.Decimal("0.00004"), None]),
        "raw": pa.array([b"\xff", None]),
        "large": pa.array([2**64 - 1, None], pa.uint64()),
        "parts": pa.array([{"at": dt.datetime(2026, 3, 1)}, None]),  # on purpose
    }
    parquet.write_table(
        pa.table({name: columns[name] for name in columns if name != "endless"}), tmp_path / "in.parquet"
    )

    assert taken_in(flow, tmp_path / "in.parquet") == {"A": "text: Field required", "B": "open"}
    kept = next(row["body"] for row in flow.table(payload) if row["body"]["refund_id"] == "A")
    assert (kept["local"], kept["clock"], kept["lasts"]) == ("2026-03-01T09:00:00", "09:30:00", "P1DT0S")
    assert (kept["price"], kept["raw"], kept["parts"]) == ("0.00004", "ff", {"at": "2026-03-01T00:00:00"})
    assert sound(flow)


def test_an_instant_that_python_cannot_hold_is_a_problem_of_its_row(flow, tmp_path):
    far = 253_402_300_800_000
    columns = {
        "refund_id": ["A", "B", "C"],
        "text": ["a", "b", "c"],
        "received_at": pa.array([1_772_355_600_000, far, None], pa.timestamp("ms")),
        "seen": pa.array([far, None, far], pa.timestamp("ms", tz="UTC")),
    }
    parquet.write_table(pa.table(columns), tmp_path / "far.parquet")

    states = taken_in(flow, tmp_path / "far.parquet")

    assert (states["A"], states["C"]) == ("open", "open")
    assert states["B"].startswith("received_at: ")
    assert sound(flow)


def test_a_bare_number_is_no_date_and_a_compact_date_is_the_one_that_it_is(flow, tmp_path):
    path = tmp_path / "dates.csv"
    path.write_text(
        "refund_id,text,received_at,due,takes\nA,x,20260301,20260301,\nB,x,46082,,\nC,x,,46082,\nD,x,,,90\n"
        "E,x,2026-03-01T09:00:00+01:00,2026-03-01,PT90S\n"
    )

    states = taken_in(flow, path)

    assert {key: state.partition(":")[0] for key, state in states.items()} == {
        "A": "open",
        "B": "received_at",
        "C": "due",
        "D": "takes",
        "E": "open",
    }
    bodies = {row["body"]["refund_id"]: row["body"] for row in flow.table(payload)}
    assert (bodies["A"]["received_at"], bodies["A"]["due"]) == ("2026-03-01T00:00:00Z", "2026-03-01")


DRIVERS = (
    dt.datetime(2026, 3, 1, 9),  # on purpose
    dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-12))),
    dt.time(9),
    dt.timedelta(days=1),
    uuid.UUID(int=7),
    ipaddress.ip_interface("10.0.0.1/8"),
    decimal.Decimal("NaN"),
    decimal.Decimal("1E+400"),
    memoryview(b"\x00"),
    2**200,
    object(),
    "half \ud83d",
    "\0",
    {1, 2},
    [[[{"a": float("inf")}]]],
)


@pytest.mark.parametrize("column", ["extra", "text", "unnamed", "refund_id"])
def test_whatever_a_driver_brings_costs_its_own_row_at_most(flow, column):
    given = made_of(*DRIVERS, column=column)
    good = SourceRow(number=99, values={"refund_id": "good", "text": "a"})

    states = taken_in(flow, [*given, good])

    assert states["good"] == "open"
    assert len(states) == len(DRIVERS) + 1
    assert sound(flow)
    assert taken_in(flow, [*given, good], run="r2") == states


def test_a_name_of_a_column_or_a_source_that_is_no_text_ends_nothing(flow):
    rows = [SourceRow(number=1, values={"refund_id": "A", "\ud800": 1, "x\0": 2}), *made_of("fine")]

    take_in_rows(flow.session("intake"), rows, contract=flow.contract("Refund"), source="in\udcffbox" * 200)

    assert sorted(flow.states().values()) == ["open", "quarantined"]


def test_readiness_and_quote_read_a_row_as_the_intake_does(tmp_path, sqlite_ledger):
    keyless = WORKFLOW.replace("key: refund_id", "key: refund_id, when_key_is_missing: digest")
    flow = Workflow(tmp_path, sqlite_ledger, contracts=WIDE, workflow=keyless)
    columns = {
        "text": ["a", None, "c"],
        "received_at": pa.array([1_772_355_600_000, None, 253_402_300_800_000], pa.timestamp("ms")),
        "seen": pa.array([dt.datetime(2026, 3, 1)] * 3, pa.timestamp("ns")),  # on purpose
    }
    parquet.write_table(pa.table(columns), tmp_path / "in.parquet")
    source = parse_source(str(tmp_path / "in.parquet"))
    reach = Reach(connection=lambda name: None, base=tmp_path)

    ready = look_at_source(
        source, reach, contract=flow.contract("Refund"), settings=flow.version.bundle.settings.intake
    )
    quoted = quote_run(
        flow.ledger, NAME, read_rows(source, connection=reach.connection), source="in", include=flow.include
    )
    states = list(taken_in(flow, tmp_path / "in.parquet").values())

    assert (ready["state"], ready["rows"], ready["fit"]) == ("warned", 3, states.count("open"))
    assert (quoted["cases"], quoted["quarantined"]) == (3, 2)
    assert states.count("open") == 1


def test_readiness_says_what_the_intake_would_refuse_as_a_whole(flow):
    rows = [{"text": "a"}]
    found = look_at_source(
        parse_source({"rows": rows}),
        Reach(connection=lambda name: None, base=Path()),
        contract=flow.contract("Refund"),
        settings=flow.version.bundle.settings.intake,
    )

    assert found["state"] == "withheld"
    assert "no column 'refund_id'" in " ".join(found["problems"])
    with pytest.raises(SourceError, match="no column 'refund_id'"):
        taken_in(flow, read_rows(parse_source({"rows": rows}), connection=lambda name: None))


TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXTS
    | st.binary(max_size=8)
    | st.decimals()
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.sampled_from(["1e999", "20260301", "46082", "9999-12-31T23:59:59-12:00", "PT1S", "0", object()]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.integers(), inner, max_size=3),
    max_leaves=6,
)
COLUMNS = st.sampled_from(
    ["refund_id", "text", "amount", "tier", "count", "price", "due", "received_at", "ends", "takes", "extra", "other"]
)


@settings(max_examples=inputs(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.dictionaries(COLUMNS | TEXTS, VALUES, max_size=8), min_size=1, max_size=12))
def test_no_rows_end_the_intake_with_an_error_of_python(tmp_path_factory, sqlite_ledger, given_rows):
    flow = _shared(tmp_path_factory, sqlite_ledger)
    before = len(flow.cases())
    rows = [SourceRow(number=number, values=values) for number, values in enumerate(given_rows, 1)]

    with suppress(SourceError):  # a row without the key's column
        found = take_in_rows(flow.session("intake"), rows, contract=flow.contract("Refund"), source="fuzz")
        assert found["rows"] == len(rows)
        assert len(flow.cases()) - before <= len(rows)


_FLOWS: dict[int, Workflow] = {}


def _shared(factory: pytest.TempPathFactory, ledger: Any) -> Workflow:
    if id(ledger) not in _FLOWS:
        _FLOWS[id(ledger)] = Workflow(factory.mktemp("fuzz"), ledger, contracts=WIDE)
    return _FLOWS[id(ledger)]
