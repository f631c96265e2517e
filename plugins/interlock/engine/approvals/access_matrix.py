"""Who can do what, and who answers for which workflow, from what is in force now."""

from __future__ import annotations

from typing import Any

from interlock.domain.approvals.access import RIGHTS, ROLE
from interlock.domain.policy.company import Company
from interlock.engine.policy.deployment import current_deployments
from interlock.ledger.approvals.delegation import list_delegations
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import versions_in_force
from interlock.ledger.store.ledger import Ledger


def access_matrix(ledger: Ledger) -> dict[str, Any]:
    """
    Return who has which right and who votes at which gate, as JSON types.

    ``rights``: a row for each right, and for each that a workflow gives to others. ``gates``: a row for each stage of
    each gate of a workflow in force. ``delegations``: who stands in for whom now. ``warnings``: groups with nobody,
    groups that nothing names.
    """
    company = company_in_force(ledger)
    access = company.access
    rights = [_right(company, right, None) for right in RIGHTS]
    rights += [_right(company, right, name) for name, own in sorted(access.workflows.items()) for right in own]
    gates, named = [], {group for row in rights for group in row["groups"]}
    for version in versions_in_force(ledger):
        for name, gate in version.bundle.policy.gates.items():
            for stage in gate.asked():
                named |= set(stage.groups)
                gates.append(
                    {
                        "workflow": version.bundle.workflow,
                        "gate": name,
                        "stage": stage.name,
                        "order": stage.order,
                        "votes": stage.votes,
                        "people": _people(company, stage.groups, stage.people),
                    }
                )
    for row in (*company.approvals.versions, *company.approvals.cases):
        named |= {group for stage in row.stages for group in stage.groups}
    warnings = [f"group {group!r} has nobody in it" for group, members in access.groups.items() if not members]
    warnings += [f"group {group!r} has no right and votes nowhere" for group in access.groups if group not in named]
    if company.number is None:
        here = f"environment {ledger.environment!r}"
        warnings.append(f"no version of the company's files is in force in {here}, so nobody has a right")
    return {
        "environment": ledger.environment,
        "company": company.number,
        "rights": rights,
        "gates": gates,
        "delegations": [
            {
                "giver": row.giver,
                "taker": row.taker,
                "workflow": row.workflow,
                "until": row.until.isoformat(),
            }
            for row in list_delegations(ledger)
        ],
        "warnings": warnings,
    }


def owners(ledger: Ledger) -> list[dict[str, Any]]:
    """Return who answers for each workflow in force: its people with their escalation contacts, as JSON types."""
    deployed = current_deployments(ledger)
    found = []
    for version in versions_in_force(ledger):
        settings, reviewed = version.bundle.settings, version.bundle.policy.reviewed
        deployment = deployed.get(version.bundle.workflow)
        found.append(
            {
                "workflow": version.bundle.workflow,
                "version": version.number,
                "phase": settings.phase,
                "state": deployment.state if deployment else "not deployed",
                "review_by": reviewed.until.isoformat() if reviewed else None,
                "is_past_review": bool(reviewed and reviewed.until < ledger.clock().date()),
                **{
                    duty: person.model_dump(mode="json")
                    for duty, person in (
                        ("owner", settings.owner),
                        ("maintainer", settings.maintainer),
                        ("approver", settings.approver),
                    )
                },
            }
        )
    return found


def _right(company: Company, right: Any, workflow: str | None) -> dict[str, Any]:
    groups = company.access.holders(right, workflow)
    return {"right": right, "workflow": workflow, "groups": list(groups), "people": _people(company, groups)}


def _people(company: Company, groups: Any, people: Any = ()) -> list[str]:
    by_role = [m for group in groups for m in company.access.groups.get(group, ()) if m.startswith(ROLE)]
    return [*company.access.members(groups), *people, *dict.fromkeys(by_role)]
