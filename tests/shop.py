"""
A small workflow of decision support for tests: a shop's sales by week, with a review and an insight.

``Shop(folder, ledger, rows)`` writes the workflow and its data and puts it in force; ``shop.run()`` runs the tasks up
to the cases that the intake opened, as of an instant.
"""

from __future__ import annotations

import csv
import textwrap
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.domain.facts.fact import Fact
from interlock.domain.facts.finding import Finding
from interlock.engine.cases.intake import take_in_rows
from interlock.engine.datasets.dataset_check import check_dataset
from interlock.engine.datasets.reading import read_dataset
from interlock.engine.datasets.snapshot import Snapshots
from interlock.engine.facts.insight_case import finding_rows
from interlock.engine.facts.kpi_fact import state_kpis
from interlock.engine.runs.session import Session, open_session
from interlock.ledger.cases.case import load_files
from interlock.ledger.facts.fact import facts_of
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Case, Reading
from interlock.ledger.store.schema import case
from sqlalchemy import select
from workflows import WORKFLOW, put_in_force

NAME = "shop"
FIRST = date(2014, 1, 6)
AS_OF = datetime(2014, 3, 3, tzinfo=UTC)
COLUMNS = ("id", "day", "vendor", "amount", "currency")

FILES = {
    "contracts.py": "from interlock.domain.facts.finding import Finding",
    "agents.yaml": "{}",
    "policy.yaml": """
        policy: shop
        contract: Finding
        rules:
          - {name: a review is signed off, when: "case.kind == 'review'", route: review}
        default: review
        gates:
          sign_off: {routes: [review], voters: leads}
        """,
    "datasets.yaml": """
        sales:
          source: sales.csv
          time: day
          columns: {id: integer, day: date, vendor: string, amount: decimal, currency: string}
          key: [id]
        """,
    "kpis/sales.yaml": """
        kpis: sales
        dataset: sales
        period: week
        history: 8
        indicators:
          sales:
            title: Sales
            value: sum(amount)
            unit: USD
            explain: [vendor]
            owner: leads
            assumptions: [Returns are not known]
        """,
    "insights.yaml": """
        kpis: [sales]
        review: {title: Sales review, kpis: [sales], subject: selling}
        insights:
          - name: growth
            indicators: [sales]
            when: change > 0.0
            title: "Sales rose by {{ say('sales.change_percent') }}"
            recommendation: "Thank {{ who('sales.by.vendor.1') }}."
            holds_when: next > previous
        """,
}


def weeks(*totals: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return rows: for each week from :data:`FIRST` one a vendor, on its Wednesday."""
    return [
        {"id": 0, "day": FIRST + timedelta(days=7 * week + 2), "vendor": vendor, "amount": amount, "currency": "USD"}
        for week, vendors in enumerate(totals)
        for vendor, amount in vendors.items()
    ]


class Shop:
    """The workflow, written to *folder* and in force in *ledger*."""

    def __init__(self, folder: Path, ledger: Ledger, rows: Iterable[Mapping[str, Any]], **files: str) -> None:
        """
        :param files: in place of those of :data:`FILES`, by name without the ending.
        """
        self.ledger = ledger
        self.root = folder / f"root_{uuid.uuid4().hex[:12]}"
        self.include = self.root / f"include_{uuid.uuid4().hex[:12]}"
        self.snapshots = Snapshots(folder / "snapshots")
        workflow = WORKFLOW.replace("refunds", NAME)
        lines = [
            line for line in textwrap.dedent(workflow).splitlines() if not line.startswith(("intake", "contracts"))
        ]
        self.write(
            "workflow.yaml", "\n".join([*lines, "intake: {contract: Finding, key: key}", "contracts: [Finding]"])
        )
        for name, text in FILES.items():
            self.write(name, files.pop(Path(name).stem, text))
        assert not files
        self.write("../company/access.yaml", "groups: {leads: [lee, kim], ops: [ann]}\nrights: {propose: [ops]}\n")
        self.write("../company/ecosystem.yaml", "connectors: {}\n")
        self.write_rows(rows)
        self.version = put_in_force(ledger, self.include, NAME)

    def write(self, path: str, text: str) -> None:
        """Write a file of the workflow."""
        file = self.include / NAME / path
        (self.include / NAME).mkdir(parents=True, exist_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")

    def write_rows(self, rows: Iterable[Mapping[str, Any]], *, columns: Iterable[str] = COLUMNS) -> None:
        """Write the data; a row's ``id`` is its number where it is 0."""
        with (self.root / "sales.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(columns))
            writer.writeheader()
            for number, row in enumerate(rows, 1):
                writer.writerow({**row, "id": row.get("id") or number})

    @property
    def wiring(self) -> Wiring:
        """Its tasks."""
        tasks = (
            WiredTask(task_id="data", kind="data", downstream=("kpis",), dataset="sales"),
            WiredTask(task_id="kpis", kind="data", downstream=("findings",)),
            WiredTask(task_id="findings", kind="intake", downstream=("sign_off",)),
            WiredTask(task_id="sign_off", kind="gate", gate="sign_off", downstream=("report",)),
            WiredTask(task_id="report", kind="report"),
        )
        return Wiring({task.task_id: task for task in tasks})

    def session(self, task: str, *, run: str = "r1") -> Session:
        """Take the turn at *task*."""
        return open_session(
            self.ledger, workflow=NAME, dag_id=NAME, run_id=run, task_id=task, wiring=self.wiring, include=self.include
        )

    def read(self, *, run: str = "r1", as_of: datetime | None = AS_OF, **how: Any) -> Reading:
        """Read the data, by *how* otherwise than usual."""
        session = self.session("data", run=run)
        usual: dict[str, Any] = {"connection": _no_connection, "snapshots": self.snapshots, "check": check_dataset}
        with session.ended_if_it_fails():
            return read_dataset(session, "sales", as_of=as_of, **(usual | how))

    def state(self, *, run: str = "r1") -> list[Fact]:
        """State the KPIs."""
        session = self.session("kpis", run=run)
        state_kpis(session, "sales", self.snapshots)
        session.finish()
        return self.facts(run=run)

    def find(self, *, run: str = "r1") -> list[Finding]:
        """Open the cases, and return those of the run."""
        session = self.session("findings", run=run)
        found = finding_rows(session, "insights", self.snapshots)
        take_in_rows(session, found, contract=Finding, source="facts://insights")
        return self.cases()

    def cases(self) -> list[Finding]:
        """Return the cases that there are."""
        with self.ledger.read() as connection:
            rows = connection.execute(select(case).order_by(case.c.business_key)).all()
            files = load_files(connection, Case.all_of(rows), contracts=[])
        return [Finding.model_validate(dict(file.payload)) for file in files]

    def run(self, *, run: str = "r1", as_of: datetime | None = AS_OF) -> list[Finding]:
        """Run every task up to the cases."""
        self.read(run=run, as_of=as_of)
        self.state(run=run)
        return self.find(run=run)

    def facts(self, *, run: str = "r1") -> list[Fact]:
        """Return the facts of a run."""
        session = self.session("report", run=run)
        with self.ledger.read() as connection:
            return facts_of(connection, session.run.id)


def _no_connection(conn_id: str) -> Any:
    raise AssertionError(f"nobody asks for connection {conn_id!r}")
