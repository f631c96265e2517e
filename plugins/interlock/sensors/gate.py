"""
The approval gate: parked in ``awaiting_input``, where it occupies no worker slot, until people have decided its cases.

Votes are rows of the ledger, one per case, from the console, the API or a terminal. Airflow's own request notifies
people, and its answer counts as a vote on the undecided cases that it lists. Airflow 3.3 never refreshes the text of a
request, so the list is fixed when the gate is first parked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import BaseSensorOperator

from interlock.domain.base.plural import counted
from interlock.operators.link import CasesLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.domain.cases.wiring import TaskKind
    from interlock.engine.approvals.gate import Turn
    from interlock.engine.runs.session import Session

APPROVE, REJECT, GO_ON = "Approve", "Reject", "Go on"
"""Answers in Required Actions: two for all listed undecided cases, and one that leaves those to a resume run."""

LOOK_EVERY = timedelta(minutes=10)
"""How often a parked gate checks whether all cases are decided, in case nothing woke it after the last vote."""


class ApprovalGateSensor(BaseSensorOperator):
    """
    Waits until every case at this task is approved or rejected, or until the policy's ``release_after`` has passed.

    Cases that are undecided then stay in the ledger and continue in a resume run; they are never approved by default. A
    retry of the task counts the existing votes before it asks anybody.

    Defaults, which the Dag may override: ``trigger_rule="none_failed"``, ``retries=2``, ``retry_delay`` 10 seconds.

    :param gate: name of a gate of the policy, which defines who may vote, how many must, and what they see.
    :param routes: routes whose cases wait here. Default: all routes that no parallel task names.
    """

    interlock_kind: ClassVar[TaskKind] = "gate"
    operator_extra_links = (CasesLink(),)
    ui_color = "#fde2e2"

    def __init__(self, *, gate: str, routes: Sequence[str] = (), **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", "none_failed")
        kwargs.setdefault("retries", 2)
        kwargs.setdefault("retry_delay", timedelta(seconds=10))
        super().__init__(**kwargs)
        self.gate = gate
        self.routes = tuple(routes)

    def wired(self) -> dict[str, Any]:
        """Return the gate and the routes."""
        return {"gate": self.gate, "routes": self.routes}

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask people to decide the cases at this task, and park."""
        from airflow.sdk.exceptions import AirflowSkipException

        from interlock.engine.approvals.gate import open_gate
        from interlock.operators.runtime import airflow_errors, session_of

        with airflow_errors():
            session = session_of(self, context)
            turn = open_gate(session)
            if not turn.undecided and not turn.decided:
                session.finish()
                raise AirflowSkipException("no case waits at this gate")
            if not turn.undecided:
                return _finish(session, turn)
        self._park(session, turn, context)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Count the answer, and end or park again."""
        from interlock.domain.approvals.access import Identity
        from interlock.engine.approvals.gate import answer_listed, open_gate
        from interlock.operators.runtime import airflow_errors, session_of

        with airflow_errors():
            session = session_of(self, context)
            chosen = (event.get("chosen_options") or [""])[0]
            if chosen in (APPROVE, REJECT):
                answered_by = event.get("responded_by_user") or {}
                person = Identity(str(answered_by.get("id") or ""), str(answered_by.get("name") or ""))
                reason = str((event.get("params_input") or {}).get("reason") or "").strip() or None
                if chosen == REJECT and reason is None:
                    reason = "rejected in Required Actions"
                votes = answer_listed(
                    session, person=person, answer="approve" if chosen == APPROVE else "reject", reason=reason
                )
                session.count("votes_in_required_actions", votes)
                self.log.info("%s answered %r: it counts for %s", person.id, chosen, counted(votes, "case"))
            turn = open_gate(session)
            if not turn.undecided or chosen == GO_ON or session.ledger.clock() >= turn.release_at:
                return _finish(session, turn)
        self._park(session, turn, context)

    def _park(self, session: Session, turn: Turn, context: Context) -> NoReturn:
        from airflow.sdk.exceptions import TaskAwaitingInput
        from airflow.sdk.execution_time.hitl import upsert_hitl_detail

        from interlock.console.address import console_path
        from interlock.engine.approvals.gate import listed_cases
        from interlock.sensors.request_text import request_text

        left = turn.release_at - session.ledger.clock()
        waiting = counted(turn.undecided, "case", "wait")
        listed = listed_cases(session)
        session.finish()
        upsert_hitl_detail(
            ti_id=context["ti"].id,
            options=[APPROVE, REJECT, GO_ON],
            subject=f"{session.run.version.bundle.settings.title}: {waiting} for your decision",
            body=request_text(
                listed,
                turn.undecided,
                console_path(f"review?gate={self.gate}"),
                turn.voters,
                console=console_path("/"),
            ),
            # Airflow's form keeps all buttons off while a text that may not be null is empty.
            params={
                "reason": {
                    "value": None,
                    "description": "Why, for a rejection",
                    "schema": {"type": ["null", "string"], "title": "Reason"},
                }
            },
            assigned_users=[{"id": person, "name": person} for person in turn.voters],
        )
        self.log.info("%s for %s; released at %s", waiting, ", ".join(turn.voters), turn.release_at)
        raise TaskAwaitingInput(method_name="resume", timeout=max(min(left, LOOK_EVERY), timedelta(seconds=1)))


def _finish(session: Session, turn: Turn) -> dict[str, Any]:
    session.count("undecided", turn.undecided)
    for state, number in turn.decided.items():
        session.count(state, number)
    return session.finish()
