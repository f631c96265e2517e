"""
How an effect in another system is asked for, and how the way to that system is declared in ``ecosystem.yaml``.

An effect has a key that does not change from one attempt to the next. An attempt whose answer was lost may have taken
place, so what comes before a repeat is a look, never another attempt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator

from interlock.domain.base.canonical import digest
from interlock.domain.base.contract import explain
from interlock.errors import ConfigurationError, PolicyError, UnknownName

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_ADDRESS = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+")
DUTIES = ("owner", "maintainer", "approver")
"""Who of a workflow may be written to."""
_PLACES = ("key", "business_key", "action")


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    conn_id: str = Field(min_length=1)
    description: str = ""
    timeout_seconds: float = Field(default=30.0, gt=0)
    """For one request, from its start to the end of its answer."""

    @property
    def can_be_undone(self) -> bool:
        """Whether it says how an effect is undone; one that does not always needs a vote."""
        return False

    @property
    def can_be_asked(self) -> bool:
        """Whether the other system can say if an effect has taken place."""
        return True


class OutboxConnector(_Declared):
    """A folder that takes one JSON file per effect, for a system that collects files, and for trying things out."""

    kind: Literal["outbox"]
    undo: Literal["withdraw"] | None = None
    """``withdraw``: the file is taken away, as long as nobody has collected it."""

    @property
    def can_be_undone(self) -> bool:
        return self.undo is not None


class HttpConnector(_Declared):
    """Another system's HTTP interface that recognises a repeated request by its idempotency key."""

    kind: Literal["http"]
    path: str
    """Where an effect is sent, below the connection's host: ``/tickets/{business_key}/replies``. It may hold ``{key}``,
    ``{business_key}`` and ``{action}``. The body is the payload as JSON."""
    look_path: str
    """Where an effect is looked up: ``/effects/{key}``. 404 must mean that it surely has not taken place."""
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    idempotency_header: str = Field(default="Idempotency-Key", pattern=r"^[A-Za-z0-9-]+$")
    done_when: str | None = None
    """What confirms the effect, in CEL over ``status``, ``headers`` (names in small letters) and ``body`` (JSON):
    ``status == 200 && body.ok == true``. Default: see :mod:`interlock.domain.effects.answer`."""
    found_when: str | None = None
    """What proves in a look-up's answer that the effect is there, over ``key`` and ``business_key`` too:
    ``body.items.exists(i, i.external_id == key)``. False proves that it is not."""
    in_flight: int = Field(default=4, ge=1, le=64)
    """Requests under way at once. Each effect has a key of its own and no order among cases is promised, so a few are
    safe; a browser opens as many."""
    undo_path: str | None = None
    """Where an effect is undone: ``/effects/{key}``. 404 and 410 mean that it is not there any more."""
    undo_method: Literal["DELETE", "POST", "PUT"] = "DELETE"

    @property
    def can_be_undone(self) -> bool:
        return self.undo_path is not None

    @field_validator("done_when", "found_when")
    @classmethod
    def _is_a_condition(cls, text: str | None, info: ValidationInfo) -> str | None:
        from interlock.domain.effects.answer import answer_condition

        if text is not None:
            try:
                answer_condition(text, of_look=info.field_name == "found_when")
            except PolicyError as error:
                raise ValueError(str(error)) from None
        return text

    @field_validator("path", "look_path", "undo_path")
    @classmethod
    def _is_a_path(cls, path: str | None) -> str | None:
        if path is None:
            return None
        try:
            names = [name for _, name, _, _ in Formatter().parse(path) if name is not None]
        except ValueError as error:
            raise ValueError(f"is not a path: {error}") from None
        if unknown := [name for name in names if name not in _PLACES]:
            known = ", ".join(f"{{{name}}}" for name in _PLACES)
            raise ValueError(f"holds {{{unknown[0]}}}, and may hold {known}")
        if "://" in path:
            raise ValueError("is a whole address; give the path, the host stands in the connection")
        return path

    @field_validator("look_path", "undo_path")
    @classmethod
    def _finds_one_effect(cls, path: str | None) -> str | None:
        if path is not None and "{key}" not in path:
            raise ValueError("must hold {key}: else it cannot find one effect among others")
        return path


