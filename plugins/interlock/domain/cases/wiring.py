"""
A Dag as Interlock sees it: which task takes a case over from which.

It is taken from the Dag when a run starts and kept in the ledger, so a case's way is known without Airflow. Airflow
orders the tasks; the wiring and the routes say whose turn a case is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from interlock.errors import ConfigurationError

TaskKind = Literal["intake", "quality", "role", "branch", "validation", "gate", "execution", "report", "data"]
"""A ``data`` task works on datasets and facts; no case is at it."""


@dataclass(frozen=True, kw_only=True)
class WiredTask:
    """One of our tasks."""

    task_id: str
    kind: TaskKind
    downstream: tuple[str, ...] = ()
    """The nearest of our tasks below it; other operators between them are passed over."""
    routes: tuple[str, ...] = ()
    """Routes that it takes; empty: any that no task beside it names."""
    branches: Mapping[str, str] = field(default_factory=dict)
    """For a branch: route to task."""
    gate: str | None = None
    connector: str | None = None
    agent: str | None = None
    contract: str | None = None
    drafts: bool = False
    """It writes what is sent: a drafting role."""
    dataset: str | None = None
    suite: str | None = None
    kpis: str | None = None


@dataclass(frozen=True)
class Wiring:
    """All our tasks of a Dag, by task id."""

    tasks: Mapping[str, WiredTask]

    def to_json(self) -> dict[str, Any]:
        """Return JSON types; :meth:`from_json` reads them back."""
        return {task_id: asdict(task) for task_id, task in self.tasks.items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Wiring:
        """Return the wiring that :meth:`to_json` wrote."""
        return cls(
            {
                task_id: WiredTask(**{**task, "downstream": tuple(task["downstream"]), "routes": tuple(task["routes"])})
                for task_id, task in document.items()
            }
        )

    def of_kind(self, kind: TaskKind) -> list[WiredTask]:
        """Return the tasks of *kind*, in the order of the Dag file."""
        return [task for task in self.tasks.values() if task.kind == kind]

    def takers(self, task_id: str) -> list[WiredTask]:
        """Return the tasks below *task_id* that can take a case over; a report only counts."""
        return [t for name in self.tasks[task_id].downstream if (t := self.tasks[name]).kind not in ("report", "data")]

    def next_task(self, task_id: str, route: str | None) -> WiredTask | None:
        """
        Return the task that takes a case with *route* over from *task_id*; None: its way ends there.

        :raises ConfigurationError: no task takes the route, or two do.
        """
        here = self.tasks[task_id]
        if here.kind == "branch":
            if route is None or route not in here.branches:
                raise ConfigurationError(
                    f"branch {task_id!r} sends route {route!r} nowhere; it knows: {', '.join(sorted(here.branches))}"
                )
            return self.tasks[here.branches[route]]
        takers = self.takers(task_id)
        if not takers:
            return None
        named = [task for task in takers if route is not None and route in task.routes]
        found = named or [task for task in takers if not task.routes]
        if len(found) != 1:
            raise ConfigurationError(
                f"{'no task' if not found else 'more than one task'} below {task_id!r} takes route {route!r}: "
                + ", ".join(f"{t.task_id} takes {', '.join(t.routes) or 'what nobody else names'}" for t in takers)
            )
        return found[0]

    def people_follow(self, task_id: str, route: str | None) -> bool:
        """Return whether a case with *route* comes from *task_id* to a gate before it is routed again or executed."""
        following = self.next_task(task_id, route)
        while following is not None and following.kind not in ("gate", "branch", "execution"):
            following = self.next_task(following.task_id, route)
        return following is not None and following.kind == "gate"

    def route_to_people(self, task_id: str, route: str | None) -> str | None:
        """
        Return the route by which a case goes from *task_id* to a gate before it is routed again or executed.

        That is its own *route* (none is ``""``), else ``review``; None: neither comes to people.
        """
        for wanted in (route, "review"):
            try:
                if self.people_follow(task_id, wanted):
                    return wanted or ""
            except ConfigurationError:
                continue
        return None

    def drafted_before(self, task_id: str) -> WiredTask | None:
        """Return the last drafting role whose work a case has when it comes to *task_id*; None: none drafts before."""
        above = [task for task in self.tasks.values() if task.drafts and task_id in self._below(task.task_id)]
        return above[-1] if above else None

    def _below(self, task_id: str) -> set[str]:
        found: set[str] = set()
        ahead = [*self.tasks[task_id].downstream]
        while ahead:
            name = ahead.pop()
            if name not in found:
                found.add(name)
                ahead += self.tasks[name].downstream
        return found

    def served_routes(self) -> set[str]:
        """Return the routes that some branch sends to a task."""
        return {route for task in self.of_kind("branch") for route in task.branches}

    def gate_task(self, gate: str) -> WiredTask | None:
        """Return the task where the cases of *gate* wait, or None."""
        return next((task for task in self.of_kind("gate") if task.gate == gate), None)
