"""
What a route asks before its handler runs: each question is one dependency, which the route names.

There are two kinds. Airflow says what the person may do with Dags and with their human tasks; the company's
``access.yaml`` says which rights they hold. Every route names at least one guard: where the engine asks, or a login is
enough, a guard says that. Guards that change something depend on :func:`~interlock.console.identity.acting_person`, so
they also refuse what another site sent.
"""

# No "from __future__ import annotations": FastAPI cannot resolve a string annotation of an instance's __call__.
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, HTTPException

from interlock.console.identity import Actor, Person, Reader, may
from interlock.console.ledger import OpenLedger
from interlock.console.reading import CaseId, Sees
from interlock.console.request_body import CaseVoteRequest, OutcomesRequest, SwitchRequest, VotesRequest
from interlock.domain.approvals.access import Right
from interlock.errors import InterlockError
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.store.ledger import Ledger


class Guard:
    """A question to which the answer must be yes; its text says which, for the test that lists all routes."""

    __call__: Callable[..., Any]


def guards(*asked: Guard) -> list[Any]:
    """Return the dependencies of a route that *asked*, in this order."""
    return [Depends(guard) for guard in asked]


@dataclass(frozen=True)
class AnyLogin(Guard):
    """A login is enough: the route returns nothing about anybody else."""

    def __call__(self, person: Reader) -> None:
        """Let everyone who is logged in pass."""

    def __str__(self) -> str:
        return "any login"


@dataclass(frozen=True)
class EngineAsks(Guard):
    """
    The engine asks for the right itself.

    It knows the workflow, which may stand in a bundle only, and whether any access matrix is in force: before the
    first one is, those who may change Dags may put it in force.
    """

    right: Right

    def __call__(self, person: Actor) -> None:
        """Let pass; the engine refuses."""

    def __str__(self) -> str:
        return f"the engine asks for the right {self.right}"


@dataclass(frozen=True)
class SeesDags(Guard):
    """Airflow lets the person see Dags."""

    what: str

    def __call__(self, person: Reader) -> None:
        """Ask Airflow."""
        _demand(person, "GET", None, self.what)

    def __str__(self) -> str:
        return f"sees Dags: {self.what}"


@dataclass(frozen=True)
class SeesDag(Guard):
    """Airflow lets the person see the Dag of the query's ``dag_id``."""

    what: str

    def __call__(self, person: Reader, dag_id: str = "") -> None:
        """Ask Airflow."""
        _demand(person, "GET", dag_id or None, self.what)

    def __str__(self) -> str:
        return f"sees the Dag: {self.what}"


@dataclass(frozen=True)
class SeesCase(Guard):
    """Airflow lets the person see the Dag whose run works on the case in the path; else there is no such case."""

    what: str

    def __call__(self, case_id: CaseId) -> None:
        """Let pass: the case was found among those that the person sees."""

    def __str__(self) -> str:
        return f"sees the case's Dag: {self.what}"


@dataclass(frozen=True)
class SeesWorkflow(Guard):
    """Airflow lets the person see the Dags of the path's workflow; else there is no such workflow."""

    what: str

    def __call__(self, workflow: str, sight: Sees) -> None:
        """Ask Airflow."""
        _demand(sight.person, "GET", None, self.what)
        sight.demand_workflow(workflow)

    def __str__(self) -> str:
        return f"sees the workflow's Dags: {self.what}"


@dataclass(frozen=True)
class ChangesDags(Guard):
    """Airflow lets the person change Dags."""

    what: str

    def __call__(self, person: Actor) -> None:
        """Ask Airflow."""
        _demand(person, "PUT", None, self.what)

    def __str__(self) -> str:
        return f"changes Dags: {self.what}"


@dataclass(frozen=True)
class AnswersDags(Guard):
    """Airflow lets the person answer the human tasks of Dags."""

    what: str

    def __call__(self, person: Actor) -> None:
        """Ask Airflow."""
        _demand(person, "PUT", None, self.what, human_tasks=True)

    def __str__(self) -> str:
        return f"answers for Dags: {self.what}"


@dataclass(frozen=True)
class AnswersCase(Guard):
    """Airflow lets the person answer the human tasks of the Dag whose run works on the case in the path."""

    what: str

    def __call__(self, case_id: CaseId, person: Actor, sight: Sees) -> None:
        """Ask Airflow."""
        _demand(person, "PUT", sight.dag_of(sight.case(case_id)), self.what, human_tasks=True)

    def __str__(self) -> str:
        return f"answers for the case's Dag: {self.what}"


