"""
Versions that travel between ledgers: signed where they were in force, proposed where they arrive.

The signature (Ed25519) is over the canonical JSON of all that travels, so a byte that changed on the way is found.
Whose signatures count is written in the ``approvals.yaml`` of the environment that takes a version in; a version comes
from the environment before, where it must have been in force: test, staging, production.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from interlock.domain.approvals.access import Identity
from interlock.domain.base.canonical import canonical_json
from interlock.domain.policy.version import Bundle
from interlock.engine.policy.publication import IN_FORCE, check_proposal, status_of, statuses
from interlock.errors import ConfigurationError, InputError
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import approvals_of, in_force, version_numbered
from interlock.ledger.policy.version import propose as record_proposal
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.transaction import Actor

FORMAT = 1
BEFORE = {"staging": "test", "production": "staging"}
"""Environment to the one that its versions come from."""


def new_key() -> tuple[str, str]:
    """Return a new private key and its public half, base64."""
    private = Ed25519PrivateKey.generate()
    return _text(private.private_bytes_raw()), _text(private.public_key().public_bytes_raw())


def export_version(
    ledger: Ledger, workflow: str, number: int | None, *, person: Identity, private_key: str
) -> dict[str, Any]:
    """
    Return version *number* of *workflow*, signed, as JSON types.

    :param number: left out, the one in force.
    :param private_key: base64 of 32 bytes.
    :raises NotAuthorised: *person* may not propose.
    :raises InputError: the version was never in force here.
    :raises ConfigurationError: the key is none.
    """
    company_in_force(ledger).access.demand(person, "propose", workflow)
    known = statuses(ledger, workflow)
    found = next((s for s in known if (s.state == IN_FORCE if number is None else s.version.number == number)), None)
    version = version_numbered(ledger, workflow, found.version.number if found else number or 0)
    if found is None or not found.version.was_in_force:
        raise InputError(f"version {version.number} of {workflow!r} was never in force in {ledger.environment!r}")
    content = {
        "interlock_version": FORMAT,
        "environment": ledger.environment,
        "workflow": workflow,
        "number": version.number,
        "digest": version.bundle.digest,
        "author": version.author,
        "reason": found.version.reason,
        "approvals": [{"person": a.person, "answer": a.answer} for a in found.approvals],
        "exported_by": str(Actor("person", person.id)),
        "bundle": version.bundle.to_json(),
    }
    key = _private(private_key)
    return {
        **content,
        "key": _text(key.public_key().public_bytes_raw()),
        "signature": _text(key.sign(canonical_json(content).encode())),
    }


def import_version(
    ledger: Ledger,
    document: Mapping[str, Any],
    *,
    person: Identity,
    reason: str,
    wiring: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    Propose here what was exported elsewhere; its author stays who wrote it. Return the number that it has here.

    :raises NotAuthorised: *person* may not propose.
    :raises InputError: it is no export, not as it was signed, signed by a key that is not trusted, or from another
        environment than the one before.
    :raises PolicyError: it cannot work here.
    """
    content = {name: value for name, value in document.items() if name not in ("key", "signature")}
    if content.get("interlock_version") != FORMAT or not isinstance(content.get("bundle"), Mapping):
        raise InputError("this is no exported version. Give a file of: airflow interlock policy export")
    bundle = Bundle.from_json(content["bundle"])
    company = company_in_force(ledger)
    origin = str(content.get("environment"))
    company.access.demand(person, "propose", bundle.workflow)
    _demand_origin(ledger, origin)
    trusted = company.approvals.trusted_keys.get(origin)
    if trusted is None or trusted != document.get("key"):
        raise InputError(
            f"its key is not the one that approvals.yaml trusts for {origin!r} (trusted_keys): "
            f"{str(document.get('key'))[:12]!r} signed it, {str(trusted)[:12]!r} is trusted"
        )
    _check_signature(content, trusted, str(document.get("signature")))
    if content["digest"] != bundle.digest or content["workflow"] != bundle.workflow:
        raise InputError("its digest is not that of its text")
    check_proposal(ledger, bundle, company, wiring)
    kept = {name: content[name] for name in ("environment", "number", "digest", "approvals", "exported_by")}
    version, is_new = record_proposal(
        ledger,
        bundle,
        actor=Actor("person", person.id),
        reason=reason,
        author=str(content["author"]),
        origin={**kept, "key": trusted},
    )
    return {
        "workflow": bundle.workflow,
        "number": version.number,
        "digest": bundle.digest,
        "environment": ledger.environment,
        "author": version.author,
        "origin": kept,
        "is_new": is_new,
    }


def bring_over(
    ledger: Ledger, workflow: str, *, origin: str, person: Identity, reason: str, wiring: Mapping[str, Any] | None
) -> dict[str, Any]:
    """
    Propose here the version that is in force in *origin*, an environment of the same ledger; its author stays.

    No signature is asked for: whoever may write this ledger's versions may write those of the other environment, too.

    :raises NotAuthorised: *person* may not propose.
    :raises InputError: *origin* is not the environment before this one.
    :raises ConfigurationError: nothing is in force brought.
    :raises PolicyError: it cannot work here.
    """
    company = company_in_force(ledger)
    company.access.demand(person, "propose", workflow)
    _demand_origin(ledger, origin)
    brought = in_force(replace(ledger, environment=origin), workflow, seal=ledger.seal)
    check_proposal(ledger, brought.bundle, company, wiring)
    with ledger.read() as connection:
        approvals = [row.values() for row in approvals_of(connection, brought.id)]
    kept = {"environment": origin, "number": brought.number, "digest": brought.bundle.digest, "approvals": approvals}
    actor = Actor("person", person.id)
    version, is_new = record_proposal(
        ledger, brought.bundle, actor=actor, reason=reason, author=brought.author, origin=kept
    )
    return {
        "workflow": workflow,
        "number": version.number,
        "digest": version.bundle.digest,
        "author": version.author,
        "origin": kept,
        "is_new": is_new,
        "lacks": status_of(ledger, workflow, version.number).lacks,
    }


def _demand_origin(ledger: Ledger, origin: str) -> None:
    expected = BEFORE.get(ledger.environment)
    if origin != expected:
        come = f"come from {expected!r}" if expected else "are proposed from include, and do not come from elsewhere"
        raise InputError(f"this version is from {origin!r}; versions of {ledger.environment!r} {come}")


def _check_signature(content: Mapping[str, Any], key: str, signature: str) -> None:
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
        public.verify(base64.b64decode(signature, validate=True), canonical_json(dict(content)).encode())
    except (InvalidSignature, ValueError, binascii.Error):
        raise InputError("it is not as it was signed: take the file again from where it was exported") from None


def _private(text: str) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        raise ConfigurationError(
            "the signing key is not the base64 of 32 bytes. Make one: airflow interlock policy key"
        ) from None


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
