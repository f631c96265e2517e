"""Whether a workflow runs in an environment: deployed, paused or retired by a person, with every change of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from sqlalchemy import Connection, select

from interlock.errors import InputError, NotDeployed
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Deployment
from interlock.ledger.store.schema import deployment
from interlock.ledger.store.seal import demand_sealed, seal_of
from interlock.ledger.store.transaction import Actor, new_id

DeploymentState = Literal["deployed", "paused", "retired"]


def set_deployment(ledger: Ledger, workflow: str, state: DeploymentState, *, actor: Actor, reason: str) -> Deployment:
    """
    Record that *workflow* is *state* in the ledger's environment from now on; return the record.

    :raises InputError: it is so already, or it cannot be paused because it is not deployed.
    """
    with ledger.write(actor=actor, chain=f"deployment:{ledger.environment}:{workflow}") as tx:
        tx.take_turns(tx.chain)
        current = deployment_of(tx.connection, ledger.environment, workflow)
        was = current.state if current else None
        if was == state:
            by = current.set_by if current else ""
            raise InputError(f"workflow {workflow!r} is {state} in {ledger.environment!r} already, by {by}")
        if state == "paused" and was != "deployed":
            raise InputError(f"workflow {workflow!r} is not deployed in {ledger.environment!r}, so it cannot be paused")
        row = Deployment(
            id=new_id(),
            environment=ledger.environment,
            workflow=workflow,
            state=state,
            set_by=str(actor),
            reason=reason,
            since=tx.at if current is None else max(tx.at, current.since + timedelta(microseconds=1)),
        )
        tx.insert(deployment, [row], kind=f"workflow.{state}", facts=lambda r: {"reason": r["reason"], "was": was})
        return row


def deployment_of(connection: Connection, environment: str, workflow: str) -> Deployment | None:
    """Return the last record of *workflow* in *environment*; None: it was never deployed there."""
    row = connection.execute(
        select(deployment)
        .where(deployment.c.environment == environment, deployment.c.workflow == workflow)
        .order_by(deployment.c.since.desc())
        .limit(1)
    ).first()
    return None if row is None else Deployment.of(row)


def deployments(ledger: Ledger, *, workflow: str | None = None) -> list[Deployment]:
    """Return every record of the environment, the newest first."""
    query = select(deployment).where(deployment.c.environment == ledger.environment)
    if workflow is not None:
        query = query.where(deployment.c.workflow == workflow)
    with ledger.read() as connection:
        return Deployment.all_of(connection.execute(query.order_by(deployment.c.since.desc())))


def refuse_unless_deployed(connection: Connection, environment: str, workflow: str) -> None:
    """
    Let a run of *workflow* begin.

    :raises NotDeployed: it is not deployed in *environment*.
    :raises Tampered: the connection looks at seals, and whether it is deployed was not written with the key.
    """
    row = deployment_of(connection, environment, workflow)
    demand_sealed(seal_of(connection), deployment, [row] if row else [])
    if row is None:
        raise NotDeployed(
            f"workflow {workflow!r} was never deployed in environment {environment!r}, so it runs nothing. Whoever has "
            f"the right may do so: airflow interlock workflow deploy {workflow}"
        )
    if row.state != "deployed":
        raise NotDeployed(
            f"workflow {workflow!r} was {row.state} in environment {environment!r} by {row.set_by} at "
            f"{row.since:%Y-%m-%d %H:%M} UTC: {row.reason}. It runs again after: airflow interlock workflow "
            f"deploy {workflow}"
        )