@dataclass(frozen=True)
class SortedVotes:
    """Votes on several cases, sorted by whether they may be cast at all."""

    allowed: list[tuple[str, CaseVoteRequest]]
    """Each with the id of its case."""
    refused: list[tuple[str, InterlockError]]
    """A case and why it has no vote: no such case, or the name of several."""


@dataclass(frozen=True)
class AnswersEachCase(Guard):
    """As :class:`AnswersCase` for every vote of the body; one that Airflow forbids refuses all of them."""

    what: str

    def __call__(self, body: VotesRequest, person: Actor, sight: Sees) -> SortedVotes:
        """Ask Airflow for each."""
        votes = SortedVotes([], [])
        for vote in body.votes:
            try:
                row = sight.case(vote.case)
                _demand(person, "PUT", sight.dag_of(row), self.what, human_tasks=True)
                votes.allowed.append((row.id, vote))
            except InterlockError as error:
                votes.refused.append((vote.case, error))
        return votes

    def __str__(self) -> str:
        return f"answers for each case's Dag: {self.what}"


@dataclass(frozen=True)
class HoldsRight(Guard):
    """The person holds *right* in the whole company, not in one workflow alone."""

    right: Right

    def __call__(self, person: Actor, ledger: OpenLedger) -> None:
        """Ask the access matrix."""
        _demand_right(person, ledger, self.right, None)

    def __str__(self) -> str:
        return f"holds the right {self.right}"


@dataclass(frozen=True)
class HoldsRightInWorkflow(Guard):
    """The person holds *right* in the path's workflow."""

    right: Right

    def __call__(self, workflow: str, person: Actor, ledger: OpenLedger) -> None:
        """Ask the access matrix."""
        _demand_right(person, ledger, self.right, workflow)

    def __str__(self) -> str:
        return f"holds the right {self.right} in the workflow"


@dataclass(frozen=True)
class HoldsRightOnCase(Guard):
    """The person holds *right* in the workflow of the case in the path."""

    right: Right

    def __call__(self, case_id: CaseId, person: Actor, sight: Sees) -> None:
        """Ask the access matrix."""
        _demand_right(person, sight.ledger, self.right, sight.case(case_id).workflow)

    def __str__(self) -> str:
        return f"holds the right {self.right} in the case's workflow"


@dataclass(frozen=True)
class HoldsRightOnOutcomes(Guard):
    """The person holds *right* in the workflow whose outcomes the body holds."""

    right: Right

    def __call__(self, body: OutcomesRequest, person: Actor, ledger: OpenLedger) -> None:
        """Ask the access matrix."""
        _demand_right(person, ledger, self.right, body.workflow)

    def __str__(self) -> str:
        return f"holds the right {self.right} in the outcomes' workflow"


@dataclass(frozen=True)
class HoldsRightOnSwitch(Guard):
    """The person holds *right* in the workflow that the switch stops; a connector is stopped for all of them."""

    right: Right

    def __call__(self, body: SwitchRequest, person: Actor, ledger: OpenLedger) -> None:
        """Ask the access matrix."""
        _demand_right(person, ledger, self.right, None if body.kind == "connector" else body.name.split("/")[0])

    def __str__(self) -> str:
        return f"holds the right {self.right} in the switch's workflow"


def _demand(person: Person, method: str, dag_id: str | None, what: str, *, human_tasks: bool = False) -> None:
    """
    Let *person* pass.

    :raises HTTPException: 403, with what was asked and what it takes.
    """
    if not may(person, method, dag_id, gate=human_tasks):
        place = f"Dag {dag_id!r}" if dag_id else "Dags"
        entity = "its human tasks" if human_tasks else "it"
        raise HTTPException(403, f"{person.id!r} may not {what}: it takes the right to {method} {place} ({entity})")


def _demand_right(person: Person, ledger: Ledger, right: Right, workflow: str | None) -> None:
    """
    Let *person* pass, by the company's ``access.yaml`` that is in force.

    Before any version of it is in force nobody has a right: then those who may change Dags may put the first in force,
    and nothing else.

    :raises NotAuthorised: they do not have *right*.
    """
    company_in_force(ledger).access.demand(person.identity, right, workflow)
