"""The API of versions and deployments: propose, approve, promote, publish, roll back; deploy, pause, retire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict

from interlock.console.api_case import Book
from interlock.console.identity import Actor, Reader, demand, demand_right, may
from interlock.engine.policy import publication
from interlock.engine.policy.deployment import change_deployment, list_deployments

router = APIRouter()


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Proposal(_Body):
    """A bundle that shall be a version."""

    bundle: dict[str, Any]
    reason: str
    wiring: dict[str, Any] | None = None
    """Of the Dag that it is held against."""


class Approval(_Body):
    """What a person says to a version."""

    answer: str
    digest: str
    """Of what the person read."""
    reason: str = ""


class Promotion(_Body):
    """A version to put in force."""

    reason: str
    since: AwareDatetime | None = None
    """Left out: now."""
    wiring: dict[str, Any] | None = None


class BringOver(_Body):
    """Which environment a version is taken over from."""

    origin: str
    reason: str
    wiring: dict[str, Any] | None = None


class Arrival(_Body):
    """A version that was exported elsewhere."""

    document: dict[str, Any]
    reason: str
    wiring: dict[str, Any] | None = None


class Rollback(_Body):
    """An earlier version to put in force again."""

    number: int | None = None
    """Left out: the one before."""
    reason: str


class Deployment(_Body):
    """``deploy``, ``pause`` or ``retire``."""

    act: str
    reason: str


@router.get("/versions/{workflow}")
def versions(workflow: str, person: Reader, ledger: Book) -> dict[str, Any]:
    """Return the versions of a workflow or of the company's files, how each stands and what it lacks."""
    demand(person, "GET", None, "see versions")
    return {"versions": [_as_json(row) for row in publication.versions(ledger, workflow)]}


@router.post("/versions")
def publish(body: Proposal, person: Actor, ledger: Book) -> dict[str, Any]:
    """Propose a bundle, and put it in force when no approval is lacking."""
    return publication.publish_bundle(
        ledger,
        body.bundle,
        person=person.identity,
        reason=body.reason,
        wiring=body.wiring,
        is_founder=may(person, "PUT", None),
    )


@router.post("/versions/propose")
def propose(body: Proposal, person: Actor, ledger: Book) -> dict[str, Any]:
    """Record a bundle as the next version, without putting it in force."""
    return publication.propose(ledger, body.bundle, person=person.identity, reason=body.reason, wiring=body.wiring)


@router.post("/versions/{workflow}/{number}/approval")
def approve(workflow: str, number: int, body: Approval, person: Actor, ledger: Book) -> dict[str, Any]:
    """Say yes or no to a version."""
    return publication.approve(
        ledger,
        workflow,
        number,
        person=person.identity,
        answer=body.answer,
        reason=body.reason,
        digest=body.digest,
    )


@router.post("/versions/{workflow}/{number}/promotion")
def promote(workflow: str, number: int, body: Promotion, person: Actor, ledger: Book) -> dict[str, Any]:
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


@router.post("/versions/import")
def take_in(body: Arrival, person: Actor, ledger: Book) -> dict[str, Any]:
    """Propose a version that was exported elsewhere."""
    from interlock.engine.policy.version_transfer import import_version

    return import_version(ledger, body.document, person=person.identity, reason=body.reason, wiring=body.wiring)


@router.post("/versions/{workflow}/bring-over")
def bring(workflow: str, body: BringOver, person: Actor, ledger: Book) -> dict[str, Any]:
    """Propose the version in force in the environment before this one, of the same ledger."""
    from interlock.engine.policy.version_transfer import bring_over

    return bring_over(
        ledger, workflow, origin=body.origin, person=person.identity, reason=body.reason, wiring=body.wiring
    )


@router.post("/versions/{workflow}/export")
def export(workflow: str, person: Actor, ledger: Book, number: int | None = None) -> dict[str, Any]:
    """Return a version that is or was in force, signed."""
    from interlock.engine.policy.version_transfer import export_version
    from interlock.hooks.signing import signing_key

    demand_right(person, ledger, "propose", workflow)
    return export_version(ledger, workflow, number, person=person.identity, private_key=signing_key())


@router.post("/workflows/{workflow}/rollback")
def rollback(workflow: str, body: Rollback, person: Actor, ledger: Book) -> dict[str, Any]:
    """Put an earlier version in force again."""
    return publication.roll_back_to(ledger, workflow, number=body.number, person=person.identity, reason=body.reason)


@router.get("/deployments")
def deployments(person: Reader, ledger: Book, history: bool = False) -> dict[str, Any]:
    """Return which workflows run here."""
    demand(person, "GET", None, "see deployments")
    return {"deployments": list_deployments(ledger, history=history)}


@router.post("/workflows/{workflow}/deployment")
def deploy(workflow: str, body: Deployment, person: Actor, ledger: Book) -> dict[str, Any]:
    """Deploy, pause or retire a workflow in this environment."""
    return change_deployment(ledger, workflow, act=body.act, person=person.identity, reason=body.reason)


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return {key: _as_json(item) for key, item in value.items()} if isinstance(value, dict) else value
