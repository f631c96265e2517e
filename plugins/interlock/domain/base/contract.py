"""
What a role's output must satisfy: a pydantic model with a name and a version.

A contract is frozen and refuses unknown fields. Its violations are listed by field and without the values, because
they end in logs and in the ledger's events, where no personal data belongs.

A bare number is neither a day nor an instant nor a length of time: pydantic would take 20260301, or Excel's 46082, for
seconds since 1970. So dates are read from text here, wherever a contract holds them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError, SchemaSerializer, SchemaValidator, core_schema

from interlock.domain.base.canonical import digest
from interlock.domain.base.door import admit, as_text
from interlock.errors import ContractViolation, UnfitValue


class Contract(BaseModel):
    """The base of all contracts. A change of fields asks for a new ``contract_version``."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

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
        found: ContractT = _form_of(contract).validate(dict(payload))
    except ValidationError as error:
        raise ContractViolation(contract.contract_ref(), explain(error)) from None
    except Exception as error:  # a validator of the contract meets what it was not written for
        problem = f"(whole): cannot be validated: {type(error).__name__}"
        raise ContractViolation(contract.contract_ref(), [problem]) from error
    return found


def accept(contract: type[Contract], payload: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return *payload* as *contract* has it, in JSON types that can be stored, digested, sent and shown.

    An instant without a time zone, where the contract takes one, counts as UTC.

    :raises ContractViolation: it does not satisfy the contract, or holds a value that is not let in.
    """
    found = check_payload(contract, payload)
    try:
        accepted: dict[str, Any] = admit(_form_of(contract).dump(found))
    except UnfitValue as error:
        raise ContractViolation(contract.contract_ref(), [str(error)]) from None
    except Exception as error:  # a type of the contract that has no form as JSON
        problem = f"(whole): cannot be written as JSON: {type(error).__name__}"
        raise ContractViolation(contract.contract_ref(), [problem]) from error
    return accepted


def explain(error: ValidationError) -> list[str]:
    """Return ``field: what is wrong`` for each problem, without the values that were given."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        field = ".".join(as_text(str(part), 100) for part in problem["loc"]) or "(whole)"
        lines.append(f"{field}: {as_text(problem['msg'])}")
    return lines


class _Form:
    """How instances of one contract are made and written."""

    def __init__(self, contract: type[Contract]) -> None:
        self.validate: Callable[[Any], Any] = contract.model_validate
        self.dump: Callable[[Any], dict[str, Any]] = _dump
        schema = contract.__pydantic_core_schema__
        closed = _without_bare_numbers(schema)
        if closed != schema:
            self.validate = _without_prebuilt(SchemaValidator, closed).validate_python
            serializer = _without_prebuilt(SchemaSerializer, closed)
            self.dump = lambda found: serializer.to_python(found, mode="json")


def _without_prebuilt(kind: Any, schema: Any) -> Any:
    """Return a validator or serializer that uses none of those that pydantic keeps of the classes in *schema*."""
    config = core_schema.CoreConfig(ser_json_inf_nan="constants")
    try:
        return kind(schema, config, False)
    except TypeError:  # a pydantic that keeps none
        return kind(schema, config)


def _dump(found: Contract) -> dict[str, Any]:
    return found.model_dump(mode="json")


@lru_cache(maxsize=256)
def _form_of(contract: type[Contract]) -> _Form:
    return _Form(contract)


_OF_TIME = {
    "date": "a day; write it like 2026-03-01",
    "datetime": "an instant; write it like 2026-03-01T09:30:00+00:00",
    "time": "a time of day; write it like 09:30:00",
    "timedelta": "a length of time; write it like PT90S or P1DT2H",
}
_COMPACT = re.compile(r"\s*((?:19|20|21)\d\d)(\d\d)(\d\d)\s*", re.ASCII)
_NO_SCHEMA = ("metadata", "default", "expected", "serialization", "ref", "config")
"""Parts of pydantic's description of a type that describe no type in it."""


def _without_bare_numbers(schema: Any) -> Any:
    """Return pydantic's description of a type with every day, instant, time and length in it closed to numbers."""
    if isinstance(schema, (list, tuple)):
        return type(schema)(_without_bare_numbers(part) for part in schema)
    if not isinstance(schema, dict):
        return schema
    closed = {
        name: part if name in _NO_SCHEMA and isinstance(schema.get("type"), str) else _without_bare_numbers(part)
        for name, part in schema.items()
    }
    kind = schema.get("type")
    if not isinstance(kind, str) or kind not in _OF_TIME:
        return closed
    ref = closed.pop("ref", None)
    if kind == "datetime":
        closed["serialization"] = core_schema.plain_serializer_function_ser_schema(
            _in_utc, return_schema=core_schema.any_schema(), when_used="json"
        )
    return core_schema.no_info_before_validator_function(closed_to_numbers(kind), closed, ref=ref)


def closed_to_numbers(kind: str) -> Callable[[Any], Any]:
    """Return what lets values of a field of time pass, bare numbers excepted: ``date``, ``datetime``, ``time`` …"""

    def read(value: Any) -> Any:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        is_number = hasattr(text, "__float__") if not isinstance(text, str) else _is_number(text)
        if not is_number:
            return value
        compact = _COMPACT.fullmatch(str(text)) if kind in ("date", "datetime") else None
        if compact is not None:
            try:
                day = date(*map(int, compact.groups()))
            except ValueError:
                pass
            else:
                return day if kind == "date" else datetime(day.year, day.month, day.day)  # noqa: DTZ001  # as written
        raise PydanticCustomError("bare_number", f"a bare number is not {_OF_TIME[kind]}")

    return read


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _in_utc(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
