"""
Who may do what, as written in ``company/access.yaml``: groups of people, their rights, and what agents may use.

Everything is denied that is not written down. Identity is Airflow's: with the simple auth manager an id is the user's
name, with FAB it is a number. A member ``role:<name>`` of a group stands for everybody who has that role in Airflow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from interlock.domain.contract import explain
from interlock.domain.duration import Duration
from interlock.errors import ConfigurationError, NotAuthorised

Right = Literal[
    "deploy",
    "propose",
    "approve",
    "promote",
    "override",
    "break_glass",
    "switch",
    "correct",
    "forget",
    "read_personal",
    "read_audit",
]
"""
``deploy``: deploy, pause and retire a workflow. ``propose``, ``approve``, ``promote``: a version, rollback included in
the last. ``override``: send a case another way. ``break_glass``: sign off alone in an emergency. ``switch``: throw kill
switches. ``correct``: resubmit and close cases. ``forget``: erase what a case says of a person. ``read_personal``: read
what cases hold of people. ``read_audit``: read events and who did what.
"""
RIGHTS: tuple[Right, ...] = get_args(Right)
ROLE = "role:"
DataClass = Literal["public", "internal", "personal", "secret"]
DATA_CLASSES: tuple[DataClass, ...] = get_args(DataClass)
Environment = Literal["test", "staging", "production"]
ENVIRONMENTS: tuple[Environment, ...] = get_args(Environment)


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
        """Tell whether *name* is this person's id or login name; Airflow says who triggered a run by the latter."""
        return name is not None and name in {self.id, self.name or self.id}


class Contact(_Frozen):
    """How a person is reached."""

    name: str
    email: str


class Use(_Frozen):
    """What one agent or connector may use; what is not listed is refused at run time."""

    roles: Names = ()
    """Roles that the agent may carry out; empty for a connector, whose role is execution."""
    connections: Names = ()
    tools: Names = ()
    """Functions by dotted path."""
    data: tuple[DataClass, ...] = ("public", "internal")
    """Classes of data that it sees as they are."""
    masked: tuple[DataClass, ...] = ()
    """Classes that it sees with names, numbers and addresses masked."""


class ConnectionRule(_Frozen):
    """An Airflow connection: where it may be used, and how old its secret may be."""

    environments: tuple[Environment, ...] = Field(min_length=1)
    rotate_every: Duration | None = None
    """The connection's extra says ``rotated_on``; left out, it does not age."""


class Access(_Frozen):
    """``access.yaml``."""

    people: dict[str, Contact] = Field(default_factory=dict)
    """By id; who is not named here gets no notices."""
    groups: Annotated[dict[str, Names], BeforeValidator(_none_is_nothing)] = Field(default_factory=dict)
    rights: Annotated[dict[Right, Names], BeforeValidator(_none_is_nothing)] = Field(default_factory=dict)
    """Right to groups."""
    workflows: dict[str, dict[Right, Names]] = Field(default_factory=dict)
    """Rights that one workflow gives to others: they take the place of the company's."""
    uses: dict[str, Use] = Field(default_factory=dict)
    """``<workflow>/<agent>`` or ``connector:<name>`` to what it may use."""
    connections: dict[str, ConnectionRule] = Field(default_factory=dict)

    def is_member(self, person: Identity, group: str) -> bool:
        """Tell whether *person* is in *group*, by id or by a role."""
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
        """Tell whether *person* has *right*, for *workflow* or for all."""
        return any(self.is_member(person, group) for group in self.holders(right, workflow))

    def demand(self, person: Identity, right: Right, workflow: str | None = None) -> None:
        """
        Let *person* go on.

        :raises NotAuthorised: they do not have *right*; the message says who does.
        """
        if not self.holds(person, right, workflow):
            groups = self.holders(right, workflow)
            of = f" of {workflow!r}" if workflow else ""
            told = ", ".join(f"{g} ({', '.join(self.groups.get(g, ())) or 'nobody'})" for g in groups) or "nobody"
            raise NotAuthorised(
                f"{person.id!r} does not have the right {right!r}{of}; it belongs to: {told}. Rights stand in "
                "include/company/access.yaml and count once a version of it is in force"
            )

    def problems(self) -> list[str]:
        """Return what is wrong with the names: a right of a group that is not there, a group without a person."""
        told = []
        places = [(f"rights.{right}", groups) for right, groups in self.rights.items()]
        for workflow, rights in self.workflows.items():
            places += [(f"workflows.{workflow}.{right}", groups) for right, groups in rights.items()]
        for place, groups in places:
            for group in groups:
                if group not in self.groups:
                    known = ", ".join(sorted(self.groups)) or "none"
                    told.append(f"{place}: {group!r} is no group (known: {known})")
                elif not self.groups[group]:
                    told.append(f"{place}: group {group!r} has nobody in it")
        return told


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
