"""Putting a bundle in force: checked first, published by a person, the same text never twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.domain.check import check_policy
from interlock.domain.version import Bundle
from interlock.domain.wiring import Wiring
from interlock.errors import InputError, PolicyError
from interlock.ledger.book import Ledger
from interlock.ledger.transaction import Actor
from interlock.ledger.version import publish, roll_back

NEEDS_APPROVAL = ("staging", "production")


def check_bundle(bundle: Bundle, wiring: Wiring | None) -> list[str]:
    """Return every problem of *bundle*, held against the Dag's *wiring* when it is given."""
    _ = bundle.settings
    return check_policy(bundle.policy, bundle.types, groups=bundle.groups, agents=bundle.agents, wiring=wiring)


def publish_bundle(
    ledger: Ledger, document: Mapping[str, Any], *, person: str, reason: str, wiring: Mapping[str, Any] | None
) -> dict[str, Any]:
    """
    Put the bundle in *document* in force as the next version; return its number and digest.

    :raises PolicyError: it cannot work, or this environment asks for approvals.
    """
    bundle = Bundle.from_json(document)
    problems = check_bundle(bundle, Wiring.from_json(wiring) if wiring is not None else None)
    if problems:
        raise PolicyError(f"{bundle.workflow} was not published: " + "; ".join(problems))
    if ledger.environment in NEEDS_APPROVAL:
        raise PolicyError(
            f"environment {ledger.environment!r} asks for approvals before a version is in force, and there is no way "
            "to give them yet. Publish to 'test' ([interlock] environment)"
        )
    version, is_new = publish(ledger, bundle, author=Actor("person", person), reason=reason)
    return {
        "workflow": bundle.workflow,
        "number": version.number,
        "digest": bundle.digest,
        "environment": version.environment,
        "author": version.author,
        "is_new": is_new,
    }


def roll_back_to(ledger: Ledger, workflow: str, *, number: int | None, person: str, reason: str) -> dict[str, Any]:
    """
    Put an earlier version of *workflow* in force again at once; return it. Runs that began keep what they pinned.

    No approval is asked for: what was in force here was approved, and a way back that waits is none.

    :param number: left out, the one before.
    :raises InputError: there is no reason, or nothing to go back to.
    :raises UnknownName: no version of that number was in force here.
    """
    if not reason.strip():
        raise InputError(f"putting an earlier version of {workflow!r} in force needs a reason: say why")
    version, before = roll_back(ledger, workflow, number=number, author=Actor("person", person), reason=reason)
    return {
        "workflow": workflow,
        "number": version.number,
        "digest": version.bundle.digest,
        "environment": version.environment,
        "instead_of": before.number,
        "set_by": str(Actor("person", person)),
    }
