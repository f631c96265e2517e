"""
Overriding a decision: a person sends a case onto another route of its policy, with a reason.

It leads to people or to a stop, never to ``auto``: what a rule held back goes out by votes alone. The policy's checks
that stop a draft stop it here, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from interlock.domain.base.redaction import mask
from interlock.domain.cases.case import CaseState
from interlock.domain.routing.routing import Router
from interlock.engine.approvals.review_action import ask_again, decide, on_case
from interlock.engine.routing.rule_input import variables
from interlock.engine.routing.validation import told
from interlock.errors import InputError, UnknownName
from interlock.ledger.approvals.gate import void_requests
from interlock.ledger.cases.case import load_files, move
from interlock.ledger.effects.authorisation import withdraw
from interlock.ledger.effects.effect import is_under_way
from interlock.ledger.runs.run import load_run
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import CaseChange

OVERRIDABLE = frozenset({CaseState.WAITING, CaseState.AUTHORISED, CaseState.DEAD})


def override(ledger: Ledger, name: str, *, person: str, route: str, reason: str) -> dict[str, Any]:
    """
    Send the case *name* onto *route*: to the gate that serves it, or with ``stop`` to the dead letters.

    What was asked and allowed before is void.

    :raises UnknownName: no gate of the run's policy and Dag serves *route*.
    :raises InputError: there is no reason, the case is not where a decision can be overridden, is being sent, has no
        draft, or has one that a check stops.
    """
    if not reason.strip():
        raise InputError("overriding a decision needs a reason: say why")
    with on_case(ledger, name, person) as (tx, row):
        state = CaseState(row.state)
        if state not in OVERRIDABLE or row.run_id is None:
            raise InputError(
                f"case {row.business_key!r} is {state.value!r}; a decision is overridden while a case waits, is "
                "authorised or dead. Before that, ask for a review: airflow interlock review request"
            )
        if is_under_way(tx, row.id):
            raise InputError(f"case {row.business_key!r} is being sent at this moment; it is too late")
        run = load_run(tx.connection, row.run_id)
        policy = run.version.bundle.policy
        gates = {r: run.wiring.gate_task(g) for g, gate in policy.gates.items() for r in gate.routes}
        known = ["stop", *(r for r, task in gates.items() if task is not None)]
        if route == "auto":
            raise InputError("no one person sends what a rule held back: 'auto' is a rule's alone. Vote at its gate")
        if route not in known:
            raise UnknownName("route", route, known, where=f"version {run.version}")
        why = f"overridden by {person}: {mask(reason)}"
        change, at = CaseChange(route=route, reason=why), row.task or ""
        if route == "stop":
            if state is CaseState.DEAD:
                raise InputError(f"case {row.business_key!r} is a dead letter already")
            change = replace(change, state=CaseState.DEAD, task=None)
        else:
            (file,) = load_files(tx.connection, [row])
            if row.draft_id is None:
                raise InputError(
                    f"case {row.business_key!r} has no draft that people could decide on; resubmit it instead"
                )
            failed = Router.of(run.version.bundle).failed_checks(variables(file, run.version.bundle))
            if stopped := [told(check, error) for check, error in failed if check.on_failure == "stop"]:
                raise InputError(f"this must not be sent, no matter who says so: {'; '.join(stopped)}")
            task = gates[route]
            assert task is not None
            at = task.task_id
            change = replace(change, state=CaseState.WAITING, task=at)
        withdraw(tx, row.id)
        void_requests(tx, row.id)
        decision_id = decide(tx, run, row, at, person, why, route=route)
        (moved,) = move(tx, [(row, replace(change, decision_id=decision_id))], kind="case.overridden")
        if route != "stop":
            ask_again(tx, run, moved, at)
        return {"case": row.business_key, "state": str(moved.state), "route": route}
