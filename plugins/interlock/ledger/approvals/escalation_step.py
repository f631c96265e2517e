"""The steps that upkeep takes with requests that nobody decides: each is written with the request, once."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from interlock.ledger.store.record import Case, GateRequest
from interlock.ledger.store.schema import case, gate_request
from interlock.ledger.store.seal import fault_of
from interlock.ledger.store.transaction import Transaction


def lock_requests(tx: Transaction, asked: Sequence[GateRequest]) -> list[tuple[GateRequest, Case]]:
    """
    Lock *asked* and their cases; return them as they are now, in the order of the cases.

    A request whose seal is no good is not among them: no step is taken for what somebody wrote into the database.
    Cases before requests, as all that people do: else two would wait for each other.
    """
    ids = [request.case_id for request in asked]
    rows = tx.connection.execute(select(case).where(case.c.id.in_(ids)).order_by(case.c.id).with_for_update())
    cases = {row.id: row for row in Case.all_of(rows)}
    wanted = select(gate_request).where(gate_request.c.id.in_([request.id for request in asked]))
    requests = tx.connection.execute(wanted.order_by(gate_request.c.case_id).with_for_update())
    return [
        (request, cases[request.case_id])
        for request in GateRequest.all_of(requests)
        if tx.seal is None or fault_of(tx.seal, gate_request, request.__dict__) is None
    ]


def record_step(tx: Transaction, changed: GateRequest, step: str) -> GateRequest:
    """
    Write a request as *step* leaves it, and return it with its next revision.

    Who is asked can be other people now, so it is sealed again; :func:`lock_requests` looked at the seal that it had.
    """
    (after,) = tx.update(
        gate_request,
        [changed],
        reseals=True,
        kind="gate.expired" if step == "expire" else f"gate.step.{step}",
        facts=lambda row: {"gate": row["gate"], "state": row["state"], "case": row["case_id"], "step": step},
    )
    return after
