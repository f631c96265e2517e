"""
Defects that data come with: each is put into a good file of purchase orders, and must be told at its severity.

A week before, the run read a good file. What is asserted is what a report rests on: the state of the reading, the
reasons by severity, the rows that went on, and that the ledger has the same result beside the reading.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.domain.policy.company import COMPANY, Company
from interlock.engine.datasets.dataset_check import check_dataset
from interlock.engine.datasets.reading import read_dataset
from interlock.engine.datasets.snapshot import Snapshots
from interlock.engine.policy.bundle import read_bundle
from interlock.engine.policy.publication import problems_of
from interlock.errors import Stopped
from interlock.ledger.store.schema import quality_report
from interlock.ledger.store.schema import reading as reading_table
from workflows import Workflow

AS_OF = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday: the week before is over."""
BEFORE = AS_OF - timedelta(weeks=1)
WEEKS, A_DAY = 12, 12

DATASETS = """
orders:
  source: {source}
  time: ordered_on
  columns:
    order_id: string
    ordered_on: date
    approved_at: datetime
    vendor: string
    category: string
    quantity: integer
    price: decimal
    amount: decimal
    currency: string
    cost_centre: string
  key: [order_id]
  suite: orders
  fresh: 2d
  volume: {{min: 500, max: 5000, change: 0.4}}
  controls:
    - {{name: ledger total, total: sum(amount), source: {control}, column: total}}
    - {{name: lines multiply, total: sum(amount), equals: sum(quantity * price), tolerance: 0.01}}
"""

SUITE = """
suite: orders
expectations:
  - {name: all is in dollars, expect: column_values_to_be_in_set, column: currency, value_set: [USD]}
  - name: nothing is bought back
    expect: column_values_to_be_between
    column: amount
    min_value: 0
    max_value: 30000
    quarantine: true
  - name: categories are those of the catalogue
    expect: column_values_to_be_in_set
    column: category
    value_set: [office, travel, software, parts]
    severity: warning
    caps_confidence: 0.6
    quarantine: true
  - {name: order ids, expect: column_values_to_match_regex, column: order_id, regex: "^PO-[0-9]{6}$"}
  - name: most orders have a cost centre
    expect: column_values_to_not_be_null
    column: cost_centre
    mostly: 0.95
    severity: info
"""

WIRING = Wiring({"check": WiredTask(task_id="check", kind="data", dataset="orders")})
FIELDS = (
    "order_id",
    "ordered_on",
    "approved_at",
    "vendor",
    "category",
    "quantity",
    "price",
    "amount",
    "currency",
    "cost_centre",
)


def good_rows(until: datetime = AS_OF) -> list[dict[str, Any]]:
    """Return twelve weeks of orders before *until*; the same order is the same row, whatever *until* is."""
    first, found = AS_OF.date() - timedelta(weeks=WEEKS), []
    for number in range(WEEKS * 7 * A_DAY):
        day = first + timedelta(days=number // A_DAY)
        if day >= until.date():
            break
        draw = random.Random(number)  # data of a test
        quantity, price = draw.randint(1, 9), round(draw.uniform(5, 400), 2)
        found.append(
            {
                "order_id": f"PO-{number:06}",
                "ordered_on": day.isoformat(),
                "approved_at": f"{day}T{8 + number % 9:02}:30:00Z",
                "vendor": draw.choice(["Müller & Söhne", "Acme", "Bolt", "Café Zürich"]),
                "category": draw.choice(["office", "travel", "software", "parts"]),
                "quantity": quantity,
                "price": f"{price:.2f}",
                "amount": f"{quantity * price:.2f}",
                "currency": "USD",
                "cost_centre": f"CC{draw.randint(10, 40)}",
            }
        )
    return found


def write_csv(path: Path, rows: list[dict[str, Any]], fields: tuple[str, ...] | None = None) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fields or tuple(rows[0]) if rows else FIELDS)
        writer.writeheader()
        writer.writerows(rows)


def total_of(rows: list[dict[str, Any]]) -> str:
    return f"{sum(round(float(row['amount']) * 100) for row in rows) / 100:.2f}"


