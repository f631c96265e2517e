"""Validation: the policy's checks on every draft."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from interlock.operators.base import AgentRoleOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.domain.cases.wiring import TaskKind
    from interlock.engine.runs.session import Session


class ValidationOperator(AgentRoleOperator):
    """
    Runs the policy's checks on each draft, and authorises the drafts that the policy lets proceed automatically.

    If a draft fails a check, the case goes to people or stops, as the check defines. A case on route ``auto`` that
    passes is authorised for exactly this draft; any other case waits at its gate.
    """

    interlock_kind: ClassVar[TaskKind] = "validation"
    role = "validation"

    def work(self, session: Session, context: Context) -> dict[str, Any]:
        """Check and hand on."""
        from interlock.engine.routing.validation import validate_cases

        return validate_cases(session)
