"""
The shipped workflows of decision support, run in this process: each task of the real Dag does its own work, in order.

``Decision("executive_review", folder, ledger)`` puts what stands in ``include`` in force; ``run()`` reads, states,
opens, writes and checks, as of an instant. Gates and executions are left to Airflow.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from interlock.domain.cases.wiring import Wiring
from interlock.domain.facts.fact import Fact
from interlock.domain.facts.finding import Finding
from interlock.domain.reviews.review import Review
from interlock.engine.runs.session import open_session
from interlock.ledger.cases.case import load_files
from interlock.ledger.facts.fact import facts_of
from interlock.ledger.store.ledger import Ledger, as_dict
from interlock.ledger.store.record import Case
from interlock.ledger.store.schema import case, case_run, reading, workflow_run
from sqlalchemy import select
from workflows import put_in_force

PROJECT = Path(__file__).parents[1]
INCLUDE = PROJECT / "include"
IN_PROCESS = ("data", "intake", "branch", "role", "validation")
"""Kinds of tasks that need neither Airflow's other tasks nor a person."""


@cache
def the_dag(name: str) -> Any:
    """Return the Dag of ``dags/<name>.py``."""
    if str(PROJECT) not in sys.path:
        sys.path.insert(0, str(PROJECT))
    spec = importlib.util.spec_from_file_location(f"dag_of_{name}", PROJECT / "dags" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)()


def the_wiring(name: str) -> Wiring:
    """Return the wiring of the Dag."""
    from interlock.operators.runtime import wiring_of

    return wiring_of(the_dag(name))


class Decision:
    """A shipped workflow, in force in *ledger*."""

    def __init__(self, name: str, folder: Path, ledger: Ledger) -> None:
        self.name = name
        self.folder = folder
        self.ledger = ledger
        self.dag = the_dag(name)
        self.wiring = the_wiring(name)
        self.version = put_in_force(ledger, INCLUDE, name)

    def run(
        self,
        *,
        run: str = "r1",
        as_of: str = "",
        sources: Mapping[str, Path] | None = None,
        until: str | None = None,
    ) -> None:
        """
        Run the tasks in order.

        :param sources: dataset to the file that is read in its place.
        :param until: the first task that is not run; left out, all run.
        """
        for operator in self.dag.topological_sort():
            if operator.task_id == until:
                return
            if operator.interlock_kind in IN_PROCESS:
                self.task(operator.task_id, run=run, as_of=as_of, sources=sources)

    def task(
        self, task_id: str, *, run: str = "r1", as_of: str = "", sources: Mapping[str, Path] | None = None
    ) -> dict[str, Any]:
        """Let one task do its work."""
        from airflow.sdk.execution_time.context import OutletEventAccessors

        operator = self.dag.get_task(task_id)
        context: Any = {
            "params": {"as_of": as_of},
            "dag_run": SimpleNamespace(run_type="manual", data_interval_end=None, conf={}),
            "outlet_events": OutletEventAccessors(),
            "ti": SimpleNamespace(try_number=1, max_tries=0),
        }
        session = open_session(
            self.ledger,
            workflow=self.name,
            dag_id=self.name,
            run_id=run,
            task_id=task_id,
            wiring=self.wiring,
            include=INCLUDE,
        )
        given, other = getattr(operator, "source", None), (sources or {}).get(getattr(operator, "dataset", ""))
        is_replaced = operator.interlock_kind == "data" and (given is not None or other is not None)
        if is_replaced:
            operator.source = str(other or "")
        try:
            with session.ended_if_it_fails(), _settings(self.folder):
                return dict(operator.work(session, context))
        finally:
            if is_replaced:
                operator.source = given

    def facts(self, *, run: str = "r1") -> list[Fact]:
        """Return the facts of a run."""
        with self.ledger.read() as connection:
            found = connection.scalar(select(workflow_run.c.id).where(workflow_run.c.run_id == run))
            return facts_of(connection, found)

    def readings(self) -> dict[str, dict[str, Any]]:
        """Return the last reading of each dataset."""
        with self.ledger.read() as connection:
            rows = connection.execute(select(reading).order_by(reading.c.created_at)).all()
        return {row.dataset: as_dict(row) for row in rows}

    def cases(self, *, run: str | None = None) -> dict[str, dict[str, Any]]:
        """Return the cases by business key; *run*: only those that it opened or took up."""
        query = select(case)
        if run is not None:
            query = (
                query.join(case_run, case_run.c.case_id == case.c.id)
                .join(workflow_run, workflow_run.c.id == case_run.c.run_id)
                .where(workflow_run.c.run_id == run)
            )
        with self.ledger.read() as connection:
            return {row.business_key: as_dict(row) for row in connection.execute(query)}

    def findings(self, *, run: str | None = None) -> dict[str, Finding]:
        """Return what the cases carry, by business key."""
        rows = self.cases(run=run)
        with self.ledger.read() as connection:
            files = load_files(connection, [Case.from_values(row) for row in rows.values()], contracts=[])
        return {key: Finding.model_validate(dict(file.payload)) for key, file in zip(rows, files, strict=True)}

    def reviews(self, *, run: str | None = None) -> dict[str, Review]:
        """Return what was written, by business key."""
        rows = self.cases(run=run)
        with self.ledger.read() as connection:
            files = load_files(connection, [Case.from_values(row) for row in rows.values()], contracts=["Review"])
        written = {}
        for key, file in zip(rows, files, strict=True):
            if (draft := file.context.get("Review")) is not None:
                written[key] = Review.model_validate(dict(draft))
        return written


@contextmanager
def _settings(folder: Path) -> Any:
    """Keep snapshots and what agents make in *folder*."""
    given = {
        "AIRFLOW__INTERLOCK__SNAPSHOT_PATH": str(folder / "snapshots"),
        "AIRFLOW__INTERLOCK__CACHE_PATH": str(folder / "cache"),
    }
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
