"""
Defects in the source of the executive review, followed through to its draft: each is announced, or the run stops.

What is done to the rows is done to the last ten weeks of the shipped orders, and every task of the real Dag works.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from decision import INCLUDE, Decision
from interlock.analysis.indicator_fact import Stating
from interlock.analysis.measure import open_table
from interlock.analysis.staging import staging
from interlock.domain.agents.agent_protocol import Answer, Work
from interlock.domain.base.strict_yaml import load_yaml
from interlock.domain.data.dataset import parse_datasets
from interlock.domain.data.source import SourceRow
from interlock.domain.facts.fact import Fact
from interlock.domain.facts.indicator import parse_kpis
from interlock.domain.reviews.review import Review, review_problems
from interlock.errors import Stopped

NAME = "executive_review"
AS_OF = "2014-08-04T06:00Z"
SINCE, LAST_WEEK = "2014-05-26", "2014-07-28"

Row = dict[str, str]


def shipped(dataset: str, day: str) -> list[Row]:
    """Return the rows of the last ten weeks."""
    with (INCLUDE / NAME / "data" / f"{dataset}.csv").open(newline="", encoding="utf-8") as stream:
        return [row for row in csv.DictReader(stream) if SINCE <= row[day] <= "2014-08-03"]


ORDERS = shipped("orders", "ordered_on")


def as_csv(rows: list[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def followed(folder: Path, ledger: Any, text: str, **more: str) -> tuple[Decision, Review]:
    """Run the review on *text* in place of the orders, and return what was written."""
    flow = Decision(NAME, folder, ledger)
    sources = {}
    for dataset, content in {"orders": text, **more}.items():
        sources[dataset] = folder / f"{dataset}.csv"
        sources[dataset].write_text(content, encoding="utf-8")
    flow.run(as_of=AS_OF, sources=sources)
    (review,) = [one for key, one in flow.reviews().items() if key.endswith("/review")]
    return flow, review


def figures(review: Review, flow: Decision) -> dict[str, str]:
    known = {fact.id: fact for fact in flow.facts()}
    return {known[one.fact].name: known[one.fact].shown for one in review.figures}


def of_last_week() -> list[Row]:
    return [row for row in ORDERS if row["ordered_on"] >= LAST_WEEK and row["status"] != "rejected"]


def test_clean_orders_are_reviewed_without_a_note(tmp_path: Path, sqlite_ledger: Any):
    flow, review = followed(tmp_path, sqlite_ledger, as_csv(ORDERS))
    spent = sum(Decimal(row["line_total"]) for row in of_last_week())

    assert review.notes == []
    assert figures(review, flow)["spend"] == f"{spent:,.0f} USD"


@pytest.mark.parametrize(
    ("defect", "told"),
    [
        (lambda rows: as_csv([row for row in rows if row["ordered_on"] < "2014-07-20"]), "newest row"),
        (lambda rows: as_csv(rows).replace("vendor", "supplier", 1), "'vendor'"),
        (lambda rows: as_csv(rows)[: len(as_csv(rows)) // 60], "rows"),
        (lambda rows: as_csv(rows).rstrip()[:-12], "read to its end"),
        (lambda rows: as_csv([{**row, "line_total": str(float(row["line_total"]) * 100)} for row in rows]), "quantity"),
    ],
    ids=["stale", "renamed column", "truncated to its beginning", "cut in its last line", "totals in cents"],
)
def test_what_cannot_be_trusted_stops_the_run(
    tmp_path: Path, sqlite_ledger: Any, defect: Callable[[list[Row]], str], told: str
):
    with pytest.raises(Stopped, match=told):
        followed(tmp_path, sqlite_ledger, defect(ORDERS))


def in_euros(rows: list[Row]) -> str:
    """Give one line in forty of the last week another currency."""
    foreign = {row["line"] for row in of_last_week()[::40]}
    return as_csv([{**row, "currency": "EUR"} if row["line"] in foreign else row for row in rows])


def twice(rows: list[Row]) -> str:
    return as_csv([*rows, *rows[-20:]])


def an_empty_week(rows: list[Row]) -> str:
    return as_csv([row for row in rows if row["ordered_on"] < LAST_WEEK])


@pytest.mark.parametrize(
    ("defect", "told"),
    [(in_euros, "quarantined"), (twice, "comes twice"), (an_empty_week, "no row")],
    ids=["mixed currency", "duplicate lines", "empty week"],
)
def test_what_can_be_told_is_told_in_the_review(
    tmp_path: Path, sqlite_ledger: Any, defect: Callable[[list[Row]], str], told: str
):
    flow, review = followed(tmp_path, sqlite_ledger, defect(ORDERS))
    (case,) = [row for key, row in flow.cases().items() if key.endswith("/review")]

    assert any(told in note for note in review.notes), review.notes
    assert case["route"] == "review"
    if defect is twice:
        spent = sum(Decimal(row["line_total"]) for row in of_last_week())
        assert figures(review, flow)["spend"] == f"{spent:,.0f} USD"
    if defect is in_euros:
        kept = [row for index, row in enumerate(of_last_week()) if index % 40]
        assert figures(review, flow)["spend"] == f"{sum(Decimal(row['line_total']) for row in kept):,.0f} USD"
    if defect is an_empty_week:
        assert any(one.what == "Spend" and "no rows" in one.reason for one in review.withheld)
        assert not any("Spend" in s.text for section in review.sections for s in section.sentences)


def test_what_rests_on_a_source_that_is_not_fit_is_withheld_and_the_rest_is_said(
    tmp_path: Path, sqlite_ledger: Any, monkeypatch: pytest.MonkeyPatch
):
    """Receipts are not required: nothing is said of them, and that nothing is said is told with the reason."""
    flow = Decision(NAME, tmp_path, sqlite_ledger)
    orders = tmp_path / "orders.csv"
    orders.write_text(as_csv(ORDERS), encoding="utf-8")
    flow.run(as_of=AS_OF, sources={"orders": orders, "receipts": tmp_path / "nowhere.csv"})
    (review,) = [one for key, one in flow.reviews().items() if key.endswith("/review")]
    said = [sentence.text for section in review.sections for sentence in section.sentences]

    assert any(text.startswith("Spend") for text in said)
    assert not any("on time" in text or "units" in text for text in said)
    assert any(one.what == "Lines received on time" and "no file" in one.reason for one in review.withheld)
    assert any("no file" in note for note in review.notes)


# One row, and the sentences that rest on it


def document(path: str) -> Any:
    return load_yaml((INCLUDE / NAME / path).read_text("utf-8"), where=path)


DATASET = parse_datasets(document("datasets.yaml"))["orders"]
KPIS = parse_kpis(document("kpis/spend.yaml"))
SAMPLE = [
    {
        **dict(zip(("line", "po", "ordered_on", "vendor", "quantity", "price"), values, strict=True)),
        "product": 1,
        "status": "complete",
        "standard_price": 9.5,
        "line_total": values[4] * values[5],
        "currency": "USD",
    }
    for values in (
        (1, 1, "2014-07-21", "Litware", 10, 10.0),
        (2, 1, "2014-07-22", "Litware", 30, 9.0),
        (3, 2, "2014-07-23", "3M", 25, 11.0),
        (4, 3, "2014-07-25", "Fitness 24/7", 40, 10.0),
        (5, 4, "2014-07-28", "Litware", 20, 10.5),
        (6, 4, "2014-07-29", "Litware", 10, 9.0),
        (7, 5, "2014-07-30", "3M", 60, 11.0),
        (8, 6, "2014-07-31", "Fitness 24/7", 15, 10.0),
        (9, 7, "2014-07-10", "Fitness 24/7", 15, 10.0),
    )
]
"""The last week, the week before, and a line of neither, which no sentence rests on."""


class Written:
    """The review of *rows*, by the workflow's own KPIs and template, and which rows each sentence rests on."""

    def __init__(self, rows: list[dict[str, Any]], folder: Path) -> None:
        from interlock.agents.report import ReportWriterAgent
        from interlock.domain.agents.agent import ReportAgent
        from reviews import Texts

        given = [SourceRow(number=row["line"], values=row) for row in rows]
        at = datetime(2014, 8, 4, 6, tzinfo=UTC)
        with staging(DATASET) as staged:
            staged.add(given)
            staged.type_rows()
            staged.write_rows(folder / "rows.parquet")
        with open_table(folder / "rows.parquet") as table:
            periods = KPIS.periods("UTC")
            self.facts = Stating(KPIS, table, periods, periods.last_full(at), at, "r" * 32).state_all()
            self.rests = {
                fact.id: {row[0] for row in table.rows(fact.where, ["line"], 100)} for fact in self.facts if fact.where
            }
        self.known = {fact.id: fact for fact in self.facts}
        finding = {
            "key": "2014-07-28/review",
            "kind": "review",
            "title": "Purchasing review",
            "period": "week of 2014-07-28",
            "as_of": at.isoformat(),
            "facts": [fact.model_dump(mode="json") for fact in self.facts],
        }
        text = (INCLUDE / NAME / "prompts" / "review.yaml").read_text("utf-8")
        agent = ReportWriterAgent("w", ReportAgent(kind="report", template="t.yaml"), Texts({"t.yaml": text}))
        (answer,) = agent.answer([Work(case_id="c", case=finding)], Review)
        assert isinstance(answer, Answer), answer
        review = Review.model_validate(answer.payload)
        assert review_problems(answer.payload, finding) == []
        self.sentences = [s for section in review.sections for s in section.sentences]

    def rows_of(self, fact: Fact) -> set[int]:
        """Return the rows that a fact rests on, by its own condition or by those of what it follows from."""
        inputs: Iterator[set[int]] = (self.rows_of(self.known[one]) for one in fact.inputs)
        return self.rests.get(fact.id, set()).union(*inputs)

    def resting_on(self, line: int) -> set[int]:
        """Return the places of the sentences that rest on row *line*."""
        return {
            place
            for place, sentence in enumerate(self.sentences)
            if any(line in self.rows_of(self.known[fact]) for fact in sentence.facts)
        }


@pytest.mark.parametrize("line", [row["line"] for row in SAMPLE])
def test_changing_one_row_changes_exactly_the_sentences_that_rest_on_it(tmp_path: Path, line: int):
    before = Written(SAMPLE, tmp_path)
    changed = [
        {**row, "quantity": row["quantity"] + 1, "line_total": (row["quantity"] + 1) * row["price"]}
        if row["line"] == line
        else row
        for row in SAMPLE
    ]
    after = Written(changed, tmp_path)
    differ = {
        place
        for place, (old, new) in enumerate(zip(before.sentences, after.sentences, strict=True))
        if (old.text, old.facts) != (new.text, new.facts)
    }

    assert differ == before.resting_on(line) == after.resting_on(line)
    assert (differ == set()) is (line == 9)