class Desk:
    """The dataset of purchase orders, its files, and a run a week earlier."""

    def __init__(self, folder: Path, ledger: Any) -> None:
        self.file, self.control = folder / "orders.csv", folder / "control.csv"
        self.snapshots = Snapshots(folder / "snapshots")
        self.folder = folder
        self.workflow = Workflow(folder, ledger)
        self.workflow.wiring = WIRING
        self.workflow.write("datasets.yaml", DATASETS.format(source=self.file, control=self.control))
        self.workflow.write("expectations/orders.yaml", SUITE)
        self.workflow.publish()
        earlier = good_rows(BEFORE)
        self.put(earlier)
        assert self.read("before", as_of=BEFORE)["state"] == "fit"
        self.rows = good_rows()
        self.put(self.rows)

    def put(self, rows: list[dict[str, Any]], *, total: str | None = None) -> None:
        write_csv(self.file, rows)
        self.control.write_text(f"total\n{total or total_of(rows)}\n")

    def read(self, run: str = "now", *, as_of: datetime = AS_OF, source: Any = None) -> dict[str, Any]:
        """Return the reading; one that is not fit stops the run, and is in the ledger."""
        try:
            read_dataset(
                self.workflow.session("check", run=run),
                "orders",
                connection=lambda conn_id: None,
                snapshots=self.snapshots,
                check=check_dataset,
                as_of=as_of,
                source=source,
            )
            stopped = False
        except Stopped:
            stopped = True
        reading = self.workflow.table(reading_table)[-1]
        assert stopped == (reading["state"] == "withheld")
        return reading

    def failed(self, reading: dict[str, Any]) -> dict[str, tuple[str, str]]:
        """Return check or expectation to (severity, message), of what failed, as the ledger has it."""
        return {
            result["name"]: (result["severity"], result["message"])
            for report in self.workflow.table(quality_report)
            if report["reading_id"] == reading["id"]
            for result in report["results"]
            if not result["success"]
        }


@pytest.fixture
def desk(tmp_path: Path, sqlite_ledger: Any) -> Desk:
    return Desk(tmp_path, sqlite_ledger)


def test_a_good_file_is_fit_and_nothing_is_said_of_it(desk: Desk):
    reading = desk.read()

    assert (reading["state"], reading["row_count"], reading["quarantined"]) == ("fit", WEEKS * 7 * A_DAY, 0)
    assert reading["reasons"] == {"critical": [], "warning": [], "info": []}
    assert desk.failed(reading) == {}


Rows = list[dict[str, Any]]
Defect = Callable[[Desk, Rows], Rows | None]
"""Spoils the rows, or the files themselves and returns None."""

DEFECTS: list[tuple[str, str, str, Defect]] = []
"""What is wrong, the severity at which it must be told, words of the sentence, and what brings it about."""


def defect(severity: str, words: str) -> Callable[[Defect], Defect]:
    def add(spoil: Defect) -> Defect:
        DEFECTS.append((spoil.__name__, severity, words, spoil))
        return spoil

    return add


def last_week(rows: Rows) -> Iterator[dict[str, Any]]:
    return (row for row in rows if row["ordered_on"] >= BEFORE.date().isoformat())


def renamed(rows: Rows, old: str, new: str) -> Rows:
    return [{new if name == old else name: value for name, value in row.items()} for row in rows]


@defect("critical", "column 'vendor' is gone; 'vendor_name' is new: renamed?")
def column_renamed_overnight(desk: Desk, rows: Rows) -> Rows:
    return renamed(rows, "vendor", "vendor_name")


@defect("critical", "column 'amount' is gone")
def column_dropped(desk: Desk, rows: Rows) -> None:
    write_csv(desk.file, [{name: value for name, value in row.items() if name != "amount"} for row in rows])


@defect("warning", "'discount' is not declared")
def column_added(desk: Desk, rows: Rows) -> Rows:
    return [{**row, "discount": "0"} for row in rows]


@defect("critical", "all is in dollars: ")
def currency_mixed_in(desk: Desk, rows: Rows) -> Rows:
    for row in list(last_week(rows))[::5]:
        row["currency"] = "EUR"
    return rows


@defect("critical", "no line end. Was it written to its end?")
def file_cut_in_a_line(desk: Desk, rows: Rows) -> None:
    desk.file.write_bytes(desk.file.read_bytes()[:-40])


@defect("warning", "has no line end after its last line")
def file_cut_in_its_last_field(desk: Desk, rows: Rows) -> None:
    desk.file.write_bytes(desk.file.read_bytes()[:-3])


