"""
Which role and agent may use which connection, tool and class of data, as ``company/access.yaml`` says under ``uses``.

Everything that is not listed is refused. A class of data is a word at a field of a contract
(``Field(json_schema_extra={"data_class": "message"})``); a field of a class that an agent may not see is withheld from
it, and a field without one is for everybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from interlock.domain.agents.agent import (
    AgentDeclaration,
    ClassifierAgent,
    FunctionAgent,
    ModelAgent,
    ReportAgent,
    RetrievalAgent,
    TemplateAgent,
)
from interlock.domain.base.contract import variable_prefix

UseKind = Literal["connections", "tools", "data"]


class Use(BaseModel):
    """A row of ``uses``: who may use what. Both lists that name users must fit; a list that is omitted fits all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agents: tuple[str, ...] = ()
    """``<workflow>/<agent>``, or ``<workflow>/*``."""
    roles: tuple[str, ...] = ()
    """Of the seven: ``intake``, ``drafting`` …"""
    connections: tuple[str, ...] = ()
    """Airflow connections: of a model, or that rows are read through."""
    tools: tuple[str, ...] = ()
    """Python functions by dotted path, as ``agents.yaml`` names them."""
    data: tuple[str, ...] = ()
    """Classes of data."""

    @model_validator(mode="after")
    def _names_somebody(self) -> Use:
        if not self.agents and not self.roles:
            raise ValueError("names neither agents nor roles: write whom it is for")
        return self

    def fits(self, agent: str | None, role: str | None) -> bool:
        """Return whether the row is about *agent* (``<workflow>/<agent>``) in *role*; None for a role means any."""
        if self.agents and not (agent and {agent, f"{agent.split('/')[0]}/*"} & set(self.agents)):
            return False
        return not self.roles or role is None or role in self.roles


def is_allowed(uses: Iterable[Use], kind: UseKind, name: str, *, agent: str | None, role: str | None) -> bool:
    """Return whether *agent* in *role* may use *name*."""
    return any(name in getattr(use, kind) and use.fits(agent, role) for use in uses)


def needs(declaration: AgentDeclaration) -> list[tuple[UseKind, str]]:
    """Return the connections and tools that an agent works with."""
    match declaration:
        case ModelAgent():
            return [("connections", declaration.conn_id)]
        case FunctionAgent():
            return [("tools", declaration.function.replace(":", "."))]
    return []


def data_classes(schema: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Return the classes of data in each field of a contract's JSON schema, those of models inside it included."""
    shared = schema.get("$defs", {})
    fields = schema.get("properties", {})
    found = {name: frozenset(_classes(field, shared, frozenset())) for name, field in fields.items()}
    return {name: classes for name, classes in found.items() if classes}


def _classes(node: Any, shared: Mapping[str, Any], within: frozenset[str]) -> set[str]:
    found: set[str] = set()
    if isinstance(node, Mapping):
        if isinstance(node.get("data_class"), str):
            found.add(node["data_class"])
        target = str(node.get("$ref", "")).rpartition("/")[2]
        if target in shared and target not in within:
            found |= _classes(shared[target], shared, within | {target})
        for value in node.values():
            found |= _classes(value, shared, within)
    elif isinstance(node, list):
        for value in node:
            found |= _classes(value, shared, within)
    return found


def withheld(
    schema: Mapping[str, Any], uses: Iterable[Use], *, agent: str | None, role: str | None
) -> dict[str, frozenset[str]]:
    """Return the fields of a contract that *agent* in *role* may not see, with the classes that it lacks."""
    rows = tuple(uses)
    lacking = {
        field: frozenset(c for c in classes if not is_allowed(rows, "data", c, agent=agent, role=role))
        for field, classes in data_classes(schema).items()
    }
    return {field: classes for field, classes in lacking.items() if classes}


def read_in_vain(
    declaration: AgentDeclaration, files: Mapping[str, str], hidden: Mapping[str, Mapping[str, frozenset[str]]]
) -> list[str]:
    """
    Return the withheld fields that the texts of an agent name: it could not work.

    :param files: the version's files, by path.
    :param hidden: contract (``case`` for the intake's) to its withheld fields.
    """
    texts: list[str] = []
    match declaration:
        case ModelAgent():
            texts = [files.get(declaration.prompt, "")]
        case RetrievalAgent():
            texts = [declaration.query]
        case TemplateAgent():
            written = declaration.fields.values()
            texts = [files.get(t.removeprefix("file:"), "") if t.startswith("file:") else t for t in written]
        case ReportAgent():
            texts = [files.get(declaration.template, "")]
        case ClassifierAgent():
            texts = [f"case.{declaration.text_field}"]
    found = []
    for contract, fields in hidden.items():
        prefix = contract if contract == "case" else variable_prefix(contract)
        for field, classes in fields.items():
            if any(re.search(rf"\b{re.escape(prefix)}\.{re.escape(field)}\b", text) for text in texts):
                found.append(f"{prefix}.{field} ({', '.join(sorted(classes))})")
    return found
