"""
A numbered, unchangeable text of everything that decides in a workflow.

It covers the policy, the agents, the prompts, the suites, the people and the contracts' schemas; data files (examples,
passages) are covered by their digest. What stands in ``include/<workflow>/`` is a proposal until it is put in force.
The company's own files are a version of their own (:mod:`interlock.domain.policy.company`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from interlock.domain.agents.agent import AgentDeclaration, parse_agents
from interlock.domain.base.calendar import BusinessDuration
from interlock.domain.base.canonical import digest
from interlock.domain.base.expression import variable_types
from interlock.domain.base.timeframe import Every
from interlock.domain.cases.outcome import Outcomes
from interlock.domain.contract import explain
from interlock.domain.data.dataset import Dataset, parse_datasets
from interlock.domain.policy.policy import Policy, parse_policy
from interlock.domain.routing.routing import Router
from interlock.errors import ConfigurationError, UnknownName


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Contact(_Frozen):
    """How a person is reached."""

    name: str
    email: str


class Person(Contact):
    """Who answers for a workflow."""

    escalation: tuple[Contact, ...] = ()
    """Whom to ask when they do not act."""


class Pilot(_Frozen):
    """What a workflow in phase ``pilot`` may do by itself; all else goes to people."""

    scope: str = Field(default="true", min_length=1)
    """CEL over the case: which cases may go on by themselves."""
    daily_cap: int | None = Field(default=None, ge=0)
    """Cases of one day, in the calendar's time zone, that may; left out, all."""
    votes: int = Field(default=1, ge=1)
    """Votes of its own group that every gate asks for at least."""


class OwnerRule(_Frozen):
    """Whose a case is."""

    when: str = Field(default="true", min_length=1)
    """CEL over the case; the first that matches decides."""
    owner: str = Field(min_length=1)
    """A group, or a person's id."""


class ServiceLevel(_Frozen):
    """Until when a case must be done."""

    name: str = Field(min_length=1)
    when: str = Field(default="true", min_length=1)
    """CEL over the case; the first that matches decides."""
    within: BusinessDuration
    """In business time since it was taken in."""


class Label(_Frozen):
    """A column of the source that says the right answer. It is kept apart from what agents see, and only measures."""

    columns: tuple[str, ...]
    """The first of these that the source has."""
    field: str
    """The field of the answer that it is held against."""


class Intake(_Frozen):
    """How rows become cases."""

    contract: str
    key: str
    """The field that is the business key."""
    when_key_is_missing: str = Field(default="refuse", pattern="^(refuse|digest)$")
    """When the source has no such column at all: refuse the source, or take the digest of the row as its key."""
    label: Label | None = None


class Kpi(_Frozen):
    """A figure of the workflow and what it was before."""

    baseline: Decimal
    unit: str = ""
    """Left out, or the one that the figure is defined in."""
    description: str = ""
    at_least: Decimal | None = None
    """Below it, the owner is told."""
    at_most: Decimal | None = None
    """Above it, the owner is told."""
    every: Every = "month"
    """The period that it is looked at for, and in which the owner is told once."""


class Workflow(_Frozen):
    """``workflow.yaml``: the people, the phase and how rows become cases."""

    workflow: str
    title: str
    owner: Person
    maintainer: Person
    approver: Person
    phase: str = Field(default="pilot", pattern="^(pilot|production)$")
    intake: Intake
    contracts: tuple[str, ...]
    kpis: dict[str, Kpi] = Field(default_factory=dict)
    """By name, of :data:`interlock.domain.reports.kpi.KPIS`."""
    outcomes: Outcomes | None = None
    """Left out: none can be recorded."""
    service_levels: tuple[ServiceLevel, ...] = ()
    case_owner: tuple[OwnerRule, ...] = ()
    """Left out: the workflow's owner."""
    pilot: Pilot = Pilot()


