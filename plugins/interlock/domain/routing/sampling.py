"""
Which automatic cases are drawn for people to review, by chance alone.

The draw is made from the case's own secret, so it is the same in every attempt, and the author of a case cannot choose
it. It sees nothing of an agent's answer: a sample that knew how sure an agent was would say nothing about the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interlock.domain.base.canonical import keyed_digest
from interlock.domain.base.expression import Expression
from interlock.domain.policy.policy import Sampling

Samplings = Sequence[tuple[Sampling, Expression]]


def sampling_for(samplings: Samplings, route: str, known: Mapping[str, Any]) -> Sampling | None:
    """Return the first sampling that a case on *route* takes part in; one that cannot be evaluated counts."""
    for sampling, condition in samplings:
        if sampling.route == route and condition.evaluate(known).value is not False:
            return sampling
    return None


def is_drawn(secret: bytes, sampling: Sampling) -> bool:
    """Return whether the case with *secret* is drawn; of many cases, a share of ``rate`` is."""
    return int(keyed_digest(secret, {"sampled review": sampling.name})[:13], 16) / 16**13 < sampling.rate
