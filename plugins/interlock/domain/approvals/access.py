"""
Who may do what, as written in ``company/access.yaml``: groups of people, their rights, and where connections are used.

Everything is denied that is not written down. Identity is Airflow's: with the simple auth manager an id is the user's
name, with FAB it is a number. A member ``role:<name>`` of a group stands for everybody who has that role in Airflow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from interlock.domain.agents.usage_right import Use, UseKind, is_allowed
from interlock.domain.base.contract import explain
from interlock.domain.base.duration import Duration
from interlock.errors import ConfigurationError, NotAuthorised

Right = Literal[
    "deploy",
    "propose",
    "approve",
    "promote",
    "switch",
    "override",
    "break_glass",
    "correct",
    "forget",
    "read_personal",
    "read_audit",
]
"""
``deploy``: deploy, pause and retire a workflow. ``propose``, ``approve``, ``promote``: a version, rollback included in
the last. ``switch``: throw kill switches. ``override``: send a case onto another route. ``break_glass``: sign a case
off alone, to be reviewed later. ``correct``: resubmit, undo and close cases. ``forget``: erase what a case says of a
person. ``read_personal``: see the fields of a case that have a class of data. ``read_audit``: see its events.
"""
RIGHTS: tuple[Right, ...] = get_args(Right)
ROLE = "role:"
Environment = Literal["test", "staging", "production"]


def _none_is_empty(value: Any) -> Any:
    return () if value is None else value


def _none_is_nothing(value: Any) -> Any:
    return {} if value is None else value


Names = Annotated[tuple[str, ...], BeforeValidator(_none_is_empty)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Identity:
    """A person, as Airflow's login says."""

    id: str
    name: str = ""
    """The name that they log in with; the id itself with the simple auth manager."""
    roles: tuple[str, ...] = ()
    """In Airflow. Empty where nobody can ask, as in a task that reads an answer of Required Actions."""

    def is_named(self, name: str | None) -> bool:
        """Return whether *name* is this person's id or login name; Airflow says who triggered a run by the latter."""
        return name is not None and name in {self.id, self.name or self.id}


class ConnectionRule(_Frozen):
    """Where an Airflow connection may be used to carry something out."""

    environments: tuple[Environment, ...] = Field(min_length=1)
    rotate_every: Duration | None = Field(default=None, gt=timedelta(0))
    """How old its secret may get; default: no limit."""


class Access(_Frozen):
    """``access.yaml``."""

    groups: Annotated[dict[str, Names], BeforeValidator(_none_is_nothing)] = Field(default_factory=dict)
    rights: Annotated[dict[Right, Names], BeforeValidator(_none_is_nothing)] = Field(default_factory=dict)
    """Right to groups."""
    workflows: dict[str, dict[Right, Names]] = Field(default_factory=dict)
    """Rights that one workflow gives to others: they take the place of the company's."""
    connections: dict[str, ConnectionRule] = Field(default_factory=dict)
    contacts: dict[str, str] = Field(default_factory=dict)
    """Person's id to where notices reach them: an e-mail address, or whatever the notifier takes."""
    uses: tuple[Use, ...] = ()
    """Which role and agent may use which connection, tool and class of data."""

    def is_member(self, person: Identity, group: str) -> bool:
        """Return whether *person* is in *group*, by id or by a role."""
        members = self.groups.get(group, ())
        return person.id in members or any(f"{ROLE}{role}" in members for role in person.roles)

    def members(self, groups: Iterable[str]) -> tuple[str, ...]:
        """Return the ids of the members of *groups*, each once; who is a member by a role is not known by id."""
        found = dict.fromkeys(m for group in groups for m in self.groups.get(group, ()) if not m.startswith(ROLE))
        return tuple(found)

    def holders(self, right: Right, workflow: str | None = None) -> tuple[str, ...]:
        """Return the groups that have *right*."""
        own = self.workflows.get(workflow or "", {})
        return own[right] if right in own else self.rights.get(right, ())

    def holds(self, person: Identity, right: Right, workflow: str | None = None) -> bool:
        """Return whether *person* has *right*, for *workflow* or for all."""
        return any(self.is_member(person, group) for group in self.holders(right, workflow))

    def demand(self, person: Identity, right: Right, workflow: str | None = None) -> None:
        """
        Let *person* go on.

        :raises NotAuthorised: they do not have *right*; the message says who does.
        """
        if not self.holds(person, right, workflow):
            groups = self.holders(right, workflow)
            of = f" of {workflow!r}" if workflow else ""
            holders = ", ".join(f"{g} ({', '.join(self.groups.get(g, ())) or 'nobody'})" for g in groups) or "nobody"
            raise NotAuthorised(
                f"{person.id!r} does not have the right {right!r}{of}; it belongs to: {holders}. Rights are in "
                "include/company/access.yaml and count once a version of it is in force"
            )

    def demand_connection(self, conn_id: str, *, user: str, environment: str) -> None:
        """
        Let *user* (``connector 'outbox'``) use the connection *conn_id* in *environment*.

        :raises NotAuthorised: ``connections`` does not list it for that environment.
        """
        rule = self.connections.get(conn_id)
        if rule is None or environment not in rule.environments:
            where = f"it is for {', '.join(rule.environments)}" if rule is not None else "it is not listed at all"
            raise NotAuthorised(
                f"{user} may not use connection {conn_id!r} in environment {environment!r}: {where}. "
                "Connections stand in include/company/access.yaml with the environments that may use them"
            )

    def demand_use(self, kind: UseKind, name: str, *, agent: str | None, role: str) -> None:
        """
        Let *agent* (``<workflow>/<agent>``, or None for a task without one) in *role* use *name*.

        :raises NotAuthorised: no row of ``uses`` says so.
        """
        if not is_allowed(self.uses, kind, name, agent=agent, role=role):
            who = f"agent {agent!r} in role {role!r}" if agent else f"role {role!r}"
            allowed = [", ".join(use.agents + use.roles) for use in self.uses if name in getattr(use, kind)]
            raise NotAuthorised(
                f"{who} may not use {name!r} ({kind}); who may: {'; '.join(allowed) or 'nobody'}. Add it to a row of "
                "uses in include/company/access.yaml and put a version of it in force"
            )

    def problems(self) -> list[str]:
        """Return what is wrong with the names: a right of a group that is not there, a group without a person."""
        problems = []
        places = [(f"rights.{right}", groups) for right, groups in self.rights.items()]
        for workflow, rights in self.workflows.items():
            places += [(f"workflows.{workflow}.{right}", groups) for right, groups in rights.items()]
        for place, groups in places:
            for group in groups:
                if group not in self.groups:
                    known = ", ".join(sorted(self.groups)) or "none"
                    problems.append(f"{place}: {group!r} is no group (known: {known})")
                elif not self.groups[group]:
                    problems.append(f"{place}: group {group!r} has nobody in it")
        return problems


def parse_access(document: Any, *, where: str = "company/access.yaml") -> Access:
    """
    Return the rights of a parsed YAML *document*.

    :raises ConfigurationError: with each problem as ``place: what is wrong``.
    """
    try:
        return Access.model_validate(document or {})
    except ValidationError as error:
        raise ConfigurationError(f"{where} cannot be used: {'; '.join(explain(error))}") from None


@dataclass(frozen=True)
class Barred:
    """Who may not approve one thing, and why: the separation of duties."""

    reasons: dict[str, str] = field(default_factory=dict)
    """A person's id or login name to what they did."""

    def reason(self, person: Identity) -> str | None:
        """Return what *person* did, or None when they may approve."""
        return next((why for name, why in self.reasons.items() if person.is_named(name)), None)
