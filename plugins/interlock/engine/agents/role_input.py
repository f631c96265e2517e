"""What a role reads of its cases: whether it is there, satisfies its contract, and is fresh enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from interlock.domain.base.contract import Contract, check_payload
from interlock.engine.runs.session import Session
from interlock.errors import ContractViolation, StaleContext
from interlock.ledger.approvals.gate import approvals_of
from interlock.ledger.cases.case import CaseFile
from interlock.ledger.policy.version import load_version


class Inputs:
    """
    The inputs of the role at one task.

    :param reads: contracts of the earlier handoffs that it sees beside the case.
    """

    def __init__(self, session: Session, reads: Sequence[type[Contract]]) -> None:
        self.session, self.reads = session, reads
        self.policy = session.version.bundle.policy

    def problem(self, file: CaseFile) -> ContractViolation | None:
        """Return why the role cannot work on a case, or None: what it lacks is none when people can take it over."""
        for contract in self.reads:
            payload = file.context.get(contract.__name__)
            if payload is None:
                if self._reaches_people(file):
                    continue
                return ContractViolation(
                    contract.contract_ref(), [f"(whole): no handoff of the case is a {contract.__name__}"]
                )
            try:
                check_payload(contract, payload)
            except ContractViolation as violation:
                return violation
        return None

    def lacks(self, file: CaseFile) -> str:
        """Return the contract that the role would read and that no earlier role delivered; empty: all are there."""
        return next((c.__name__ for c in self.reads if c.__name__ not in file.context), "")

    def _reaches_people(self, file: CaseFile) -> bool:
        run, task = self.session.run, self.session.task.task_id
        return run.wiring.route_to_people(task, file.case.route) is not None

    def stale(self, files: Sequence[CaseFile], now: datetime) -> dict[str, StaleContext]:
        """
        Return what of the cases is too old to be read, by case.

        What people saw when they approved a case is as old as their approval: they took it as it was.
        """
        if not self.policy.fresh:
            return {}
        made = {file.id: {self.policy.contract: file.case.opened_at, **file.made_at} for file in files}
        late = [case_id for case_id, at in made.items() if self._too_old(at, now) is not None]
        if late:
            with self.session.read() as connection:
                for case_id, request in approvals_of(connection, late).items():
                    gate = load_version(connection, request.version_id).bundle.policy.gates.get(request.gate)
                    for name in (self.policy.contract, *(gate.sees if gate is not None else ())):
                        if name in made[case_id] and request.decided_at is not None:
                            made[case_id][name] = max(made[case_id][name], request.decided_at)
        return {case_id: told for case_id in late if (told := self._too_old(made[case_id], now)) is not None}

    def _too_old(self, made: Mapping[str, datetime], now: datetime) -> StaleContext | None:
        for name, allowed in self.policy.fresh.items():
            if name in made and (age := now - made[name]) > allowed:
                return StaleContext(f"{name} is {_days(age)} old, and the policy lets it be {_days(allowed)}")
        return None

    def people_decide(self, file: CaseFile) -> bool:
        """Tell whether a case that is too old can go to people, and the runbook sends it there."""
        return self.policy.recovery(StaleContext("")).then == "review" and self._reaches_people(file)


def _days(age: timedelta) -> str:
    return f"{age / timedelta(days=1):.1f} days" if age >= timedelta(days=1) else f"{age / timedelta(hours=1):.1f} h"
