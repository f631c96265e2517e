"""
What a local run prints: which task changed state, how many cases are in which state, and where to look next.

Progress comes from two places, because Airflow knows the tasks and the ledger the cases: a line is printed when a task
changes state, with the number of cases by state at that moment.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from interlock.commands.airflow_client import BUSY_TASK, FINISHED_RUN, WAITING_TASK, AirflowClient
from interlock.commands.summary_text import format_instant
from interlock.console.address import URL_PREFIX
from interlock.domain.base.plural import counted

if TYPE_CHECKING:
    from pathlib import Path


_PRINTED_STATES = frozenset(
    {"running", "success", "failed", "skipped", "upstream_failed", "up_for_retry", WAITING_TASK}
)
_WORDS = {WAITING_TASK: "waits for people", "upstream_failed": "not started: an earlier task failed"}


def say(line: str = "") -> None:
    """
    Print *line* at once, also when the output is a pipe.

    :raises KeyboardInterrupt: the reader of the pipe is gone, which ends the run as Ctrl-C does.
    """
    try:
        print(line, flush=True)
    except BrokenPipeError:
        # Python flushes its buffer at exit, and would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise KeyboardInterrupt from None


class RunFollower:
    """
    Follows one run of a Dag and prints what changes.

    :param counts: Returns the cases of the run by state, for the printed line; empty if there are none.
    """

    def __init__(
        self, client: AirflowClient, dag_id: str, run_id: str, counts: Callable[[], Mapping[str, int]] = dict
    ) -> None:
        self.client = client
        self.dag_id = dag_id
        self.run_id = run_id
        self._counts = counts
        self._begun = time.monotonic()
        self._printed: dict[str, str] = {}
        self._last_counts: Mapping[str, int] = {}
        self.state = "queued"
        self.waiting: list[str] = []
        """Tasks that wait for people."""
        self.failed: list[tuple[str, int]] = []
        """Failed tasks, with the number of their last try."""

    def look(self) -> bool:
        """Print what has changed since the last look, and return whether the run proceeds without people."""
        # The run first: no task of a finished run changes afterwards.
        self.state = self.client.run_state(self.dag_id, self.run_id) or "gone"
        tasks = self.client.task_instances(self.dag_id, self.run_id)
        tasks.sort(key=lambda task: (task.get("end_date") or "9", task.get("start_date") or "9"))
        for task in tasks:
            self._print_change(task)
        self.waiting = [task["task_id"] for task in tasks if task["state"] == WAITING_TASK]
        self.failed = [(task["task_id"], task["try_number"]) for task in tasks if task["state"] == "failed"]
        return self.state not in FINISHED_RUN and (
            not self.waiting or any(task["state"] in BUSY_TASK for task in tasks)
        )

    def wait_until_idle(self, *, between: Callable[[], None], pause_seconds: float = 1.0) -> str:
        """
        Return ``success``, ``failed`` or ``waiting`` once the run has finished, or only waits for people.

        :param between: Called after each look; raises if waiting is pointless.
        """
        still = 0
        while still < 3:
            # A task that has just ended may have made the next one ready: one look is not enough.
            still = 0 if self.look() else still + 1
            if self.state in FINISHED_RUN:
                return self.state
            between()
            time.sleep(pause_seconds)
        return "waiting"

    def _print_change(self, task: Mapping[str, Any]) -> None:
        name, state = str(task["task_id"]), str(task["state"])
        if task.get("map_index", -1) >= 0:
            name = f"{name}[{task['map_index']}]"
        if state not in _PRINTED_STATES or self._printed.get(name) == state:
            return
        self._printed[name] = state
        took = f" in {task['duration']:.1f} s" if state == "success" and task.get("duration") else ""
        counts = self._counts()
        cases = f"   {describe_counts(counts)}" if counts and counts != self._last_counts else ""
        self._last_counts = counts
        say(f"{time.monotonic() - self._begun:6.1f} s  {name:<20} {_WORDS.get(state, state)}{took}{cases}")


def describe_counts(counts: Mapping[str, int]) -> str:
    """Return ``120 cases: 80 authorised, 40 waiting``."""
    total = Counter(counts).total()
    return f"{counted(total, 'case')}: " + ", ".join(f"{n} {state}" for state, n in counts.items())


def describe_as_of(facts: Mapping[str, Any], *, asked: str, default: str) -> str:
    """Return a line with the time that the run reads its data as of, and why; *facts* are those of the summary."""
    why = "as asked" if asked else "the default of the Dag's parameter" if default else "the end of the data"
    return f"the run reads as of {format_instant(facts['as_of'])}, {why}"


def addresses(url: str, dag_id: str, run_id: str, people: Mapping[str, str], *, review: str | None = None) -> str:
    """
    Return the addresses to open and the people to log in as.

    :param review: id of the case with the review that the run wrote (default: it wrote none).
    """
    logins = ", ".join(f"{name} ({role})" for name, role in people.items())
    lines = {
        "Console": f"{url}/plugin/interlock",
        **({"The review": f"{url}{URL_PREFIX}/review/{review}"} if review else {}),
        "The run": f"{url}/dags/{dag_id}/runs/{run_id}",
        "Reviews": f"{url}/required_actions",
        "Log in as": f"{logins}; each password is the name",
    }
    return "\n".join(f"  {name + ':':<12}{value}" for name, value in lines.items())


def tail(log: Path, *, lines: int = 20) -> str:
    """Return the last *lines* of a log, indented; empty if there is no log."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines()[-lines:])
