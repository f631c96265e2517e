"""Putting a bundle in force: checked first, published by a person, the same text never twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.domain.check import check_policy
from interlock.domain.version import Bundle
from interlock.domain.wiring import Wiring
from interlock.errors import PolicyError
from interlock.ledger.book import Ledger
from interlock.ledger.transaction import Actor
from interlock.ledger.version import publish

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
