"""
Which parts of a case a person may read: personal data and the audit need a right.

A field whose contract gives it a class of data is shown as ``[class]`` to people without ``read_personal``. Those
who may vote on the case see its value: a voter must see what the vote approves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.console.identity import Person
from interlock.domain.agents.usage_right import data_classes
from interlock.domain.approvals.access import Right
from interlock.errors import ConfigurationError
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import find_in_force
from interlock.ledger.runs.run import load_run
from interlock.ledger.store.ledger import Ledger

Hidden = Mapping[str, Mapping[str, str]]
"""Contract (``case`` for the intake's) to its fields and what is shown in their place."""


def may_read(person: Person, ledger: Ledger, right: Right, workflow: str) -> bool:
    """Return whether *person* has a reading right for *workflow*."""
    return company_in_force(ledger).access.holds(person.identity, right, workflow)


def for_reader(history: dict[str, Any], person: Person, ledger: Ledger) -> dict[str, Any]:
    """Return a case's *history* as *person* may read it."""
    row = history["case"]
    if not may_read(person, ledger, "read_audit", row["workflow"]):
        history = {**history, "events": [], "audit_withheld": True}
    if may_read(person, ledger, "read_personal", row["workflow"]):
        return history
    hidden = _hidden(ledger, row["workflow"], row["run_id"])
    return {
        **history,
        "case": {**row, "content": _shown("case", row["content"], hidden)},
        "handoffs": [
            {**h, "payload": _shown(str(h["contract"]).split("@")[0], h["payload"], hidden)}
            for h in history["handoffs"]
        ],
        "decisions": [{**d, "inputs": _inputs(d["inputs"], hidden)} for d in history["decisions"]],
    }


def for_voter(seen: dict[str, Any], person: Person, ledger: Ledger, workflow: str) -> dict[str, Any]:
    """Return what is asked about a case as *person* may read it: all of it when they may vote."""
    if not seen["refused"] or may_read(person, ledger, "read_personal", workflow):
        return seen
    hidden = _hidden(ledger, workflow, seen["run"]["id"])
    draft = seen["draft_contract"] or "case"
    return {
        **seen,
        "case": _shown("case", seen["case"], hidden),
        "handoffs": {name: _shown(name, payload, hidden) for name, payload in seen["handoffs"].items()},
        "execute": _shown(str(draft).split("@")[0], seen["execute"], hidden),
    }


def _hidden(ledger: Ledger, workflow: str, run_id: str | None) -> Hidden:
    with ledger.read() as connection:
        version = (
            load_run(connection, run_id).version
            if run_id
            else find_in_force(connection, ledger.environment, workflow, None)
        )
    if version is None:
        raise ConfigurationError(f"no version of {workflow!r} says which fields of its cases are whose")
    schemas = {name: contract["schema"] for name, contract in version.bundle.contracts.items()}
    schemas["case"] = schemas[version.bundle.policy.contract]
    return {
        name: {field: f"[{', '.join(sorted(classes))}]" for field, classes in data_classes(schema).items()}
        for name, schema in schemas.items()
    }


def _shown(contract: str, payload: Any, hidden: Hidden) -> Any:
    fields = hidden.get(contract, {})
    if not isinstance(payload, Mapping) or not fields:
        return payload
    return {name: fields.get(name, value) if value is not None else None for name, value in payload.items()}


def _inputs(inputs: Any, hidden: Hidden) -> Any:
    """What the rules read: ``case`` and handoffs under their names, or flat as ``case.text``."""
    from interlock.domain.base.contract import variable_prefix

    if not isinstance(inputs, Mapping):
        return inputs
    by_prefix = {name if name == "case" else variable_prefix(name): fields for name, fields in hidden.items()}
    shown = {}
    for name, value in inputs.items():
        prefix, _, field = str(name).partition(".")
        fields = by_prefix.get(prefix, {})
        shown[name] = fields.get(field, value) if field else _shown(prefix, value, by_prefix)
    return shown
