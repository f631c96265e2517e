"""Whatever stands in a workflow's files, checking them ends with problems in words."""

from __future__ import annotations

from contextlib import suppress

import pytest
from fuzz import inputs
from hypothesis import given, settings
from hypothesis import strategies as st
from interlock.domain.base.strict_yaml import load_yaml
from interlock.domain.policy.check import check_bundle
from interlock.domain.policy.company import COMPANY, Company
from interlock.domain.policy.version import Bundle
from interlock.errors import ConfigurationError, InterlockError
from workflows import ACCESS, AGENTS, ECOSYSTEM, NAME, POLICY, WORKFLOW

FILES = {"policy.yaml": POLICY, "agents.yaml": AGENTS, "workflow.yaml": WORKFLOW}
OWN = {"access.yaml": ACCESS, "ecosystem.yaml": ECOSYSTEM}
SCHEMAS = {
    name: {"ref": f"{name}@1", "digest": "0" * 64, "schema": {"properties": {"text": {"type": "string"}}}}
    for name in ("Refund", "Verdict", "Letter")
}
WORDS = (
    "",
    "null",
    "[]",
    "{}",
    "true",
    "- ",
    ": ",
    "{a: b",
    "'",
    '"',
    "\t",
    "\n",
    "*x",
    "&a [*a]",
    "!!int x",
    "1d",
    "99999d",
)
NUMBERS = ("-1", "1e999", ".inf", ".nan", "9" * 5000, "0x", "2026-99-99", "2026-03-01")
CHARACTERS = ("\\ud800", "\0", "é", "[" * 3000)
PIECES = st.sampled_from((*WORDS, *NUMBERS, *CHARACTERS)) | st.text(max_size=6)


def nine_times(depth: int) -> str:
    """Return a few lines whose aliases stand for nine to the power of *depth* values."""
    lines = ["a0: &a0 [1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, depth + 1)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "a: &a [*a, *a]",
        "a: &a {b: *a}",
        nine_times(9),
        "day: 2026-99-99",
        "n: " + "1" * 5000,
        "x: !!int x",
        "x: !!timestamp x",
        "x: \0",
        "x: \ud800",
    ],
)
def test_yaml_that_would_break_its_reader_is_refused(text):
    with pytest.raises(ConfigurationError, match=r"^policy\.yaml"):
        load_yaml(text, where="policy.yaml")


def test_aliases_that_stand_for_little_are_read():
    assert load_yaml("a: &a [1, 2]\nb: [*a, *a]", where="x") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


@settings(max_examples=inputs(60), deadline=None)
@given(st.sampled_from(sorted(FILES | OWN)), st.data())
def test_no_change_of_a_file_ends_its_check_with_an_error_of_python(name, data):
    text = (FILES | OWN)[name]
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 12, len(text))))
        text = text[:start] + data.draw(PIECES) + text[end:]
    changed = {**FILES, **OWN, name: text}

    with suppress(InterlockError):
        company = Company(Bundle(COMPANY, {path: changed[path] for path in OWN}))
        company.problems()
        check_bundle(Bundle(NAME, {path: changed[path] for path in FILES}, {}, SCHEMAS), company, environment="test")
