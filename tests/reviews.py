"""
Findings and reviews for tests, from facts that are measured: orders in a table, stated as the operators state them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from interlock.agents.report import ReportWriterAgent
from interlock.analysis.indicator_fact import Stating
from interlock.analysis.measure import open_table
from interlock.analysis.staging import staging
from interlock.domain.agents.agent import ReportAgent
from interlock.domain.agents.agent_protocol import Answer, Work
from interlock.domain.data.dataset import Dataset
from interlock.domain.data.source import SourceRow
from interlock.domain.facts.fact import Fact
from interlock.domain.facts.finding import Finding
from interlock.domain.facts.indicator import parse_kpis
from interlock.domain.reviews.review import Review
from interlock.errors import UnknownName

AS_OF = datetime(2014, 6, 23, tzinfo=UTC)
WEEK = "week of 2014-06-16"

DECLARED = {
    "source": "orders.csv",
    "time": "day",
    "columns": {"day": "date", "vendor": "string", "amount": "decimal", "on_time": "boolean"},
}
DATASET = Dataset.model_validate(DECLARED)
MEASURED: dict[str, Any] = {
    "kpis": "orders",
    "dataset": "orders",
    "period": "week",
    "indicators": {
        "spend": {"title": "Spend", "value": "sum(amount)", "unit": "USD", "explain": ["vendor"]},
        "orders": {"title": "Orders", "value": "count(*)", "decimals": 0},
        "punctual": {
            "title": "Orders on time",
            "value": "count(*) FILTER (WHERE on_time)",
            "per": "count(*)",
            "unit": "%",
            "decimals": 1,
            "compare": ["previous", "target"],
            "target": 98,
        },
    },
}
KPIS = parse_kpis(MEASURED)

ORDERS: tuple[tuple[str, str, str, str], ...] = (
    ("2014-06-09", "Fitness 24/7", "1000.00", "true"),
    ("2014-06-10", "3M", "300.50", "true"),
    ("2014-06-11", "Litware", "42.00", "true"),
    ("2014-06-16", "Fitness 24/7", "1500.00", "true"),
    ("2014-06-17", "3M", "120.25", "false"),
    ("2014-06-18", "Litware", "42.00", "true"),
    ("2014-06-20", "Litware", "10.00", "true"),
)
"""Day, vendor, amount and whether it came on time: two weeks of orders."""


def measured(
    rows: Iterable[Sequence[str]] = ORDERS,
    *,
    withheld: str = "",
    reading: str = "r" * 32,
    keep: Callable[[Path, str], None] | None = None,
) -> list[Fact]:
    """
    Return the facts of the week in *rows*.

    :param withheld: why none has a value.
    :param keep: is given the snapshot and its digest.
    """
    source = [
        SourceRow(number=number, values=dict(zip(DATASET.columns, row, strict=True)))
        for number, row in enumerate(rows, 1)
    ]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        with staging(DATASET) as staged:
            staged.add(source)
            staged.type_rows()
            digest = staged.write_rows(file)
        if keep is not None:
            keep(file, digest)
        with open_table(file) as table:
            periods = KPIS.periods("UTC")
            period = periods.last_full(AS_OF)
            stating = Stating(KPIS, table, periods, period, AS_OF, reading)
            return stating.withhold_all(withheld) if withheld else stating.state_all()


def stated(workflow: Any, snapshots: Path, rows: Iterable[Sequence[str]] = ORDERS) -> list[Fact]:
    """Return the facts of the week, written to the ledger by a run of *workflow*, with their snapshot."""
    from interlock.engine.datasets.snapshot import Snapshots
    from interlock.ledger.facts.fact import write_facts
    from interlock.ledger.store.schema import reading

    session, kept, reading_id = workflow.session("intake"), [], "d" * 32

    def _keep(file: Path, digest: str) -> None:
        Snapshots(snapshots).put(file, digest)
        kept.append(digest)

    given = list(rows)
    facts = measured(given, reading=reading_id, keep=_keep)
    with session.write() as tx:
        row = {
            "id": reading_id, "run_id": session.run.id, "task": "intake", "dataset": "orders", "source": "orders.csv",
            "as_of": AS_OF, "state": "fit", "reasons": {"critical": [], "warning": [], "info": []},
            "row_count": len(given), "quarantined": 0, "columns": [list(pair) for pair in DATASET.columns.items()],
            "newest_at": None,
            "snapshot": kept[0], "quarantine": None, "created_at": tx.at,
        }  # fmt: skip
        tx.insert(reading, [row], kind="dataset.read", facts=lambda r: {"dataset": "orders"})
        write_facts(tx, session.run, "intake", facts)
    return facts


def a_fact(name: str = "spend", value: str | None = "12345.60", **fields: Any) -> Fact:
    """Return a fact of the week."""
    given: dict[str, Any] = {
        "name": name,
        "indicator": name.partition(".")[0],
        "kind": "value",
        "label": "Spend",
        "value": None if value is None else Decimal(value),
        "unit": "USD",
        "period": WEEK,
        "period_start": datetime(2014, 6, 16, tzinfo=UTC),
        "period_end": AS_OF,
        "as_of": AS_OF,
        "dataset": "orders",
        "reading": "r" * 32,
        "where": "true",
        "expression": "sum(amount)",
        "rows": 7,
        "rows_digest": "0" * 32,
    }
    return Fact(**(given | fields)).identified()


def a_finding(facts: Sequence[Fact], **fields: Any) -> dict[str, Any]:
    """Return a finding of kind ``review`` over *facts*, of JSON types."""
    given: dict[str, Any] = {
        "key": "2014-06-16/review",
        "kind": "review",
        "title": "Purchasing review",
        "period": WEEK,
        "period_end": AS_OF.isoformat(),
        "as_of": AS_OF.isoformat(),
        "facts": list(facts),
    }
    return Finding.model_validate(given | fields).model_dump(mode="json")


class Texts:
    """A workflow's files."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    def text(self, path: str) -> str:
        if path not in self.texts:
            raise UnknownName("file", path, self.texts)
        return self.texts[path]

    def data(self, path: str) -> Path:
        raise UnknownName("file", path, ())

    def data_digest(self, path: str) -> str:
        raise UnknownName("file", path, ())


