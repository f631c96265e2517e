"""Putting quarantined cases and dead letters back to work, by a person who may have mended their content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interlock.domain.base.contract import check_payload
from interlock.domain.cases.case import CaseState
from interlock.engine.approvals.review_action import on_case
from interlock.engine.policy.bundle import load_contracts
from interlock.errors import InputError
from interlock.ledger.cases.case import CaseFile, load_files, move, store_payload
from interlock.ledger.cases.handoff import load_handoffs
from interlock.ledger.effects.authorisation import standing
from interlock.ledger.runs.run import WorkflowRun, load_run
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Case, CaseChange
from interlock.ledger.store.transaction import Transaction


def resubmit(
    ledger: Ledger,
    name: str,
    *,
    person: str,
    changes: Mapping[str, Any],
    include: Path,
    from_start: bool = False,
) -> dict[str, Any]:
    """
    Put a quarantined case or a dead letter back to work, with *changes* to its content; a resume run takes it up.

    A dead letter goes on where it died; with changes, or *from_start*, it begins again behind the intake.

    :raises ContractViolation: with the changes it still does not satisfy its contract.
    :raises InputError: it is neither quarantined nor dead.
    """
    with on_case(ledger, name, person) as (tx, row):
        state = CaseState(row.state)
        if state not in (CaseState.QUARANTINED, CaseState.DEAD) or row.run_id is None:
            raise InputError(f"case {row.business_key!r} is {state.value!r}; only quarantined and dead ones can be")
        run = load_run(tx.connection, row.run_id)
        file = load_files(tx.connection, [row])[0]
        change = CaseChange(run_id=None, reason=None)
        if state is CaseState.QUARANTINED or changes or from_start:
            change = change | _from_start(tx, run, file, changes, include)
        else:
            change = change | _where_it_died(tx, run, row)
        moved = move(tx, [(row, change)], kind="case.resubmitted")[0]
        return {
            "case": moved.business_key,
            "state": str(moved.state),
            "task": moved.task,
            "note": f"airflow interlock resume {run.workflow} resumes it",
        }


def _from_start(
    tx: Transaction, run: WorkflowRun, file: CaseFile, changes: Mapping[str, Any], include: Path
) -> CaseChange:
    name = file.case.contract.split("@")[0]
    contract = load_contracts(include, run.workflow, [name])[name]
    kept = {field: value for field, value in file.payload.items() if field in contract.model_fields}
    payload = check_payload(contract, {**kept, **changes}).model_dump(mode="json")
    intake = run.wiring.of_kind("intake")[0]
    following = run.wiring.next_task(intake.task_id, None)
    assert following is not None
    return CaseChange(
        state=CaseState.OPEN,
        task=following.task_id,
        route=None,
        attempt=0,
        context={},
        handoff_id=None,
        draft_id=None,
        decision_id=None,
        contract=contract.contract_ref(),
        payload_digest=store_payload(tx, [(file.id, file.secret, payload)])[0],
    )


def _where_it_died(tx: Transaction, run: WorkflowRun, row: Case) -> CaseChange:
    task = run.wiring.tasks.get(row.task or "")
    if task is None:
        raise InputError(f"case {row.business_key!r} does not say where it died; resubmit it with --from-start")
    if task.kind == "branch":
        return CaseChange(state=CaseState.OPEN, route=None, attempt=0)
    if task.kind == "execution":
        drafts = load_handoffs(tx.connection, [row.draft_id] if row.draft_id else [])
        digests = {draft.payload_digest for draft in drafts.values()} or {row.payload_digest}
        granted = standing(tx, [row.id], action=task.connector)
        if any(grant.payload_digest in digests for grant in granted):
            return CaseChange(state=CaseState.AUTHORISED)
        validations = run.wiring.of_kind("validation")
        if not validations:
            raise InputError(f"case {row.business_key!r} has no authorisation any more; resubmit it with --from-start")
        task = validations[0]
    state = CaseState.ROUTED if row.route not in (None, "stop") else CaseState.OPEN
    return CaseChange(state=state, task=task.task_id)
