"""Deploying, pausing and retiring a workflow: whether it runs in an environment at all."""

from __future__ import annotations

from typing import Any

from interlock.domain.approvals.access import Identity
from interlock.domain.policy.company import COMPANY
from interlock.errors import InputError, UnknownName
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.deployment import DeploymentState, deployments, set_deployment
from interlock.ledger.policy.version import in_force
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Deployment
from interlock.ledger.store.transaction import Actor

STATES: dict[str, DeploymentState] = {"deploy": "deployed", "pause": "paused", "retire": "retired"}
"""What a person does, to what the workflow is then."""


def change_deployment(ledger: Ledger, workflow: str, *, act: str, person: Identity, reason: str) -> dict[str, Any]:
    """
    Deploy, pause or retire *workflow* in the ledger's environment; return the record.

    Runs that began go on; to stop these there is the kill switch. Cases that wait stay in the ledger.

    :raises NotAuthorised: *person* does not have the right ``deploy``.
    :raises ConfigurationError: no version of it is in force, so there is nothing to deploy.
    :raises InputError: there is no reason, or it is so already.
    """
    if act not in STATES:
        raise UnknownName("act", act, STATES)
    company_in_force(ledger).access.demand(person, "deploy", workflow)
    if not reason.strip():
        raise InputError(f"to {act} {workflow!r} needs a reason: say why")
    if workflow == COMPANY:
        raise InputError("the company's files are in force or not; only workflows are deployed")
    version = in_force(ledger, workflow)
    row = set_deployment(ledger, workflow, STATES[act], actor=Actor("person", person.id), reason=reason)
    return {**_to_json(row), "version": version.number}


def list_deployments(ledger: Ledger, *, history: bool = False) -> list[dict[str, Any]]:
    """Return how each workflow stands, or with *history* every change, the newest first, as JSON types."""
    found = deployments(ledger) if history else current_deployments(ledger).values()
    return [_to_json(row) for row in found]


def current_deployments(ledger: Ledger) -> dict[str, Deployment]:
    """Return the last record of each workflow that was ever deployed, the newest first."""
    found: dict[str, Deployment] = {}
    for row in deployments(ledger):
        found.setdefault(row.workflow, row)
    return found


def _to_json(row: Deployment) -> dict[str, Any]:
    return {
        "workflow": row.workflow,
        "environment": row.environment,
        "state": row.state,
        "set_by": row.set_by,
        "reason": row.reason,
        "since": row.since.isoformat(),
    }
