from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interlock.domain.facts.formula import compute
from interlock.errors import ConfigurationError

amounts = st.decimals(min_value=-(10**9), max_value=10**9, places=4)


@given(a=amounts, b=amounts)
def test_a_difference_is_exact(a, b):
    assert compute("a - b", [a, b]) == a - b


@given(a=amounts)
def test_a_division_by_zero_has_no_value(a):
    assert compute("100 * (a - b) / b", [a, Decimal(0)]) is None


def test_what_follows_from_a_number_that_is_missing_is_missing():
    assert compute("a - b", [Decimal(1), None]) is None


@pytest.mark.parametrize("formula", ["a ** b", "__import__('os')", "a if b else a", "z + a", "a +", "a.b", "a < b"])
def test_nothing_but_arithmetic_over_the_inputs_is_computed(formula):
    with pytest.raises(ConfigurationError, match="no arithmetic over a, b"):
        compute(formula, [Decimal(1), Decimal(2)])
