"""What passes the door can be stored, digested, sent and shown; what does not is named, and kept all the same."""

from __future__ import annotations

import ipaddress
import json
from contextlib import suppress
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from fuzz import inputs
from hypothesis import given, settings
from hypothesis import strategies as st
from interlock.domain.base.canonical import canonical_json, digest
from interlock.domain.base.door import MAX_CHARACTERS, MAX_DEPTH, admit, as_kept, as_text, decode_json, read_json
from interlock.errors import UnfitValue


class Colour(Enum):
    RED = "red"


class Evil:
    def __str__(self) -> str:
        raise RuntimeError("no")


def nested(levels: int) -> list:
    found: list = []
    for _ in range(levels - 1):
        found = [found]
    return found


HOLDS_ITSELF: list = []
HOLDS_ITSELF += [HOLDS_ITSELF, HOLDS_ITSELF]
TEXTS = st.text(st.characters(exclude_categories=()))
"""Halves of characters and NUL among them."""
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXTS
    | st.binary()
    | st.decimals(allow_nan=True, allow_infinity=True)
    | st.datetimes()
    | st.datetimes(timezones=st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids(allow_nil=True)
    | st.ip_addresses()
    | st.complex_numbers()
    | st.sampled_from([pd.NaT, pd.NA, np.float32("nan"), np.int64(5), np.arange(3), Colour.RED, Evil(), object()]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXTS | st.integers() | st.none(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=20,
)


def is_whole(value: object) -> bool:
    """Whether a value comes back from every place that it goes to."""
    text = canonical_json(value)
    return len(digest(value)) == 64 and text.encode().decode() == text and canonical_json(json.loads(text)) == text


@pytest.mark.parametrize(
    ("value", "admitted"),
    [
        (datetime(2026, 3, 1, 9, tzinfo=timezone(timedelta(hours=1))), "2026-03-01T08:00:00.000000+00:00"),
        (date(2026, 3, 1), "2026-03-01"),
        (time(9, 30), "09:30:00"),
        (timedelta(days=1, seconds=2, microseconds=500_000), "P1DT2.5S"),
        (timedelta(days=-1), "-P1DT0S"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
        (ipaddress.ip_interface("10.0.0.1/24"), "10.0.0.1/24"),
        (ipaddress.ip_network("fe80::/64"), "fe80::/64"),
        (Decimal("0.00004"), "0.00004"),
        (np.int64(5), 5),
        (np.float64(1.5), 1.5),
        (pd.NaT, None),
        (pd.Timestamp("2026-03-01T09:00:00Z"), "2026-03-01T09:00:00.000000+00:00"),
        (memoryview(b"\x01\xff"), "01ff"),
        (Colour.RED, "red"),
        ((1, {"a": {2, 1}}), [1, {"a": [1, 2]}]),
        ({1: "one", None: "none"}, {"1": "one", "None": "none"}),
        (-(2**63), -(2**63)),
        (nested(MAX_DEPTH), nested(MAX_DEPTH)),
    ],
)
def test_what_drivers_and_formats_bring_has_one_form(value, admitted):
    assert admit(value) == admitted
    assert as_kept(value) == admitted
    assert is_whole(admit(value))


def test_an_array_is_lists_of_its_numbers():
    assert admit({"a": np.arange(4).reshape(2, 2)}) == {"a": [[0, 1], [2, 3]]}
    assert as_kept(np.array([float("nan")])) == ["nan (is not a finite number)"]


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        (float("inf"), "", "is not a finite number"),
        ({"a": [1, {"b": float("nan")}]}, "a.1.b", "is not a finite number"),
        ({"a": np.float32("inf")}, "a", "is not a finite number"),
        ({"a": Decimal("sNaN")}, "a", "is not a finite number"),
        ({"a": "x\ud83d"}, "a", "holds half of a character"),
        ({"\udc00": 1}, "", "holds half of a character"),
        ({"a": "x\0"}, "a", "holds a NUL character"),
        ({"a": 2**63}, "a", "is a whole number of more than 64 bits"),
        ({"a": -(2**63) - 1}, "a", "is a whole number of more than 64 bits"),
        ({"a": 10**5000}, "a", "is a whole number of more than 64 bits"),
        ({"a": datetime(2026, 3, 1)}, "a", "is a timestamp without a time zone"),  # on purpose
        ({"a": datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))}, "a", "outside of the years"),
        ({"a": object()}, "a", "is a object, which has no form"),
        ({"a": 1j}, "a", "is a complex, which has no form"),
        ({1: "a", "1": "b"}, "1", "is a field twice"),
        (nested(MAX_DEPTH + 1), ".".join("0" * MAX_DEPTH), "is nested deeper"),
        (HOLDS_ITSELF, ".".join("0" * MAX_DEPTH), "is nested deeper"),
        ("x" * MAX_CHARACTERS, "", "is larger than"),
        ({"a": Evil()}, "a", "is a Evil, which has no form"),
    ],
)
def test_what_has_no_form_is_refused_by_its_place_and_kept_as_text(value, path, problem):
    with pytest.raises(UnfitValue, match=problem) as refused:
        admit(value)

    assert refused.value.path == path
    assert is_whole(as_kept(value))


def test_what_is_kept_in_place_of_a_value_says_why():
    kept = as_kept(
        {"a": float("inf"), "b": "half \ud83d", "c": 2**70, "d": datetime(2026, 3, 1), "e": "\0"}
    )  # on purpose

    assert kept == {
        "a": "inf (is not a finite number)",
        "b": "half \ufffd (holds half of a character (a lone surrogate))",
        "c": f"{2**70} (is a whole number of more than 64 bits)",
        "d": "2026-03-01T00:00:00",
        "e": "␀ (holds a NUL character)",
    }


@settings(max_examples=inputs(300), deadline=None)
@given(ANYTHING)
def test_everything_is_kept_and_what_is_admitted_is_whole(value):
    assert is_whole(as_kept(value))
    with suppress(UnfitValue):
        admitted = admit(value)
        assert is_whole(admitted)
        assert admit(admitted) == admitted


@given(TEXTS, st.integers(0, 20))
def test_every_text_can_be_written(text, longest):
    written = as_text(text, longest)

    assert "\0" not in written
    assert len(written) <= max(longest, 1)
    assert written.encode().decode() == written


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1, "a": 1}', "a field occurs twice"),
        ('[{"b": {"a": 1, "a": 2}}]', "a field occurs twice"),
        ("NaN", "NaN is no JSON"),
        ("-Infinity", "-Infinity is no JSON"),
        ("1e999", "a number is too large"),
        ("9" * 5000, "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('"\\ud800"', "half of a character"),
        ('"\\u0000"', "NUL"),
        (b"\xff", "is not UTF-8"),
        ("", "is not JSON"),
    ],
)
def test_json_that_others_would_read_otherwise_is_refused(text, problem):
    with pytest.raises(UnfitValue, match=problem):
        read_json(text)


@settings(max_examples=inputs(300), deadline=None)
@given(st.text(alphabet='{}[]",:0129.eE-+naultrfs\\ud8\0 ') | TEXTS)
def test_json_is_read_or_refused(text):
    with suppress(UnfitValue):
        decode_json(text)
        assert is_whole(read_json(text))
