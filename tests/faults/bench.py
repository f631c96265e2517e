"""
A project in a temporary folder with a live Airflow on it, and what its ledger, its outbox and its logs say.

Workflows of a project do not share cases, so each test has one of its own and many can use one Airflow.
"""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from faults.sabotage import marks
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.ledger import Ledger, as_dict
from interlock.ledger.store.schema import case, effect, handoff, task_attempt, workflow_run
from live_airflow import PATIENCE, PROJECT, LiveAirflow
from sqlalchemy import Table, func, select
from workflows import put_in_force

T = TypeVar("T")

API = "/interlock/api"
"""Where the plugin's API is."""


def python_path(project: Path) -> str:
    """Return the ``PYTHONPATH`` of a project: its own ``include`` before the repository's."""
    return os.pathsep.join(map(str, (project, PROJECT, PROJECT / "plugins", PROJECT / "tests")))


def wait_for(what: str, look: Callable[[], T], *, timeout_seconds: float = PATIENCE) -> T:
    """Return what *look* finds as soon as it is true."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"after {timeout_seconds:.0f} s there was not: {what}")


@dataclass
class Held:
    """A process that waits until the test lets it go on."""

    pid: int
    supervisor: int
    gate: Path

    def go_on(self) -> None:
        """Let it go on."""
        self.gate.touch()


@dataclass
class Bench:
    """A live Airflow, its project and its ledger."""

    airflow: LiveAirflow
    project: Path
    ledger: Ledger

    @property
    def include(self) -> Path:
        """The project's ``include``."""
        return self.project / "include"

    def write(self, path: str, text: str) -> Path:
        """Write a file of the project."""
        file = self.project / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return file

    def publish(self, workflow: str) -> None:
        """Put the workflow's files in force."""
        sys.modules.pop(f"{self.include.name}.{workflow}.contracts", None)  # they may have been written anew
        put_in_force(self.ledger, self.include, workflow)

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """Return all rows of a table."""
        with self.ledger.read() as connection:
            return [as_dict(row) for row in connection.execute(select(table))]

    def cases(self, workflow: str) -> dict[str, dict[str, Any]]:
        """Return the cases of a workflow by business key."""
        return {row["business_key"]: row for row in self.rows(case) if row["workflow"] == workflow}

    def states(self, workflow: str) -> dict[str, str]:
        """Return the state of each case of a workflow by business key."""
        return {key: row["state"] for key, row in self.cases(workflow).items()}

    def attempts(self, dag_id: str, run_id: str, task_id: str) -> int:
        """Return how many processes took the turn at a task."""
        with self.ledger.read() as connection:
            return int(
                connection.execute(
                    select(func.count())
                    .select_from(task_attempt)
                    .join(workflow_run, workflow_run.c.id == task_attempt.c.run_id)
                    .where(
                        workflow_run.c.dag_id == dag_id,
                        workflow_run.c.run_id == run_id,
                        task_attempt.c.task == task_id,
                    )
                ).scalar_one()
            )

    def sent(self, folder: str = "outbox") -> Counter[str]:
        """Return how many effects of each business key are in an outbox of this Airflow's home."""
        files = (self.airflow.home / folder).glob("*.json")
        return Counter(json.loads(file.read_text())["business_key"] for file in files)

    def effects(self, workflow: str) -> list[dict[str, Any]]:
        """Return the effects of a workflow's cases."""
        ids = {row["id"] for row in self.cases(workflow).values()}
        return [row for row in self.rows(effect) if row["case_id"] in ids]

    def handoffs(self, workflow: str) -> Counter[tuple[str, str]]:
        """Return how many handoffs there are of each case and task of a workflow."""
        keys = {row["id"]: key for key, row in self.cases(workflow).items()}
        return Counter((keys[row["case_id"]], row["task"]) for row in self.rows(handoff) if row["case_id"] in keys)

    def problems(self) -> list[str]:
        """Return what verifying the ledger finds."""
        return verify(self.ledger).problems

    def held(self, run_id: str, task_id: str) -> Held:
        """Return the process of a task that was held, as soon as it is."""
        found = wait_for(f"a held {task_id!r}", lambda: marks(self.airflow.home, run_id, task_id, "held"))[0]
        return Held(found["pid"], found["supervisor"], self.airflow.home / "sabotage" / run_id / f"{task_id}.go_on")

    def act(self, person: str, case_key: str, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Let *person* do something to a case by the plugin's API."""
        answer: dict[str, Any] = self.airflow.as_person(person).call("POST", f"{API}/cases/{case_key}/{what}", body)
        return answer

    def vote(self, person: str, case_key: str, answer: str, reason: str | None = None) -> dict[str, Any]:
        """Let *person* look at a case and vote on what is shown."""
        client = self.airflow.as_person(person)
        shown = client.call("GET", f"{API}/reviews/{case_key}")
        body = {"answer": answer, "digest": shown["digest"], "reason": reason}
        answered: dict[str, Any] = client.call("POST", f"{API}/cases/{case_key}/vote", body)
        return answered

    def set_state(self, dag_id: str, run_id: str, task_id: str, state: str, *, person: str = "admin") -> None:
        """Set the state of a task by hand, as Airflow's UI does."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self.airflow.as_person(person).call("PATCH", path, {"new_state": state}, is_repeatable=True)

    def clear(self, dag_id: str, run_id: str, task_id: str, *, person: str = "admin", downstream: bool = False) -> None:
        """Clear a task, as Airflow's UI does."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [task_id],
            "only_failed": False,
            "include_downstream": downstream,
            "reset_dag_runs": True,
        }
        self.airflow.as_person(person).call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)

    def tries(self, dag_id: str, run_id: str, task_id: str) -> int:
        """Return how many tries Airflow gave a task."""
        tasks = self.airflow.task_instances(dag_id, run_id)
        return int(next(task["try_number"] for task in tasks if task["task_id"] == task_id))

    def last_error(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return the last error of a task's log: the exception and its sentence."""
        lines = self.airflow.client.task_log(dag_id, run_id, task_id, try_number=self.tries(dag_id, run_id, task_id))
        raised = re.findall(r"AirflowFailException: (.*)", "\n".join(lines))
        return str(raised[-1]) if raised else "\n".join(lines[-5:])


def settled(airflow: LiveAirflow, dag_id: str, run_id: str, task_id: str) -> None:
    """
    Return when a parked gate can be answered.

    Airflow 3.3 may fail a task that is answered before its worker's end was noticed, so it must have waited for some
    seconds.
    """
    airflow.wait_for_task(dag_id, run_id, task_id, {"awaiting_input"})
    since = time.monotonic()

    def long_enough() -> bool:
        assert airflow.task_states(dag_id, run_id)[task_id] == "awaiting_input"
        return time.monotonic() - since > 5

    wait_for("a gate that waits for five seconds", long_enough)
