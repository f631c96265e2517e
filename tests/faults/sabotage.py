"""
Kills the process of a task at a chosen point of its work. Imported by the Dag files of these tests.

The point is counted in the work itself (the second transaction that moves cases, the third effect that was sent), so a
kill always meets the middle, on a slow machine too. It is a SIGKILL of the task's own process: nothing is caught or
closed.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

AT_A_STATION = 8
ROLE = 12
LEASE = timedelta(seconds=4)
SIZES = {
    "interlock.engine.cases.intake.GROUP": 20,
    "interlock.engine.agents.role.GROUP": ROLE,
    "interlock.engine.agents.result_writer.FLUSH_CASES": ROLE,
    "interlock.engine.effects.execution.GROUP": 5,
    "interlock.engine.effects.execution.LEASE_MINIMUM": LEASE,
}
"""What the engine has of it, by its full name: cases that it takes at once here, so that there is a middle."""


@dataclass(frozen=True)
class Kill:
    """Where one process of a task dies."""

    at: Literal["before commit", "after commit", "before send", "after send", "parking", "trained"]
    nth: int = 2
    """Which of them, from 1."""
    table: str = "case"
    """Only transactions that write this table are counted."""


def small_groups() -> None:
    """Let the engine of this process work in small groups."""
    from importlib import import_module

    for name, size in SIZES.items():
        module, _, constant = name.rpartition(".")
        assert hasattr(import_module(module), constant), f"there is no {name}"
        setattr(import_module(module), constant, size)
    defaults = import_module("interlock.engine.cases.station").Station.__init__.__kwdefaults__
    assert "limit" in defaults, "a station takes no limit"
    defaults["limit"] = AT_A_STATION


def sabotage(dag: Any, plan: Mapping[str, Sequence[Kill | None]], *, runs: str = "killed") -> None:
    """
    Kill the processes of *dag*'s tasks as *plan* says: by task, one entry for each process that begins to work on it.

    :param runs: only in runs whose id begins so.
    """
    for task in dag.tasks:
        task.pre_execute = partial(_arm, tuple(plan.get(task.task_id, ())), runs)


def hold(dag: Any, task_id: str, module: str, function: str, *, runs: str, **how: Any) -> None:
    """
    Let the first process of *task_id* wait, in runs whose id begins with *runs*, until the test lets it go on.

    It waits before *function* of *module* of the engine is called for the ``nth`` time (by default the first), or with
    ``after=True`` after that call; how the process ended is left behind, too.
    """
    dag.get_task(task_id).pre_execute = partial(_arm_hold, module, function, runs, how)


def _arm_hold(module: str, function: str, runs: str, how: Mapping[str, Any], context: Any) -> None:
    from importlib import import_module

    run_id, task_id = context["dag_run"].run_id, context["ti"].task_id
    folder = Path(os.environ["AIRFLOW_HOME"]) / "sabotage" / run_id
    if not run_id.startswith(runs) or list(folder.glob(f"{task_id}.*.held")):
        return
    folder.mkdir(parents=True, exist_ok=True)
    holder, _, name = f"{module}.{function}".rpartition(".")
    try:
        place: Any = import_module(holder)
    except ModuleNotFoundError:
        place = getattr(import_module(holder.rpartition(".")[0]), holder.rpartition(".")[2])
    original, seen = getattr(place, name), {"number": 0}

    def wait() -> None:
        _write(folder / f"{task_id}.0.held", {"pid": os.getpid(), "supervisor": os.getppid()})
        while not (folder / f"{task_id}.go_on").exists():
            time.sleep(0.05)

    def held(*arguments: Any, **more: Any) -> Any:
        seen["number"] += 1
        is_it = seen["number"] == how.get("nth", 1)
        if is_it and not how.get("after"):
            wait()
        came = original(*arguments, **more)
        if is_it and how.get("after"):
            wait()
        return came

    setattr(place, name, held)
    _note_the_end(folder / f"{task_id}.0.ended")


def _note_the_end(mark: Path) -> None:
    from interlock.operators import runtime

    run = runtime.run_task

    def noted(operator: Any, context: Any) -> Any:
        try:
            result = run(operator, context)
        except BaseException as error:
            _write(mark, {"pid": os.getpid(), "error": type(error.__cause__ or error).__name__})
            raise
        _write(mark, {"pid": os.getpid(), "error": None})
        return result

    runtime.run_task = noted


def marks(home: Path, run_id: str, task_id: str, what: str) -> list[dict[str, Any]]:
    """Return what the processes of a task left behind: ``began``, ``killed``, ``held`` or ``ended``."""
    folder = home / "sabotage" / run_id
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{task_id}.*.{what}"))]


def _arm(plan: Sequence[Kill | None], runs: str, context: Any) -> None:
    small_groups()
    run_id, task_id = context["dag_run"].run_id, context["ti"].task_id
    if not run_id.startswith(runs):
        return
    folder = Path(os.environ["AIRFLOW_HOME"]) / "sabotage" / run_id
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.glob(f"{task_id}.*.began")))
    _write(folder / f"{task_id}.{number}.began", {"pid": os.getpid(), "try": context["ti"].try_number})
    kill = plan[number] if number < len(plan) else None
    if kill is None:
        return
    end = partial(_die, folder / f"{task_id}.{number}.killed", task_id, run_id, kill)
    if kill.at.endswith("commit"):
        _in_a_transaction(kill, end)
    elif kill.at.endswith("send"):
        _at_a_send(kill, end)
    elif kill.at == "parking":
        _at_parking(end)
    else:
        _when_trained(end)


def _die(mark: Path, task_id: str, run_id: str, kill: Kill) -> None:
    _write(mark, {"at": kill.at, "pid": os.getpid(), **_standing(task_id, run_id)})
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # never reached


def _standing(task_id: str, run_id: str) -> dict[str, int]:
    """Count what another process sees at this moment: cases that stand at the task, and all of the run."""
    ledger = Path(os.environ["AIRFLOW_HOME"]) / "interlock.db"
    connection = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=30)
    try:
        ours = 'FROM "case" c JOIN workflow_run r ON r.id = c.run_id WHERE r.run_id = ?'
        here = connection.execute(f"SELECT count(*) {ours} AND c.task = ?", (run_id, task_id)).fetchone()[0]
        known = connection.execute(f"SELECT count(*) {ours}", (run_id,)).fetchone()[0]
    finally:
        connection.close()
    return {"here": here, "known": known}


def _in_a_transaction(kill: Kill, end: partial[None]) -> None:
    from interlock.ledger.store import ledger
    from interlock.ledger.store.transaction import Transaction

    written: dict[int, set[str]] = {}
    seen = {"number": 0}

    def noting(name: str) -> None:
        original = getattr(Transaction, name)

        def method(self: Transaction, table: Any, rows: Any, **more: Any) -> Any:
            if rows:
                written.setdefault(id(self), set()).add(table.name)
            return original(self, table, rows, **more)

        setattr(Transaction, name, method)

    noting("insert")
    noting("update")
    flush, write = Transaction.flush, ledger.write  # type: ignore[attr-defined]  # imported there, not offered

    def flushing(self: Transaction) -> None:
        flush(self)
        if kill.table in written.get(id(self), set()):
            seen["number"] += 1
            if seen["number"] == kill.nth and kill.at == "before commit":
                end()

    @contextmanager
    def writing(*arguments: Any, **more: Any) -> Iterator[Transaction]:
        before = seen["number"]
        with write(*arguments, **more) as transaction:
            yield transaction
        written.pop(id(transaction), None)
        if before < kill.nth == seen["number"] and kill.at == "after commit":
            end()

    Transaction.flush = flushing  # type: ignore[method-assign]  # this is sabotage
    ledger.write = writing  # type: ignore[attr-defined]  # as above


def _at_a_send(kill: Kill, end: partial[None]) -> None:
    from interlock.connectors.http import HttpTarget
    from interlock.connectors.mail import MailServer
    from interlock.connectors.outbox import Outbox

    seen = {"number": 0}
    for connector in (HttpTarget, MailServer, Outbox):

        def sending(self: Any, request: Any, _send: Any = connector.send) -> Any:
            seen["number"] += 1
            if seen["number"] == kill.nth and kill.at == "before send":
                end()
            receipt = _send(self, request)
            if seen["number"] == kill.nth:
                end()
            return receipt

        connector.send = sending  # type: ignore[method-assign]  # this is sabotage


def _at_parking(end: partial[None]) -> None:
    from airflow.sdk.execution_time import hitl

    asking = hitl.upsert_hitl_detail

    def asked(*arguments: Any, **more: Any) -> None:
        asking(*arguments, **more)
        end()

    hitl.upsert_hitl_detail = asked


def _when_trained(end: partial[None]) -> None:
    """Die with the trained artefact in hand, before it is kept, holding the lock of the cache."""
    from interlock.agents import artefact

    def keeping(path: Path, artefact: object) -> None:
        end()

    artefact.write_artefact = keeping


def _write(path: Path, said: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(dict(said)))