@defect("critical", "off the control total, and 0 is allowed")
def file_cut_between_lines(desk: Desk, rows: Rows) -> None:
    lines = desk.file.read_bytes().splitlines(keepends=True)
    desk.file.write_bytes(b"".join(lines[:-5]))


@defect("warning", "3 rows have the order_id of another and are quarantined")
def exact_duplicates(desk: Desk, rows: Rows) -> Rows:
    desk.put(rows + rows[-3:], total=total_of(rows))
    return None  # type: ignore[return-value]


@defect("warning", "2 of them have other values, so one of the two is wrong")
def keys_twice_with_other_values(desk: Desk, rows: Rows) -> None:
    desk.put(rows + [{**row, "vendor": "Other"} for row in rows[-2:]], total=total_of(rows))


@defect("warning", "approved_at: 924 with +00:00, 84 without a zone")
def times_without_a_zone_from_a_day_on(desk: Desk, rows: Rows) -> Rows:
    for row in last_week(rows):
        row["approved_at"] = row["approved_at"].removesuffix("Z")
    return rows


@defect("warning", "differ from the reading before")
def all_times_moved_by_an_hour(desk: Desk, rows: Rows) -> Rows:
    for row in rows:
        row["approved_at"] = row["approved_at"].replace(":30:00Z", ":30:00+01:00")
    return rows


@defect("critical", "ordered_on: is no date")
def days_in_another_form(desk: Desk, rows: Rows) -> Rows:
    for row in last_week(rows):
        year, month, day = row["ordered_on"].split("-")
        row["ordered_on"] = f"{day}/{month}/{year}"
    return rows


@defect("warning", "4 rows lie in the future")
def days_in_the_future(desk: Desk, rows: Rows) -> None:
    ahead = [{**row, "order_id": f"PO-9{n:05}", "ordered_on": "2199-01-01"} for n, row in enumerate(rows[:4])]
    desk.put(rows + ahead, total=total_of(rows))


@defect("critical", "older than the instant of the reading")
def file_of_last_week(desk: Desk, rows: Rows) -> Rows:
    return good_rows(BEFORE)


@defect("critical", "not even a header")
def file_without_a_byte(desk: Desk, rows: Rows) -> None:
    desk.file.write_bytes(b"")


@defect("critical", "0 rows are fewer than 500")
def file_with_a_header_alone(desk: Desk, rows: Rows) -> None:
    write_csv(desk.file, [])


@defect("warning", "2026-02-28 has no row, and others have")
def a_day_is_empty(desk: Desk, rows: Rows) -> Rows:
    return [row for row in rows if row["ordered_on"] != "2026-02-28"]


@defect("warning", "2026-03-01 has no row, and it is over")
def the_last_day_is_empty(desk: Desk, rows: Rows) -> Rows:
    return [row for row in rows if row["ordered_on"] != "2026-03-01"]


