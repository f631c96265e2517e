"""A CSV file that is read at once gives the same rows, with the same numbers and problems, as one read line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from interlock.analysis.staging import staging
from interlock.domain.data.dataset import Dataset
from interlock.domain.data.source import parse_source
from interlock.engine.datasets import dataset_source
from interlock.engine.datasets.dataset_source import Reach, take_in
from interlock.engine.sources.source import read_rows
from interlock.errors import SourceError

DATASET = Dataset(source="a.csv", time="day", columns={"a": "string", "day": "date", "missing": "string"})
FIELD = st.text(
    st.sampled_from([*"ab1-.;", '"', " ", "\t", "\u00a0", "\u2003", "\u00fc", "\r", "\n", ",", "\x1f", "\ufeff"]),
    max_size=6,
)
LINE = st.one_of(
    st.lists(FIELD, min_size=3, max_size=3).map(lambda f: ",".join('"' + t.replace('"', '""') + '"' for t in f)),
    st.lists(st.text(st.sampled_from([*'ab1 ü\u00a0"']), max_size=4), min_size=2, max_size=4).map(",".join),
    st.sampled_from(["", ",,", '"",,""', " , , ", "x,2026-03-01,z", "x,2026-03-01,z"]),
)


def staged(source: Any, *, at_once: bool) -> Any:
    with staging(DATASET) as one:
        try:
            if at_once:
                take_in(one, source, Reach(connection=lambda c: None, base=Path()))
            else:
                one.add(read_rows(parse_source(source), connection=lambda c: None))
        except SourceError as error:
            return str(error)
        rows = one.rows_of("SELECT * FROM raw ORDER BY _number")
        told = any(row[1] is None for row in rows)  # line by line, columns are known from the first row on
        return rows, *((one.missing, one.undeclared) if told else ())


@given(lines=st.lists(LINE, max_size=12), end=st.sampled_from(["\n", "\r\n"]), closed=st.booleans())
@example(lines=["x,2026-03-01,z"] * 3, end="\n", closed=False)
@example(lines=['a"b,2026-03-01,z'], end="\n", closed=True)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_both_ways_give_the_same(tmp_path: Path, lines: list[str], end: str, closed: bool):
    path = tmp_path / "a.csv"
    path.write_bytes((end.join(["a,day,other", *lines]) + (end if closed else "")).encode())

    assert staged(str(path), at_once=True) == staged(str(path), at_once=False)


def test_a_clean_file_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.csv"
    path.write_text("a,day,other\n" + "x,2026-03-01,z\n" * 5)
    monkeypatch.setattr(dataset_source, "read_rows", None)

    rows, missing, undeclared = staged(str(path), at_once=True)

    assert [row[0] for row in rows] == [2, 3, 4, 5, 6]
    assert (missing, undeclared) == (["missing"], ["other"])
