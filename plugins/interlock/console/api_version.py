"""The API of versions and deployments: propose, approve, promote, publish, roll back; deploy, pause, retire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter

from interlock.console.guard import EngineAsks, HoldsRightInWorkflow, SeesDags, SeesWorkflow, guards
from interlock.console.identity import Actor, Reader, may
from interlock.console.ledger import OpenLedger
from interlock.console.reading import Sees
from interlock.console.request_body import (
    ApproveRequest,
    BringOverRequest,
    DeployRequest,
    ImportRequest,
    PromoteRequest,
    ProposeRequest,
    RollbackRequest,
)
from interlock.engine.policy import publication
from interlock.engine.policy.deployment import change_deployment, list_deployments

router = APIRouter()


@router.get("/versions/{workflow}", dependencies=guards(SeesWorkflow("see versions")))
def versions(workflow: str, person: Reader, ledger: OpenLedger) -> dict[str, Any]:
    """Return the versions of a workflow or of the company's files, the state of each and what it lacks."""
    return {"versions": [_as_json(row) for row in publication.versions(ledger, workflow)]}


@router.post("/versions", dependencies=guards(EngineAsks("propose")))
def publish(body: ProposeRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Propose a bundle, and put it in force when no approval is lacking."""
    return publication.publish_bundle(
        ledger,
        body.bundle,
        person=person.identity,
        reason=body.reason,
        wiring=body.wiring,
        is_founder=may(person, "PUT", None),
    )


@router.post("/versions/propose", dependencies=guards(EngineAsks("propose")))
def propose(body: ProposeRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Record a bundle as the next version, without putting it in force."""
    return publication.propose(ledger, body.bundle, person=person.identity, reason=body.reason, wiring=body.wiring)


@router.post("/versions/{workflow}/{number}/approval", dependencies=guards(EngineAsks("approve")))
def approve(workflow: str, number: int, body: ApproveRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Approve or reject a version."""
    return publication.approve(
        ledger,
        workflow,
        number,
        person=person.identity,
        answer=body.answer,
        reason=body.reason,
        digest=body.digest,
    )


@router.post("/versions/{workflow}/{number}/promotion", dependencies=guards(EngineAsks("promote")))
def promote(workflow: str, number: int, body: PromoteRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Put a version in force."""
    return publication.promote(
        ledger,
        workflow,
        number,
        person=person.identity,
        reason=body.reason,
        since=body.since,
        wiring=body.wiring,
    )


@router.post("/versions/import", dependencies=guards(EngineAsks("propose")))
def take_in(body: ImportRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Propose a version that was exported elsewhere."""
    from interlock.engine.policy.version_transfer import import_version

    return import_version(ledger, body.document, person=person.identity, reason=body.reason, wiring=body.wiring)


@router.post("/versions/{workflow}/bring-over", dependencies=guards(EngineAsks("propose")))
def bring(workflow: str, body: BringOverRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Propose the version in force in the environment before this one, of the same ledger."""
    from interlock.engine.policy.version_transfer import bring_over

    return bring_over(
        ledger, workflow, origin=body.origin, person=person.identity, reason=body.reason, wiring=body.wiring
    )


@router.post("/versions/{workflow}/export", dependencies=guards(HoldsRightInWorkflow("propose")))
def export(workflow: str, person: Actor, ledger: OpenLedger, number: int | None = None) -> dict[str, Any]:
    """Return a version that is or was in force, signed."""
    from interlock.engine.policy.version_transfer import export_version
    from interlock.hooks.signing import signing_key

    return export_version(ledger, workflow, number, person=person.identity, private_key=signing_key())


@router.post("/workflows/{workflow}/rollback", dependencies=guards(EngineAsks("promote")))
def rollback(workflow: str, body: RollbackRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Put an earlier version in force again."""
    return publication.roll_back_to(ledger, workflow, number=body.number, person=person.identity, reason=body.reason)


@router.get("/deployments", dependencies=guards(SeesDags("see deployments")))
def deployments(sight: Sees, history: bool = False) -> dict[str, Any]:
    """Return which workflows run here."""
    found = list_deployments(sight.ledger, history=history)
    return {"deployments": [row for row in found if sight.sees_workflow(row["workflow"])]}


@router.post("/workflows/{workflow}/deployment", dependencies=guards(EngineAsks("deploy")))
def deploy(workflow: str, body: DeployRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Deploy, pause or retire a workflow in this environment."""
    return change_deployment(ledger, workflow, act=body.act, person=person.identity, reason=body.reason)


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return {key: _as_json(item) for key, item in value.items()} if isinstance(value, dict) else value
