from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interlock.domain.base.canonical import canonical_json, digest, digest_bytes, keyed_digest

text = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=20)


class Colour(StrEnum):
    RED = "red"


@given(values)
def test_a_value_that_was_written_and_read_has_the_same_digest(value):
    assert digest(json.loads(canonical_json(value))) == digest(value)


@given(st.dictionaries(text, values, min_size=2))
def test_the_order_of_keys_does_not_matter(value):
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


@given(values, values)
def test_values_that_differ_as_json_have_other_digests(one, other):
    assert (digest(one) == digest(other)) == (canonical_json(one) == canonical_json(other))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"b": 1, "a": [True, None]}, '{"a":[true,null],"b":1}'),
        ("ü🚂", '"ü🚂"'),
        (Decimal("1.10"), '"1.10"'),
        (datetime(2026, 3, 2, 9, tzinfo=UTC), '"2026-03-02T09:00:00.000000+00:00"'),
        (datetime(2026, 3, 2, 9, tzinfo=timezone(timedelta(hours=2))), '"2026-03-02T07:00:00.000000+00:00"'),
        (date(2026, 3, 2), '"2026-03-02"'),
        (Colour.RED, '"red"'),
        (b"\x00\xff", '"00ff"'),
        ({"b", "a"}, '["a","b"]'),
        ((1, 2), "[1,2]"),
    ],
)
def test_each_type_has_one_form(value, written):
    assert canonical_json(value) == written


@pytest.mark.parametrize("value", [float("nan"), float("inf"), datetime(2026, 3, 2)])
def test_what_has_no_exact_form_is_refused(value):
    with pytest.raises(ValueError):
        canonical_json({"x": value})


def test_a_type_without_a_form_is_refused():
    with pytest.raises(TypeError, match="object has no canonical form"):
        canonical_json([object()])


def test_a_keyed_digest_needs_its_secret():
    assert keyed_digest(b"a" * 32, "x") == keyed_digest(b"a" * 32, "x")
    assert len({keyed_digest(b"a" * 32, "x"), keyed_digest(b"b" * 32, "x"), digest("x")}) == 3
    assert digest("x") == digest_bytes(b'"x"')
