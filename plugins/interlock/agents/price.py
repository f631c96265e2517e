"""
What a call of a model costs: by the company's ``prices.yaml``, else by the public list of ``genai-prices``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Any

from interlock.domain.cost.price import Prices


@dataclass(frozen=True)
class Called:
    """A model as its provider knows it."""

    names: tuple[str, ...]
    """The name that was asked for and the one that answered."""
    provider: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class PriceBook:
    """The prices that hold for the calls of a run."""

    prices: Prices

    def cost(
        self,
        called: Called,
        at: datetime,
        *,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        in_batch: bool = False,
    ) -> tuple[Decimal, str] | None:
        """
        Return the US dollars of a call and the price list that says so; None when no list has the model.

        :param in_batch: at the price of the provider's batch interface, where a list has one.
        """
        own = self.prices.of(called.names, at.date())
        if own is not None:
            tokens = {"input_tokens": input_tokens, "output_tokens": output_tokens, "cached_tokens": cached_tokens}
            share = own.batch if in_batch else Decimal(1)
            return own.cost(**tokens) * share, own.version + (", batch" if in_batch else "")
        return _public(called, at, input_tokens, output_tokens, cached_tokens, in_batch)


def _public(
    called: Called, at: datetime, input_tokens: int, output_tokens: int, cached_tokens: int, in_batch: bool
) -> tuple[Decimal, str] | None:
    from genai_prices import Usage, calc_price

    taken = Usage(input_tokens=input_tokens, output_tokens=output_tokens, cache_read_tokens=cached_tokens or None)
    context = {"processing": "batch"} if in_batch else None
    for name in called.names:
        places: tuple[dict[str, Any], ...] = ({"provider_api_url": called.url}, {"provider_id": called.provider})
        for where in places:
            if not all(where.values()):
                continue
            try:
                found = calc_price(taken, name, genai_request_timestamp=at, price_context=context, **where)
            except (LookupError, ValueError):
                continue
            return found.total_price, _public_list() + (", batch" if in_batch else "")
    return None


@cache
def _public_list() -> str:  # looking a version up reads a file, and each call of a model asks
    return f"genai-prices {version('genai-prices')}"
