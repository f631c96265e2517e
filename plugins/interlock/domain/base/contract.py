"""
What a role's output must satisfy: a pydantic model with a name and a version.

A contract is frozen and refuses unknown fields. Its violations are listed by field and without the values, because
they end in logs and in the ledger's events, where no personal data belongs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from interlock.domain.base.canonical import digest
from interlock.errors import ContractViolation


class Contract(BaseModel):
    """The base of all contracts. A change of fields asks for a new ``contract_version``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contract_version: ClassVar[str] = "1"

    @classmethod
    def contract_ref(cls) -> str:
        """Return ``Name@version``, as the ledger stores it."""
        return f"{cls.__name__}@{cls.contract_version}"


ContractT = TypeVar("ContractT", bound=Contract)


def contract_digest(contract: type[Contract]) -> str:
    """Return the digest of the contract's JSON schema, name and version: it changes when the contract does."""
    return digest({"ref": contract.contract_ref(), "schema": contract.model_json_schema()})


def variable_prefix(contract_name: str) -> str:
    """
    Return the snake case of *contract_name*: ``SupportReply`` is ``support_reply`` in rules, templates and prompts.
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", contract_name).lower()


def check_payload(contract: type[ContractT], payload: Mapping[str, Any]) -> ContractT:
    """
    Return *payload* as an instance of *contract*.

    :raises ContractViolation: with one line per field, and none of the values.
    """
    try:
        return contract.model_validate(dict(payload))
    except ValidationError as error:
        raise ContractViolation(contract.contract_ref(), explain(error)) from None


def explain(error: ValidationError) -> list[str]:
    """Return ``field: what is wrong`` for each problem, without the values that were given."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        field = ".".join(str(part) for part in problem["loc"]) or "(whole)"
        lines.append(f"{field}: {problem['msg']}")
    return lines
