from __future__ import annotations

import hashlib
import math

import pytest
from cel_expr_python import cel
from interlock.domain.base.expression import Expression
from interlock.domain.policy.policy import Sampling
from interlock.domain.routing.sampling import is_drawn, sampling_for

TYPES = {"case.tier": cel.Type.STRING}
CASES = [hashlib.sha256(str(number).encode()).digest() for number in range(4000)]


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3, 1.0])
def test_a_share_of_the_rate_is_drawn_and_always_the_same(rate: float):
    sampling = Sampling(name="all", rate=rate)

    drawn = [is_drawn(secret, sampling) for secret in CASES]

    six_sigma = 6 * math.sqrt(len(CASES) * rate * (1 - rate))
    assert abs(sum(drawn) - rate * len(CASES)) <= six_sigma
    assert drawn == [is_drawn(secret, sampling) for secret in CASES]


def test_two_samplings_draw_apart():
    one, other = Sampling(name="one", rate=0.5), Sampling(name="other", rate=0.5)

    both = sum(is_drawn(secret, one) and is_drawn(secret, other) for secret in CASES)

    assert abs(both - len(CASES) / 4) <= 6 * math.sqrt(len(CASES) * 0.25 * 0.75)


def test_a_higher_rate_draws_more_of_the_same():
    few, many = Sampling(name="all", rate=0.05), Sampling(name="all", rate=0.2)

    assert all(is_drawn(secret, many) for secret in CASES if is_drawn(secret, few))


def test_the_first_that_fits_counts_and_one_that_cannot_be_evaluated_fits():
    written = [
        Sampling(name="private", when="case.tier == 'private'", rate=1.0),
        Sampling(name="all", rate=0.1),
        Sampling(name="reviews", route="review", rate=0.1),
    ]
    samplings = [(sampling, Expression(sampling.when, TYPES)) for sampling in written]

    def name(route: str, **known: str) -> str | None:
        found = sampling_for(samplings, route, {f"case.{key}": value for key, value in known.items()})
        return found.name if found else None

    assert name("auto", tier="private") == "private"
    assert name("auto", tier="standard") == "all"
    assert name("auto") == "private"
    assert name("review", tier="private") == "reviews"
    assert name("stop", tier="private") is None
