"""
Which actions of a workflow may go on without a vote.

A policy says of each action (a connector's name) ``automatic``, ``with_approval`` or ``never``; one that it does not
list needs approval. Whatever it says, three things always need a vote: what cannot be undone, legal wording, and
prices; the latter two are marked at a contract's field (``Field(json_schema_extra={"needs_vote": "a price"})``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from interlock.domain.cases.wiring import Wiring
from interlock.domain.effects.connector import ConnectorDeclaration

Autonomy = Literal["automatic", "with_approval", "never"]


def vote_marks(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a contract's JSON schema that always need a vote, and what each is."""
    fields = schema.get("properties", {})
    return {name: field["needs_vote"] for name, field in fields.items() if isinstance(field.get("needs_vote"), str)}


def why_a_vote(
    autonomy: Mapping[str, Autonomy],
    action: str,
    connector: ConnectorDeclaration | None,
    draft: Mapping[str, Any],
) -> str | None:
    """
    Return why *action* needs a vote, or None when it may go on by itself.

    :param connector: as the company's files declare it; None: they do not, and nobody knows how to undo it.
    :param draft: JSON schema of the contract of what would be sent.
    """
    allowed = autonomy.get(action)
    if allowed != "automatic":
        return f"action {action!r} is {allowed or 'not listed'} under autonomy"
    if connector is None or not connector.can_be_undone:
        return f"action {action!r} cannot be undone"
    marked = vote_marks(draft)
    return f"{', '.join(f'{name} is {what}' for name, what in marked.items())}" if marked else None


def autonomy_problems(
    autonomy: Mapping[str, Autonomy],
    connectors: Mapping[str, ConnectorDeclaration],
    contracts: Mapping[str, Mapping[str, Any]],
    wiring: Wiring | None,
) -> list[str]:
    """
    Return what a policy says of its actions that cannot be.

    :param contracts: contract name to JSON schema.
    """
    automatic = [action for action, allowed in autonomy.items() if allowed == "automatic"]
    problems = []
    for action in automatic:
        connector = connectors.get(action)
        if connector is not None and not connector.can_be_undone:
            problems.append(
                f"autonomy: {action!r} is automatic, and its connector does not say how to undo it: it needs a vote. "
                "Write with_approval, or undo at the connector in company/ecosystem.yaml"
            )
    for action in sorted(set(autonomy) - set(connectors)):
        known = ", ".join(sorted(connectors)) or "none"
        problems.append(f"autonomy: {action!r} is no connector of company/ecosystem.yaml (known: {known})")
    if wiring is not None:
        problems += _against_wiring(autonomy, automatic, contracts, wiring)
    return problems


def _against_wiring(
    autonomy: Mapping[str, Autonomy],
    automatic: Iterable[str],
    contracts: Mapping[str, Mapping[str, Any]],
    wiring: Wiring,
) -> list[str]:
    executions = wiring.of_kind("execution")
    problems = [
        f"autonomy: {task.connector!r} is never to be used, and task {task.task_id!r} uses it"
        for task in executions
        if autonomy.get(task.connector or "") == "never"
    ]
    handed_on = {task.contract for task in wiring.of_kind("role") if task.contract in contracts}
    for name in sorted(name for name in handed_on if name is not None):
        for action in sorted({task.connector for task in executions} & set(automatic), key=str):
            problems += [
                f"autonomy: {action!r} is automatic, and {name}.{field} is {what}: that always needs a vote"
                for field, what in vote_marks(contracts[name]).items()
            ]
    return problems
