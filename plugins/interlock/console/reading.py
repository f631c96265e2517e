"""
What a person sees: the one place that pages, lists, counts, searches and answers of the API ask.

Airflow says which Dags a person sees; a case is seen by those who see the Dag of its run, and to anybody else it is as
if there were none. Of a case that is seen, personal data is shown to people with the right ``read_personal`` and to
those who may vote on it now, because a voter must see what the vote approves. What others see in its place is said by
:mod:`interlock.domain.policy.visibility`.
"""

# No "from __future__ import annotations": FastAPI resolves the annotations of a dependency's parameters.
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

from fastapi import Depends

from interlock.console.identity import Person, Reader, may, seen_dags
from interlock.console.ledger import OpenLedger
from interlock.domain.approvals.access import Access, Right
from interlock.domain.policy.company import COMPANY
from interlock.domain.policy.visibility import CASE, Masks
from interlock.errors import UnknownName
from interlock.ledger.audit.case_history import mask_history, masks_of
from interlock.ledger.cases.case import Among, find_case, of_dags
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.runs.run import dags_by_workflow, load_run
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Case


class Sight:
    """What one person sees of the ledger, looked up once for a request."""

    def __init__(self, person: Person, ledger: Ledger) -> None:
        self.person = person
        self.ledger = ledger
        self._masks: dict[tuple[str, str | None], Masks] = {}
        self._dag_of_run: dict[str, str] = {}
        self._answers: dict[str | None, bool] = {}

    @cached_property
    def _dags_by_workflow(self) -> dict[str, set[str]]:
        return dags_by_workflow(self.ledger)

    @cached_property
    def dags(self) -> frozenset[str]:
        """The Dags with runs in the ledger that the person sees."""
        return seen_dags(self.person, {dag for dags in self._dags_by_workflow.values() for dag in dags})

    @property
    def cases(self) -> Among:
        """The condition, for queries of cases, that the person sees a case."""
        return of_dags(self.dags, [name for name in self._dags_by_workflow if self.sees_workflow(name)])

    def sees_workflow(self, workflow: str) -> bool:
        """
        Return whether the person sees every Dag of *workflow*, as figures of all of its cases ask for.

        A workflow without a run is taken to have a Dag of its own name; everyone who sees Dags sees the company's.
        """
        if workflow == COMPANY:
            return True
        if workflow not in self._dags_by_workflow:
            return bool(seen_dags(self.person, [workflow]))
        return self._dags_by_workflow[workflow] <= self.dags

    def demand_workflow(self, workflow: str) -> None:
        """
        Let a question about *workflow* be answered.

        :raises UnknownName: the person does not see it; the message says the same as of a workflow that does not exist.
        """
        if not self.sees_workflow(workflow):
            known = [name for name in self._dags_by_workflow if self.sees_workflow(name)]
            raise UnknownName("workflow", workflow, known, where=f"the ledger of {self.ledger.environment!r}")

    def case(self, name: str) -> Case:
        """
        Return the case *name*: id, end of an id, or business key.

        :raises UnknownName: none that the person sees has this name.
        """
        with self.ledger.read() as connection:
            return find_case(connection, self.ledger, name, among=self.cases)

    def dag_of(self, row: Case) -> str | None:
        """Return the Dag of a case's run; None when no run has it."""
        if row.run_id is None:
            return None
        if row.run_id not in self._dag_of_run:
            with self.ledger.read() as connection:
                self._dag_of_run[row.run_id] = load_run(connection, row.run_id).dag_id
        return self._dag_of_run[row.run_id]

    def may_answer(self, dag_id: str | None) -> bool:
        """Return whether Airflow lets the person answer the human tasks of a Dag."""
        if dag_id not in self._answers:
            self._answers[dag_id] = may(self.person, "PUT", dag_id, gate=True)
        return self._answers[dag_id]

    @cached_property
    def _access(self) -> Access:
        return company_in_force(self.ledger).access

    def may_read(self, right: Right, workflow: str) -> bool:
        """Return whether the person has a reading right for *workflow*."""
        return self._access.holds(self.person.identity, right, workflow)

    def text(self, text: str | None, workflow: str, run_id: str | None) -> str | None:
        """Return a *text* about a case as the person sees it, in a list."""
        if not text or self.may_read("read_personal", workflow):
            return text
        return self._masks_of(workflow, run_id).text(text)

    def reason(self, row: Case) -> str | None:
        """Return why a case is where it is, as the person sees it in a list."""
        if not row.reason or self.may_read("read_personal", row.workflow):
            return row.reason
        masks = self._masks_of(row.workflow, row.run_id)
        return masks.text(row.reason, of_unnamed=row.state == "quarantined")

    def payload(self, contract: str, payload: Any, row: Case) -> Any:
        """Return a payload of a case as a person sees it who may not vote on the case."""
        if self.may_read("read_personal", row.workflow):
            return payload
        return self._masks_of(row.workflow, row.run_id).masked(contract, payload)

    def history(self, history: dict[str, Any]) -> dict[str, Any]:
        """Return a case's whole *history* as the person sees it."""
        row = history["case"]
        if not self.may_read("read_audit", row["workflow"]):
            history = {**history, "events": [], "audit_withheld": True}
        if self.may_read("read_personal", row["workflow"]):
            return history
        return mask_history(history, self._masks_of(row["workflow"], row["run_id"]))

    def question(self, seen: dict[str, Any]) -> dict[str, Any]:
        """Return what is asked about a case as the person sees it: all of it when they may vote."""
        if self.reads_question(seen):
            return seen
        masks = self._masks_of(seen["workflow"], seen["run"]["id"])
        draft = seen["draft_contract"] or CASE
        return {
            **seen,
            "why": masks.text(seen["why"]),
            CASE: masks.masked(CASE, seen[CASE]),
            "handoffs": {name: masks.masked(name, payload) for name, payload in seen["handoffs"].items()},
            "execute": masks.masked(str(draft), seen["execute"]),
        }

    def reads_question(self, seen: Mapping[str, Any]) -> bool:
        """Return whether the person sees all that is asked about a case."""
        if self.may_read("read_personal", seen["workflow"]):
            return True
        return not seen["refused"] and self.may_answer(seen["run"]["dag_id"])

    def _masks_of(self, workflow: str, run_id: str | None) -> Masks:
        if (workflow, run_id) not in self._masks:
            self._masks[workflow, run_id] = masks_of(self.ledger, workflow, run_id)
        return self._masks[workflow, run_id]


def sight_of(person: Reader, ledger: OpenLedger) -> Sight:
    """Return what the person who asks sees."""
    return Sight(person, ledger)


Sees = Annotated[Sight, Depends(sight_of)]


def seen_case(name: str, sight: Sees) -> str:
    """Return the id of the case that the path names, which the person sees."""
    return sight.case(name).id


CaseId = Annotated[str, Depends(seen_case)]
