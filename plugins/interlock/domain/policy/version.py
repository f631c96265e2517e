"""
A numbered, unchangeable text of everything that decides in a workflow.

It covers the policy, the agents, the prompts, the suites, the people and the contracts' schemas; data files (examples,
passages) are covered by their digest. What is in ``include/<workflow>/`` is a proposal until it is put in force.
The company's own files are a version of their own (:mod:`interlock.domain.policy.company`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from interlock.domain.agents.agent import AgentDeclaration, parse_agents
from interlock.domain.base.canonical import digest
from interlock.domain.base.contract import explain
from interlock.domain.base.door import as_text
from interlock.domain.base.expression import variable_types
from interlock.domain.base.strict_yaml import load_yaml
from interlock.domain.data.dataset import Dataset, parse_datasets
from interlock.domain.policy.policy import Policy, parse_policy
from interlock.domain.policy.workflow import Workflow
from interlock.errors import ConfigurationError, UnknownName

MAX_NAME = 100
"""Characters of a workflow's name."""


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
        name = document.get("workflow")
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or as_text(name) != name:
            raise ConfigurationError(
                f"this is no bundle of a workflow: it has no workflow's name, of up to {MAX_NAME} letters"
            )
        parts: dict[str, dict[str, Any]] = {}
        for part_name, kind, what in (
            ("files", str, "text"),
            ("data", str, "a digest"),
            ("contracts", Mapping, "a contract's ref, digest and schema"),
        ):
            part = document.get(part_name)
            if not isinstance(part, Mapping):
                raise ConfigurationError(f"this is no bundle of a workflow: {part_name!r} is missing or no mapping")
            for path, value in part.items():
                if not isinstance(path, str) or not isinstance(value, kind):
                    raise ConfigurationError(f"this is no bundle of a workflow: {part_name} {path!r} is not {what}")
            parts[part_name] = dict(part)
        for contract_name, contract in parts["contracts"].items():
            if not isinstance(contract.get("schema"), Mapping):
                raise ConfigurationError(f"this is no bundle of a workflow: contract {contract_name!r} has no schema")
        return cls(name, **parts)

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
            problems = "; ".join(explain(error))
            raise ConfigurationError(f"{self.workflow}/workflow.yaml cannot be used: {problems}") from None

    @cached_property
    def types(self) -> dict[str, Any]:
        """CEL types of what rules and checks may read."""
        schemas = {name: contract["schema"] for name, contract in self.contracts.items()}
        return variable_types(schemas, self.policy.contract)


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
