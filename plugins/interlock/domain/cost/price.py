"""
What things cost, as the company writes it in ``prices.yaml``: models by the token, machines and people by the hour.

A model that stands here goes before the public price list. Every price has a date, so a call is priced by what held on
its day, and the entry that priced it is named with the call.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import ROUND_CEILING, Decimal
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from interlock.domain.base.contract import explain
from interlock.errors import ConfigurationError

NANO = Decimal(10) ** 9
"""Budgets are counted in whole billionths of a US dollar: a token of the cheapest model costs some tens of them."""
_MILLION = Decimal(10) ** 6


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ModelPrice(_Frozen):
    """What a model costs from a day on, in US dollars per million tokens."""

    model: str = Field(min_length=1)
    """Its name without the provider; ``*`` stands for any characters."""
    since: date = Field(alias="from")
    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0)
    cached: Decimal | None = Field(default=None, ge=0)
    """Input tokens that the provider had in its cache; default: as any other."""
    batch: Decimal = Field(default=Decimal(1), gt=0, le=1)
    """The part of it that a call in the provider's batch interface costs: 0.5 at most providers."""
    free: str = ""
    """Why it costs nothing, when it costs nothing: a price of zero without a reason is taken for a mistake."""

    @property
    def version(self) -> str:
        """What a call says of its price."""
        return f"prices.yaml {self.since}"

    def cost(self, *, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> Decimal:
        """Return the US dollars for that many tokens; *cached_tokens* are some of *input_tokens*."""
        cached = self.input if self.cached is None else self.cached
        fresh = max(input_tokens - cached_tokens, 0)
        return (fresh * self.input + cached_tokens * cached + output_tokens * self.output) / _MILLION


class Machine(_Frozen):
    """What a task's process costs while it works."""

    per_hour: Decimal = Field(default=Decimal(0), ge=0)

    def cost(self, seconds: float) -> Decimal:
        """Return the US dollars of so much time."""
        return _in_nano(self.per_hour * Decimal(str(seconds)) / 3600)


class ConnectorPrice(_Frozen):
    """What another system costs."""

    per_call: Decimal = Field(default=Decimal(0), ge=0)
    """Counted for each request, a look and one that failed included."""


class People(_Frozen):
    """What a person's time costs."""

    per_hour: Decimal = Field(default=Decimal(0), ge=0)
    minutes_per_vote: Decimal = Field(default=Decimal(0), ge=0)
    """Counted for each vote: nobody's time at a page is watched."""

    @property
    def per_vote(self) -> Decimal:
        """US dollars of one vote."""
        return _in_nano(self.per_hour * self.minutes_per_vote / 60)


class Prices(_Frozen):
    """``prices.yaml``."""

    models: tuple[ModelPrice, ...] = ()
    machine: Machine = Machine()
    people: People = People()
    connectors: dict[str, ConnectorPrice] = Field(default_factory=dict)
    """By the connector's name in ``ecosystem.yaml``; one that is not listed costs nothing."""

    def of(self, names: Iterable[str], day: date) -> ModelPrice | None:
        """Return the price that holds on *day* for a model that goes by any of *names*; None when none is written."""
        called = [name for name in names if name]
        held = [p for p in self.models if p.since <= day and any(fnmatchcase(name, p.model) for name in called)]
        return max(held, key=lambda price: (price.since, len(price.model)), default=None)

    def problems(self) -> list[str]:
        """Return what cannot be meant."""
        problems = [
            f"prices.yaml: model {price.model!r} from {price.since} costs nothing. Write a price, or say why under free"
            for price in self.models
            if not (price.input and price.output) and not price.free
        ]
        entries = [(price.model, price.since) for price in self.models]
        twice = sorted({entry for entry in entries if entries.count(entry) > 1})
        return problems + [f"prices.yaml: model {model!r} has two prices from {since}" for model, since in twice]


def parse_prices(document: Any, *, where: str = "company/prices.yaml") -> Prices:
    """
    Return the prices of a parsed YAML *document*; None: only the public price list counts.

    :raises ConfigurationError: with each problem as ``place: what is wrong``.
    """
    try:
        return Prices.model_validate(document or {})
    except ValidationError as error:
        raise ConfigurationError(f"{where} cannot be used: {'; '.join(explain(error))}") from None


def _in_nano(dollars: Decimal) -> Decimal:
    """Return *dollars* to the billionth: hours times rates seldom end, and what is written must add up."""
    return dollars.quantize(1 / NANO)


def to_nano(dollars: Decimal) -> int:
    """Return *dollars* in whole billionths, rounded up: what is reserved is never less than what is spent."""
    return int((dollars * NANO).to_integral_value(ROUND_CEILING))


def from_nano(nano: int) -> Decimal:
    """Return *nano* billionths as dollars."""
    return Decimal(nano) / NANO


def format_dollars(nano: int) -> str:
    """Return *nano* billionths for a person: ``12.34 USD``, and more digits below a cent."""
    dollars = from_nano(nano)
    return f"{dollars:.2f} USD" if abs(dollars) >= Decimal("0.1") or not nano else f"{dollars:.6f} USD"
