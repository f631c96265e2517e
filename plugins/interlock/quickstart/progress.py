"""
What a local run prints: which task changed state, where the cases are, and where to go next.

Progress comes from two places, because Airflow knows tasks and the ledger knows cases: a line is printed when a task
changes state, with the cases' count by state as it is then.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from interlock.commands.airflow_client import BUSY_TASK, FINISHED_RUN, WAITING_TASK, AirflowClient
from interlock.commands.summary_text import tell_instant
from interlock.console.address import URL_PREFIX
from interlock.domain.base.plural import counted

if TYPE_CHECKING:
    from pathlib import Path


_TOLD = frozenset({"running", "success", "failed", "skipped", "upstream_failed", "up_for_retry", WAITING_TASK})
_WORDS = {WAITING_TASK: "waits for people", "upstream_failed": "not started: an earlier task failed"}


def say(line: str = "") -> None:
    """
    Print *line* at once, also when the output is a pipe.

    :raises KeyboardInterrupt: nobody reads the pipe any more, which ends the run as Ctrl-C does.
    """
    try:
        print(line, flush=True)
    except BrokenPipeError:
        # Python writes the rest of its buffer at exit, and would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise KeyboardInterrupt from None


class RunFollower:
    """
    Follows one run of a Dag and prints what changes.

    :param counts: Returns the cases of the run by state, for the line that is printed; empty when there are none.
    """

    def __init__(
        self, client: AirflowClient, dag_id: str, run_id: str, counts: Callable[[], Mapping[str, int]] = dict
    ) -> None:
        self.client = client
        self.dag_id = dag_id
        self.run_id = run_id
        self._counts = counts
        self._begun = time.monotonic()
        self._told: dict[str, str] = {}
        self._last_counts: Mapping[str, int] = {}
        self.state = "queued"
        self.waiting: list[str] = []
        """Tasks that wait for people."""
        self.failed: list[tuple[str, int]] = []
        """Failed tasks, with the number of their last try."""

    def look(self) -> bool:
        """Print what changed since the last look, and return whether the run goes on by itself."""
        # The run first: a run that is over has no task that changes after it.
        self.state = self.client.run_state(self.dag_id, self.run_id) or "gone"
        tasks = self.client.task_instances(self.dag_id, self.run_id)
        tasks.sort(key=lambda task: (task.get("end_date") or "9", task.get("start_date") or "9"))
        for task in tasks:
            self._tell(task)
        self.waiting = [task["task_id"] for task in tasks if task["state"] == WAITING_TASK]
        self.failed = [(task["task_id"], task["try_number"]) for task in tasks if task["state"] == "failed"]
        return self.state not in FINISHED_RUN and (
            not self.waiting or any(task["state"] in BUSY_TASK for task in tasks)
        )

    def until_it_stands(self, *, between: Callable[[], None], pause_seconds: float = 1.0) -> str:
        """
        Return ``success``, ``failed`` or ``waiting`` once the run is over, or nothing but people can move it on.

        :param between: Called at each look; raises when there is no use in going on.
        """
        still = 0
        while still < 3:
            # A task that ended may have made the next one ready a moment ago: one look is not enough.
            still = 0 if self.look() else still + 1
            if self.state in FINISHED_RUN:
                return self.state
            between()
            time.sleep(pause_seconds)
        return "waiting"

    def _tell(self, task: Mapping[str, Any]) -> None:
        name, state = str(task["task_id"]), str(task["state"])
        if task.get("map_index", -1) >= 0:
            name = f"{name}[{task['map_index']}]"
        if state not in _TOLD or self._told.get(name) == state:
            return
        self._told[name] = state
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
    """Return as of which instant the run reads, and why; *facts* are those of the summary."""
    why = "as asked" if asked else "which is the Dag's own parameter" if default else "the end of the data"
    return f"the run reads as of {tell_instant(facts['as_of'])}, {why}"


def addresses(url: str, dag_id: str, run_id: str, people: Mapping[str, str], *, review: str | None = None) -> str:
    """
    Return where to look and as whom.

    :param review: id of the case whose page shows the review of the run; left out, there is none.
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
    """Return the last *lines* of a log, indented; empty when there is none."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines()[-lines:])