@dataclass(frozen=True)
class Bundle:
    """The text of a version."""

    workflow: str
    files: Mapping[str, str] = field(default_factory=dict)
    """Path within the workflow's folder to text."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Path of a data file to its SHA-256."""
    contracts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Contract name to ``{ref, digest, schema}``."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON types; :meth:`from_json` reads them back."""
        return {
            "workflow": self.workflow,
            "files": dict(self.files),
            "data": dict(self.data),
            "contracts": {name: dict(contract) for name, contract in self.contracts.items()},
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Bundle:
        """
        Return the bundle that :meth:`to_json` wrote.

        :raises ConfigurationError: it is no bundle.
        """
        try:
            return cls(
                str(document["workflow"]), dict(document["files"]), dict(document["data"]), dict(document["contracts"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"this is no bundle of a workflow: {error} is missing or wrong") from None

    @cached_property
    def digest(self) -> str:
        """The digest of all of it."""
        return digest(self.to_json())

    def text(self, path: str) -> str:
        """
        Return the text of the file *path*.

        :raises UnknownName: the version holds no such file.
        """
        if path not in self.files:
            raise UnknownName("file", path, self.files, where=f"the published version of {self.workflow!r}")
        return self.files[path]

    def document(self, path: str) -> Any:
        """
        Return the parsed YAML file *path*.

        :raises ConfigurationError: it is no YAML; the message has the line.
        """
        return load_yaml(self.text(path), where=f"{self.workflow}/{path}")

    @cached_property
    def policy(self) -> Policy:
        """``policy.yaml``."""
        return parse_policy(self.document("policy.yaml"), where=f"{self.workflow}/policy.yaml")

    @cached_property
    def agents(self) -> dict[str, AgentDeclaration]:
        """``agents.yaml``."""
        return parse_agents(self.document("agents.yaml"), where=f"{self.workflow}/agents.yaml")

    @cached_property
    def datasets(self) -> Mapping[str, Dataset]:
        """``datasets.yaml``, where there is one."""
        if "datasets.yaml" not in self.files:
            return {}
        return parse_datasets(self.document("datasets.yaml"), where=f"{self.workflow}/datasets.yaml")

    @cached_property
    def settings(self) -> Workflow:
        """``workflow.yaml``."""
        try:
            return Workflow.model_validate(self.document("workflow.yaml"))
        except ValidationError as error:
            told = "; ".join(explain(error))
            raise ConfigurationError(f"{self.workflow}/workflow.yaml cannot be used: {told}") from None

    @cached_property
    def types(self) -> dict[str, Any]:
        """CEL types of what rules and checks may read."""
        schemas = {name: contract["schema"] for name, contract in self.contracts.items()}
        return variable_types(schemas, self.policy.contract)

    @cached_property
    def router(self) -> Router:
        """The policy's rules and checks, compiled."""
        return Router(self.policy, self.types)


@dataclass(frozen=True)
class WorkflowVersion:
    """A published bundle."""

    id: str
    environment: str
    number: int
    author: str
    """``person:<id>``."""
    bundle: Bundle

    def __str__(self) -> str:
        return f"{self.bundle.workflow} {self.number} ({self.environment})"


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is written twice, which YAML itself lets pass with the last one winning."""


def _mapping_once(loader: _StrictLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":  # "<<", which may be written over by a key beside it
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.MarkedYAMLError(problem="a key must be one word or number", problem_mark=key_node.start_mark)
        if key in seen:
            raise yaml.MarkedYAMLError(problem=f"key {key!r} is written twice", problem_mark=key_node.start_mark)
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_once)


def load_yaml(text: str, *, where: str) -> Any:
    """
    Return the parsed YAML *text*.

    :raises ConfigurationError: with the line and what is wrong there.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = error.problem or error.context or "no YAML"
        hint = " (use blanks, not tabs)" if "'\\t'" in problem else ""
        raise ConfigurationError(f"{where}{place}: {problem}{hint}") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow: it has no mark, only a position
        raise ConfigurationError(f"{where}: {str(error).splitlines()[0]}") from None
