from __future__ import annotations

import resource
from datetime import datetime
from decimal import Decimal
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interlock.domain.base.contract import Contract
from interlock.domain.base.expression import Expression, variable_types
from interlock.errors import PolicyError


class Ticket(Contract):
    text: str
    count: int = 0
    amount: float = 0.0
    price: Decimal = Decimal(0)
    urgent: bool = False
    flags: list[str] = []
    tier: Literal["gold", "iron"] = "iron"
    only: Literal["x"] = "x"
    account: str | None = None
    at: datetime | None = None


class ModelAnswer(Contract):
    intent: str


TYPES = variable_types(
    {"Ticket": Ticket.model_json_schema(), "ModelAnswer": ModelAnswer.model_json_schema()}, case_contract="Ticket"
)


@pytest.mark.parametrize(
    ("text", "inputs", "value"),
    [
        ("case.text.matches(r'(?i)\\blegal\\b')", {"case.text": "Legal!"}, True),
        ("case.count > 2 && case.amount < 1.5", {"case.count": 3, "case.amount": 1}, True),
        ("case.price > 9.5", {"case.price": "10.00"}, True),
        ("case.urgent", {"case.urgent": False}, False),
        ("'a' in case.flags", {"case.flags": ["a"]}, True),
        ("case.tier == 'gold'", {"case.tier": "gold"}, True),
        ("case.only == 'x'", {"case.only": "x"}, True),
        ("case.account == 'A'", {"case.account": "A"}, True),
        ("case.at > timestamp('2026-01-01T00:00:00Z')", {"case.at": "2026-03-02T09:00:00Z"}, True),
        ("model_answer.intent == 'refund'", {"model_answer.intent": "refund"}, True),
        ("'account' in missing || 'text' in known", {"missing": ["account"], "known": []}, True),
        ("confidence >= threshold && attempt == 1", {"confidence": 0.9, "threshold": 0.9, "attempt": 1}, True),
    ],
)
def test_conditions_read_every_kind_of_field(text: str, inputs: dict, value: bool):
    assert Expression(text, TYPES).evaluate(inputs).value is value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("case.txt == 'a'", r"line 1, column 5: undeclared reference to 'case.txt'. Did you mean 'case.text'\?"),
        ("confidnce > 0.5", r"Did you mean 'confidence'\?"),
        ("zzzzzz > 0.5", r"undeclared reference to 'zzzzzz'. Known: attempt, case.account"),
        ("case.count > 'a'", r"found no matching overload for '_>_' applied to '\(int, string\)'"),
        ("confidence > 1", r"applied to '\(double, int\)'. Write a number .* with a decimal point: 1.0"),
        ("case.count", "gives a int, and a condition must be true or false"),
        ("case.text ==", "line 1, column .*Syntax error"),
        ("", "Syntax error"),
        ("true &&\n case.txt == 'a'", "line 2, column"),
        ("nonsense(case.text)", "undeclared reference to 'nonsense'"),
    ],
)
def test_what_cannot_work_is_refused_with_its_place_and_what_was_meant(text: str, told: str):
    with pytest.raises(PolicyError, match=told):
        Expression(text, TYPES)


@pytest.mark.parametrize(
    ("text", "inputs", "error"),
    [
        ("case.account == 'A'", {}, "there is no case.account"),
        ("case.account == 'A'", {"case.account": None}, "there is no case.account"),
        ("case.count / 0 == 1", {"case.count": 1}, "could not be evaluated"),
        ("case.flags[3] == 'a'", {"case.flags": []}, "could not be evaluated"),
        ("case.at > timestamp('2026-01-01T00:00:00Z')", {"case.at": "yesterday"}, "cannot evaluate"),
        ("case.amount > 1.0", {"case.amount": "much"}, "cannot evaluate"),
        ("case.amount > 1.0", {"case.amount": 10**400}, "cannot evaluate"),
        ("case.text == 'a'", {"case.text": 3}, "could not be evaluated"),
    ],
)
def test_what_cannot_be_evaluated_is_neither_true_nor_false(text: str, inputs: dict, error: str):
    said = Expression(text, TYPES).evaluate(inputs)

    assert said.value is None
    assert error in (said.error or "")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
EVERY_FIELD = Expression(
    "case.text == 'a' || case.count > 1 || case.amount > 1.0 || case.urgent || 'a' in case.flags "
    "|| case.at > timestamp('2026-01-01T00:00:00Z') || confidence > 0.5 || 'a' in missing",
    TYPES,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(TYPES, anything)))
def test_evaluating_never_raises_whatever_a_case_holds(inputs: dict):
    said = EVERY_FIELD.evaluate(inputs)

    assert said.value in (True, False, None)
    assert (said.value is None) == (said.error is not None)


def test_a_condition_says_what_it_reads_and_nothing_of_its_texts():
    condition = Expression("case.text == 'case.count and confidence' && 'attempt' in known", TYPES)

    assert condition.reads == ("case.text", "known")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!case.text.matches('z') && case.text .matches( r'x+y' )", True),
        ("case.text.matches('^x') || case.count > 2", True),
        ("case.text.matches('y$') && case.text.matches('x$')", False),
        ("case.text == \"case.text.matches('x')\"", False),
        ("matches(case.text, 'x+')", True),
        ("(case.text + '!').matches('y!$')", True),
        ("case.text.matches('^' + 'xx')", True),
        ("case.flags.exists(flag, flag.matches('^a'))", True),
        ("[{'text': 'none'}].exists(case, case.text.matches('x'))", False),
        ("case.text.matches('x') ? !case.tier.matches('o') : true", True),
    ],
)
def test_patterns_are_searched_for_in_fields_and_in_whatever_gives_a_text(text: str, value: bool):
    inputs = {"case.text": "xxy", "case.flags": ["b", "ab"], "case.tier": "iran", "case.count": 1}

    assert Expression(text, TYPES).evaluate(inputs).value is value


def test_a_pattern_in_an_absent_field_is_neither_true_nor_false():
    condition = Expression("case.account.matches('A')", TYPES)

    assert condition.evaluate({"case.account": None}).error == "there is no case.account"
    assert condition.evaluate({"case.account": 3}).value is None
    assert Expression("case.count == 1 || case.account.matches('A')", TYPES).evaluate({"case.count": 1}).value is True


def test_a_pattern_that_re2_does_not_know_is_refused():
    with pytest.raises(PolicyError, match=r"'\(\?=a\)' is no RE2 pattern"):
        Expression("case.text.matches('(?=a)')", TYPES)


def test_looking_for_patterns_keeps_no_texts():
    """The library frees no argument of a function that is written in Python: 100 MB here."""
    condition = Expression("case.text.matches('z') || case.text.matches('y')", TYPES)
    inputs = {"case.text": "x" * 10_000}
    condition.evaluate(inputs)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    for _ in range(5_000):
        condition.evaluate(inputs)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB
