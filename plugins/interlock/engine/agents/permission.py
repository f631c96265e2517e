"""
What the agent of a task may use and see, by the company's files that the run pinned. What is not listed is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from interlock.domain.agents.agent import AgentDeclaration, pick_agent
from interlock.domain.agents.usage_right import needs, read_in_vain, withheld
from interlock.domain.approvals.access import Access
from interlock.domain.policy.autonomy import why_a_vote
from interlock.engine.runs.session import Session
from interlock.errors import NotAuthorised

View = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""From a contract's name (``case`` for the intake's) and a payload to what of it may be seen."""


def declared_agent(session: Session, role: str, name: str | None = None) -> AgentDeclaration:
    """
    Return the declaration of the task's agent, or of agent *name*, when it may use in *role* all that it works with.

    :raises UnknownName: the pinned version declares no such agent.
    :raises NotAuthorised: it may not use a connection or a tool, or its texts name a field that is withheld from it.
    """
    name = name or session.task.agent or ""
    declaration = pick_agent(session.version.bundle.agents, name)
    who, access = f"{session.run.workflow}/{name}", session.company.access
    for kind, needed in needs(declaration):
        access.demand_use(kind, needed, agent=who, role=role)
        if kind == "connections":
            access.demand_connection(needed, user=f"agent {who!r}", environment=session.run.environment)
    told = read_in_vain(declaration, session.version.bundle.files, _hidden(session, role, name))
    if told:
        raise NotAuthorised(
            f"agent {who!r} may not see what it reads in role {role!r}: {', '.join(told)}. Take it out of its texts, "
            "or list the class of data under uses in include/company/access.yaml"
        )
    return declaration


def view_of(session: Session, role: str, name: str | None = None) -> View:
    """Return what leaves out of a payload the fields that the task's agent, or agent *name*, may not see."""
    hidden = _hidden(session, role, name or session.task.agent)

    def seen(contract: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        fields = hidden.get(contract)
        return {name: value for name, value in payload.items() if name not in fields} if fields else payload

    return seen


def demand_source(session: Session, conn_id: str | None) -> None:
    """
    Let the intake read rows through the connection *conn_id*; None is a source without one.

    :raises NotAuthorised: the role ``intake`` may not use it, or not in this environment.
    """
    demand_reading(session.company.access, conn_id, session.run.environment)


def demand_reading(access: Access, conn_id: str | None, environment: str) -> None:
    """Let a source of *environment* be read, as :func:`demand_source` does, outside of a run."""
    if conn_id is not None:
        access.demand_use("connections", conn_id, agent=None, role="intake")
        access.demand_connection(conn_id, user="a source", environment=environment)


def why_not_automatic(session: Session, action: str, draft_contract: str) -> str | None:
    """Return why *action* needs a vote for a draft under *draft_contract*, or None when it may go on by itself."""
    bundle = session.version.bundle
    schema = bundle.contracts.get(draft_contract, {}).get("schema", {})
    return why_a_vote(bundle.policy.autonomy, action, session.company.connectors.get(action), schema)


def _hidden(session: Session, role: str, name: str | None) -> dict[str, dict[str, frozenset[str]]]:
    bundle, uses = session.version.bundle, session.company.access.uses
    who = f"{session.run.workflow}/{name}" if name else None
    schemas = {name: contract["schema"] for name, contract in bundle.contracts.items()}
    schemas["case"] = schemas[bundle.policy.contract]
    hidden = {name: withheld(schema, uses, agent=who, role=role) for name, schema in schemas.items()}
    return {name: fields for name, fields in hidden.items() if fields}