def a_writer(template: str = "") -> ReportWriterAgent:
    """Return the agent that writes by *template*."""
    return ReportWriterAgent("writer", ReportAgent(kind="report", template="t.yaml"), Texts({"t.yaml": template}))


def written(finding: Mapping[str, Any], template: str = "") -> Review:
    """Return the review that *template* gives of *finding*."""
    (answer,) = a_writer(template).answer([Work(case_id="c", case=finding)], Review)
    assert isinstance(answer, Answer), answer
    return Review.model_validate(answer.payload)


def sentences(review: Review) -> list[str]:
    """Return all sentences of *review*."""
    return [sentence.text for section in review.sections for sentence in section.sentences]


CONTRACTS = """
from interlock.domain.contract import Contract
from interlock.domain.facts.finding import Finding
from interlock.domain.reviews.review import Review


class Refund(Finding):
    refund_id: str
    text: str = "sure=0.95"


class Verdict(Contract):
    kind: str


class Letter(Review):
    pass
"""
POLICY = """
policy: refunds
contract: Refund
rules: []
default: review
gates:
  leads: {routes: [review], voters: leads, votes: 1, sees: [Letter]}
checks:
  - {name: every number is a fact's, numbers: letter, on_failure: stop}
"""
AGENTS = """
judge: {kind: function, function: "workflows:judge"}
careful_judge: {kind: function, function: "workflows:judge_again"}
writer: {kind: report, template: prompts/review.yaml}
"""


def review_workflow(folder: Path, ledger: Any, *, template: str = "review: {}\n", **files: str) -> Any:
    """Return the tiny workflow of tests with findings for refunds and reviews for letters."""
    from workflows import Workflow

    texts = {"contracts": CONTRACTS, "policy": POLICY, "agents": AGENTS} | files
    made = Workflow(folder, ledger, **texts)
    made.write("prompts/review.yaml", template)
    made.write("datasets.yaml", yaml.safe_dump({"orders": DECLARED}))
    made.write("kpis/orders.yaml", yaml.safe_dump(MEASURED))
    made.version = made.publish()
    return made


def finding_rows(*findings: Mapping[str, Any]) -> list[SourceRow]:
    """Return *findings* as the rows of a source of :func:`review_workflow`."""
    return [
        SourceRow(number=number, values={**finding, "refund_id": f"R{number}"})
        for number, finding in enumerate(findings, 1)
    ]
