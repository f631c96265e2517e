"""
Throwing kill switches: who may, is asked at the door; here it is made sure that what is named is there.

A misspelt name would switch nothing off and say that it had, so a name must be one that a version in force knows, or
the version that a run pinned and has not ended with.
"""

from __future__ import annotations

from typing import Any

from interlock.domain.policy.version import WorkflowVersion
from interlock.errors import InputError, UnknownName
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import versions_at_work
from interlock.ledger.runs.kill_switch import KINDS, Switch, list_switches, switch_off, switch_on
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import KillSwitch
from interlock.ledger.store.transaction import Actor


def throw(ledger: Ledger, *, kind: str, name: str, off: bool, person: str, reason: str) -> dict[str, Any]:
    """
    Switch *name* off, or on again, in the ledger's environment; return what holds now.

    Off stops new work within one group of cases: nothing more is taken in, asked of an agent or sent. What was sent is
    recorded, votes still count, and the cases stand where they are until a resume run takes them on.

    :raises UnknownName: there is no such kind of switch, or nothing of that name.
    :raises InputError: there is no reason, or it is not off.
    """
    if kind not in KINDS:
        raise UnknownName("kind of switch", kind, KINDS)
    if not reason.strip():
        raise InputError(f"switching {kind} {name!r} {'off' if off else 'on'} needs a reason: say why")
    actor = Actor("person", person)
    if not off:
        row = switch_on(ledger, (kind, name), actor=actor, reason=reason)
        return {**_to_json(row), "is_off": False, "is_new": True}
    _check_name(ledger, (kind, name))
    row, is_new = switch_off(ledger, (kind, name), actor=actor, reason=reason)
    return {**_to_json(row), "is_off": True, "is_new": is_new}


def switches(ledger: Ledger, *, history: bool = False) -> list[dict[str, Any]]:
    """Return what is off, or with *history* every time that something was, as JSON types."""
    return [{**_to_json(row), "is_off": row.on_at is None} for row in list_switches(ledger, history=history)]


def _check_name(ledger: Ledger, switch: Switch) -> None:
    kind, name = switch
    known: set[str] = set(company_in_force(ledger).connectors) if kind == "connector" else set()
    for version in versions_at_work(ledger):
        known |= _names(version, kind)
    if name not in known:
        raise UnknownName(kind, name, known, where=f"environment {ledger.environment!r}")


def _names(version: WorkflowVersion, kind: str) -> set[str]:
    bundle = version.bundle
    if kind == "workflow":
        return {bundle.workflow}
    if kind == "agent":
        return {f"{bundle.workflow}/{agent}" for agent in bundle.agents}
    return set()


def _to_json(row: KillSwitch) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "name": row.name,
        "environment": row.environment,
        "off_by": row.off_by,
        "off_at": row.off_at.isoformat(),
        "off_reason": row.off_reason,
        "on_by": row.on_by,
        "on_at": row.on_at.isoformat() if row.on_at else None,
        "on_reason": row.on_reason,
    }