class MailConnector(_Declared):
    """
    Sends what is to be read by mail: a review rendered, anything else as its fields.

    Mail cannot be called back, and a mail server cannot be asked whether it has taken a message: one whose answer was
    lost is not repeated, and waits for a person.
    """

    kind: Literal["mail"]
    to: tuple[str, ...] = Field(default=("owner",), min_length=1)
    """``owner``, ``maintainer`` or ``approver`` of ``workflow.yaml``, or addresses."""
    console_url: str | None = Field(default=None, pattern=r"^https?://")
    """Address of Interlock's console, such as ``https://airflow.example.com/interlock``, for links to facts."""

    @property
    def can_be_asked(self) -> bool:
        return False

    @field_validator("to")
    @classmethod
    def _can_be_reached(cls, to: tuple[str, ...]) -> tuple[str, ...]:
        for one in to:
            if one not in DUTIES and not _ADDRESS.fullmatch(one):
                raise ValueError(f"{one!r} is neither an address nor one of {', '.join(DUTIES)}")
        return to


ConnectorDeclaration = Annotated[OutboxConnector | HttpConnector | MailConnector, Field(discriminator="kind")]

_declarations: TypeAdapter[dict[str, ConnectorDeclaration]] = TypeAdapter(dict[str, ConnectorDeclaration])


def parse_ecosystem(document: Any, *, where: str = "ecosystem.yaml") -> dict[str, ConnectorDeclaration]:
    """
    Return the connectors of a parsed ``ecosystem.yaml`` by name; its other parts are not looked at.

    :raises ConfigurationError: with each problem as ``connector.field: what is wrong``.
    """
    if document is not None and not isinstance(document, Mapping):
        raise ConfigurationError(f"{where} cannot be used: it holds a {type(document).__name__}, not a mapping")
    try:
        return _declarations.validate_python((document or {}).get("connectors") or {})
    except ValidationError as error:
        raise ConfigurationError(f"{where} cannot be used: " + "; ".join(explain(error))) from None


def pick_connector(connectors: Mapping[str, ConnectorDeclaration], name: str) -> ConnectorDeclaration:
    """
    Return the connector *name*.

    :raises UnknownName: with the known ones and the nearest.
    """
    if name not in connectors:
        raise UnknownName("connector", name, connectors, where="ecosystem.yaml")
    return connectors[name]


def effect_key(environment: str, workflow: str, business_key: str, action: str, payload_digest: str) -> str:
    """Return the key of an effect, 64 hexadecimal digits: the same for every attempt, another for any other effect."""
    return digest(
        {
            "environment": environment,
            "workflow": workflow,
            "business_key": business_key,
            "action": action,
            "payload": payload_digest,
        }
    )


@dataclass(frozen=True, kw_only=True)
class EffectRequest:
    """One effect, as a connector is asked for it."""

    key: str
    business_key: str
    action: str
    payload: Mapping[str, Any]
    """JSON types."""
    environment: str
    case: Mapping[str, Any] = field(default_factory=dict)
    """What the case carries, for what is rendered with it: the facts of a review."""
    people: Mapping[str, str] = field(default_factory=dict)
    """``owner``, ``maintainer`` and ``approver`` to their mail address."""

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise ConfigurationError(
                f"effect key {self.key!r} cannot stand in a file name or an address; use effect_key(), or up to 200 "
                "letters, digits, '.', '_' and '-'"
            )


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """The other system's word that an effect has taken place."""

    reference: str
    """What the other system calls it."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """JSON types, nothing of the payload."""


@dataclass(frozen=True, kw_only=True)
class ConnectionFields:
    """What an Airflow connection holds, without Airflow."""

    conn_id: str
    host: str | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    port: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Connector(Protocol):
    """The way to one other system. As many threads use it at once as it lets be in flight."""

    name: str
    kind: str
    timeout_seconds: float
    in_flight: int

    def look(self, request: EffectRequest) -> Receipt | None:
        """
        Return the receipt of *request* if the other system has it, None if it surely has not.

        :raises ConnectorUnavailable: the answer is not known now.
        :raises EffectInDoubt: nobody will ever know.
        :raises EffectRefused: another effect stands under the same key.
        """
        ...

    def send(self, request: EffectRequest) -> Receipt:
        """
        Make the effect take place, and return its receipt.

        :raises ConnectorUnavailable: it may have taken place: :meth:`look` before a repeat, unless ``surely_not``.
        :raises EffectInDoubt: it may have taken place, and nobody will ever know.
        :raises EffectRefused: it did not take place, and a repeat meets the same answer.
        :raises ConfigurationError: it did not take place, because of the connection or the declaration.
        """
        ...

    def undo(self, request: EffectRequest) -> Receipt:
        """
        Undo the effect, and return the other system's word for it; one that is undone already counts as done.

        :raises ConnectorUnavailable: it is unknown whether it is undone; ask again.
        :raises EffectRefused: it stands, and a repeat meets the same answer.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
