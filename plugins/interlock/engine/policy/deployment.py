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
    return {**_told(row), "version": version.number}


def list_deployments(ledger: Ledger, *, history: bool = False) -> list[dict[str, Any]]:
    """Return how each workflow stands, or with *history* every change, the newest first, as JSON types."""
    found: list[dict[str, Any]] = []
    seen: set[str] = set()
    for row in deployments(ledger):
        if history or row["workflow"] not in seen:
            found.append(_told(row))
        seen.add(row["workflow"])
    return found


def _told(row: dict[str, Any]) -> dict[str, Any]:
    kept = {name: row[name] for name in ("workflow", "environment", "state", "set_by", "reason")}
    return {**kept, "since": row["since"].isoformat()}