@defect("critical", "are fewer than 500")
def half_of_the_rows(desk: Desk, rows: Rows) -> Rows:
    return rows[: len(rows) // 2 - 20]


@defect("warning", "against the 924 of the reading before")
def a_third_of_the_rows_is_gone(desk: Desk, rows: Rows) -> Rows:
    return rows[480:]


@defect("warning", "has 36 rows, +200% against the usual 12")
def the_last_day_came_three_times(desk: Desk, rows: Rows) -> Rows:
    again = [row for row in rows if row["ordered_on"] == "2026-03-01"]
    return rows + [{**row, "order_id": f"PO-8{n:05}"} for n, row in enumerate(again * 2)]


@defect("warning", "cost_centre is empty in")
def a_burst_of_empty_values(desk: Desk, rows: Rows) -> Rows:
    for row in rows[-36::3]:
        row["cost_centre"] = ""
    return rows


@defect("warning", "3 of 1008 rows are quarantined (nothing is bought back: 3)")
def negative_amounts(desk: Desk, rows: Rows) -> None:
    kept = total_of(rows[:-3])
    for row in rows[-3:]:
        row["amount"], row["quantity"] = f"-{row['amount']}", -row["quantity"]
    desk.put(rows, total=kept)


@defect("critical", "control ledger total: sum(amount) is -")
def one_amount_a_hundred_times_too_large(desk: Desk, rows: Rows) -> Rows:
    rows[-1]["amount"] = f"{float(rows[-1]['price']) * rows[-1]['quantity'] * 100:.2f}"
    return rows


@defect("warning", "times larger since 2026-02-27: another unit?")
def amounts_in_another_unit(desk: Desk, rows: Rows) -> Rows:
    for row in rows[-36:]:
        row["price"] = f"{float(row['price']) * 6:.2f}"
        row["amount"] = f"{float(row['amount']) * 6:.2f}"
    return rows


@defect("warning", "categories are those of the catalogue: 2 of 1008 rows fail")
def category_misspelt(desk: Desk, rows: Rows) -> None:
    desk.control.write_text(f"total\n{total_of(rows[:-2])}\n")
    for row in rows[-2:]:
        row["category"] = "ofice"
    write_csv(desk.file, rows)


@defect("critical", "amount: is no decimal")
def decimal_commas(desk: Desk, rows: Rows) -> None:
    for row in last_week(rows):
        row["amount"] = row["amount"].replace(".", ",")
    write_csv(desk.file, rows)


@defect("warning", "look like UTF-8 that was read as another encoding")
def texts_in_the_wrong_encoding(desk: Desk, rows: Rows) -> Rows:
    for row in rows:
        row["vendor"] = row["vendor"].encode().decode("cp1252")
    return rows


@defect("critical", "is not utf-8: byte 0x")
def file_in_another_encoding(desk: Desk, rows: Rows) -> None:
    desk.file.write_text(desk.file.read_text("utf-8"), encoding="cp1252")


@defect("critical", "is -0.01 off the control total")
def control_total_off_by_a_cent(desk: Desk, rows: Rows) -> None:
    desk.control.write_text(f"total\n{float(total_of(rows)) + 0.01:.2f}\n")


@defect("critical", "there is no file")
def control_total_is_not_there(desk: Desk, rows: Rows) -> None:
    desk.control.unlink()


@defect("critical", "order ids: ")
def columns_swapped(desk: Desk, rows: Rows) -> Rows:
    return [{**row, "order_id": row["vendor"], "vendor": row["order_id"]} for row in rows]


@defect("critical", "quantity: is no integer")
def amounts_where_quantities_belong(desk: Desk, rows: Rows) -> Rows:
    for row in rows:
        row["quantity"] = "12.5"
    return rows


@defect("warning", "6 were missing then")
def rows_came_late(desk: Desk, rows: Rows) -> Rows:
    return rows + [{**row, "order_id": f"PO-5{n:05}"} for n, row in enumerate(rows[100:106])]


@defect("warning", "1 are gone")
def rows_of_the_past_are_gone(desk: Desk, rows: Rows) -> Rows:
    return rows[:50] + rows[51:]


@defect("critical", "has 9 fields where the header has 10: 112")
def a_separator_too_few_in_many_lines(desk: Desk, rows: Rows) -> None:
    lines = desk.file.read_text("utf-8").splitlines(keepends=True)
    desk.file.write_text("".join(line.replace(",USD,", ",") if n % 9 == 0 else line for n, line in enumerate(lines)))


@pytest.mark.parametrize(("what", "severity", "words", "spoil"), DEFECTS, ids=[name for name, *_ in DEFECTS])
def test_a_defect_is_told_at_its_severity(desk: Desk, what: str, severity: str, words: str, spoil: Defect):
    spoiled = spoil(desk, desk.rows)
    if spoiled is not None:
        desk.put(spoiled)

    reading = desk.read()

    told = reading["reasons"]
    assert [reason for reason in told[severity] if words in reason], told
    assert reading["state"] == {"critical": "withheld", "warning": "warned"}[severity], told
    failed = desk.failed(reading)
    assert (severity, True) in {(found, words in f"{name}: {message}") for name, (found, message) in failed.items()}


def test_there_are_twenty_kinds_of_defect_at_least():
    assert len({name for name, *_ in DEFECTS}) >= 30


def test_a_control_that_is_no_sql_is_told_before_it_is_published(desk: Desk):
    datasets = (
        (desk.workflow.include / "refunds" / "datasets.yaml").read_text().replace("sum(quantity * price)", "sum(qty)")
    )
    desk.workflow.write("datasets.yaml", datasets)
    bundle = read_bundle(desk.workflow.include, "refunds")

    [told] = problems_of(
        bundle, Company(read_bundle(desk.workflow.include, COMPANY)), environment="test", wiring=WIRING
    )

    assert told.startswith("datasets.yaml, orders, control 'lines multiply': 'sum(qty)' cannot be computed")
