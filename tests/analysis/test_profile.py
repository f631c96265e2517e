"""What looks like a number and is none stays a text in a proposed declaration."""

from __future__ import annotations

from typing import Any

import pytest
from interlock.analysis.profile import propose
from interlock.domain.data.notation import Notation
from interlock.domain.data.source import SourceRow


def kinds(values: list[Any], notation: Notation | None = None) -> str:
    rows = [
        SourceRow(number=number, values={"day": "2026-03-01", "value": value}, notation=notation)
        for number, value in enumerate(values, 2)
    ]
    return propose(rows, name="x", source="x.csv")[0]["x"]["columns"]["value"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["NO", "NO"], "string"),
        (["no"], "string"),
        (["yes", "no"], "boolean"),
        (["true", "true"], "boolean"),
        (["1234567890123456789012", "1234567890123456789013"], "string"),
        (["4111111111111111"], "string"),
        (["+4930123456", "+4930123457"], "string"),
        (["1E5", "2E7"], "string"),
        (["1E5", "17"], "string"),
        (["00123"], "string"),
        (["1e-05", "2.5e-07"], "number"),
        (["-12", "7"], "integer"),
        (["1.25", "-0.5"], "decimal"),
        (["0.00004", "1"], "number"),
    ],
)
def test_a_code_stays_text_and_a_number_does_not(values: list[str], kind: str):
    assert kinds(values) == kind


def test_a_declared_notation_says_what_is_a_number():
    german = Notation(decimal=",", thousands=".", day_first=True)

    assert kinds(["1.234,50", "7"], german) == "decimal"
    assert kinds(["1.234,50", "7"]) == "string"
    assert kinds(["31.12.2026", "1.1.2026"], german) == "date"
