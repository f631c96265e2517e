from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from interlock.analysis.staging import Staging, staging
from interlock.domain.data.dataset import Dataset
from interlock.domain.data.notation import Notation
from interlock.domain.data.source import SourceRow

COLUMNS = {
    "id": "integer", "day": "date", "amount": "decimal", "rate": "number", "ok": "boolean", "at": "datetime",
    "name": "string",
}  # fmt: skip
GOOD: dict[str, Any] = {
    "id": "1", "day": "2014-06-01", "amount": "10.5", "rate": "1e3", "ok": "yes", "at": "2014-06-01T10:00:00Z",
    "name": "x",
}  # fmt: skip


def a_dataset(**changes: Any) -> Dataset:
    return Dataset.model_validate({"source": "x.csv", "time": "day", "columns": COLUMNS} | changes)


@contextmanager
def staged(rows: Iterable[dict[str, Any] | str], **changes: Any) -> Iterator[Staging]:
    """Stage *rows*: fields that differ from a good row, or a problem."""
    with staging(a_dataset(**changes)) as opened:
        opened.add(
            SourceRow(number=number, values=None, problem=row)
            if isinstance(row, str)
            else SourceRow(number=number, values=GOOD | {"id": str(number)} | row)
            for number, row in enumerate(rows, 2)
        )
        opened.type_rows()
        yield opened


def rows_of(opened: Staging, columns: str) -> list[Any]:
    return opened.database.execute(f"SELECT {columns} FROM rows ORDER BY _number").fetchall()


def reasons_of(opened: Staging) -> dict[int, list[str]]:
    return dict(opened.database.execute("SELECT _number, _reasons FROM aside ORDER BY _number").fetchall())


def test_each_value_gets_its_declared_type():
    with staged([{}]) as opened:
        ((number, day, amount, rate, ok, name),) = rows_of(opened, "id, day, amount, rate, ok, name")

    assert (number, day, amount, rate, ok, name) == (2, date(2014, 6, 1), Decimal("10.5"), 1000.0, True, "x")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "1.5"), ("id", "12x"), ("amount", "abc"), ("amount", "10,5"), ("rate", "nan"), ("rate", "inf"),
        ("ok", "maybe"), ("day", "2014-13-01"), ("day", "01.06.2014"), ("at", "yesterday"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_puts_its_row_aside_and_the_rest_goes_on(field, value):
    with staged([{field: value}, {}]) as opened:
        assert opened.count() == 1
        assert reasons_of(opened) == {2: [f"{field}: is no {COLUMNS[field]}"]}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("decimal", "0.00004", None),
        ("decimal", "1.23456", None),
        ("decimal", "1e-5", None),
        ("decimal", "1e-30", None),
        ("decimal", "NaN", None),
        ("decimal", "0.12340000", Decimal("0.1234")),
        ("decimal", "-.5", Decimal("-0.5")),
        ("decimal", "+12.", Decimal(12)),
        ("decimal", "1.5e2", Decimal(150)),
        ("decimal", "1e-4", Decimal("0.0001")),
        ("decimal(8)", "0.00004", Decimal("0.00004")),
        ("decimal(8)", "0.000000001", None),
        ("decimal(0)", "7.0", Decimal(7)),
        ("decimal(0)", "7.5", None),
    ],
)
def test_a_decimal_is_never_rounded(kind, text, value):
    with staged([{"amount": text}], columns=COLUMNS | {"amount": kind}) as opened:
        if value is None:
            assert opened.count() == 0
        else:
            assert rows_of(opened, "amount") == [(value,)]


def test_a_decimal_with_more_digits_says_how_to_declare_it():
    with staged([{"amount": "0.00004"}]) as opened:
        assert reasons_of(opened) == {2: ["amount: has more than 4 digits after the point; declare it as decimal(8)"]}


@pytest.mark.parametrize("kind", ["decimal(18)", "decimal()", "decimal(-1)", "number(3)", "Decimal"])
def test_a_type_that_is_none_is_refused(kind):
    with pytest.raises(ValueError, match=r"or a decimal with another scale, such as 'decimal\(8\)'"):
        a_dataset(columns=COLUMNS | {"amount": kind})


def test_numbers_and_dates_are_read_as_the_source_declares_them():
    notation = Notation(decimal=",", thousands=".", day_first=True)
    good = {"amount": "1.234,5", "day": "03.04.2026", "rate": "1", "name": "1,5"}
    given = [good, good | {"amount": "1.5"}, good | {"day": "04/13/2026"}]
    with staging(a_dataset()) as opened:
        opened.add(
            SourceRow(number=number, values=GOOD | row, notation=notation) for number, row in enumerate(given, 2)
        )
        opened.type_rows()

        assert rows_of(opened, "amount, day, name") == [(Decimal("1234.5"), date(2026, 4, 3), "1,5")]
        assert reasons_of(opened) == {
            3: ["amount: is no number as the source declares them (decimal ',', thousands '.')"],
            4: ["day: is no date"],
        }


def test_a_whole_number_written_with_a_point_is_an_integer():
    with staged([{"id": "12.0"}]) as opened:
        assert rows_of(opened, "id") == [(12,)]


def test_an_empty_value_is_empty_and_a_row_without_its_time_is_put_aside():
    with staged([{"amount": None, "name": ""}, {"day": None}]) as opened:
        assert rows_of(opened, "amount, name") == [(None, None)]
        assert "it says when the row counts" in reasons_of(opened)[3][0]


def test_a_row_that_could_not_be_parsed_is_put_aside_with_its_problem():
    with staged([{}, "has 3 fields where the header has 7"]) as opened:
        assert reasons_of(opened) == {3: ["has 3 fields where the header has 7"]}


def test_a_time_without_a_zone_is_the_datasets_and_one_with_a_zone_its_own():
    rows = [{"at": "2014-06-01 10:00"}, {"at": "2014-06-01T10:00:00+02:00"}]
    with staged(rows, time="at", time_zone="Europe/London") as opened:
        instants = [at.astimezone(UTC).hour for (at,) in rows_of(opened, "_at")]

    assert instants == [9, 8]


def test_rows_that_became_known_later_are_not_there():
    rows = [{"day": "2014-06-01"}, {"day": "2014-06-02"}, {"day": "2014-06-03"}]
    with staged(rows) as opened:
        assert opened.newest_known() == datetime(2014, 6, 4, tzinfo=UTC)
        assert opened.read_as_of(datetime(2014, 6, 3, tzinfo=UTC)) == 2  # a day is known when it is over


def test_the_second_row_of_a_key_is_put_aside():
    with staged([{"id": "7"}, {"id": "7", "amount": "99"}], key=["id"]) as opened:
        assert opened.read_as_of(datetime(2020, 1, 1, tzinfo=UTC)) == 1
        assert reasons_of(opened) == {3: ["the same id as row 2, with other values"]}


def test_of_a_key_that_was_corrected_the_version_counts_that_was_known_then():
    rows = [
        {"id": "7", "amount": "1", "at": "2014-06-01T00:00:00Z"},
        {"id": "7", "amount": "2", "at": "2014-06-05T00:00:00Z"},
    ]
    for as_of, amount in ((datetime(2014, 6, 3, tzinfo=UTC), 1), (datetime(2014, 6, 9, tzinfo=UTC), 2)):
        with staged(rows, key=["id"], known_at="at") as opened:
            opened.read_as_of(as_of)
            assert rows_of(opened, "amount") == [(amount,)]
            assert opened.count_aside() == 0


def test_columns_are_told_that_are_missing_and_that_nobody_declared():
    with staging(a_dataset()) as opened:
        opened.add([SourceRow(number=2, values={"id": "1", "day": "2014-06-01", "customer": "x"})])

        assert opened.missing == ["amount", "rate", "ok", "at", "name"]
        assert opened.undeclared == ["customer"]


def test_a_column_may_be_called_like_a_word_of_sql():
    columns = {"order": "integer", "select": "date"}
    with staging(a_dataset(columns=columns, time="select", key=["order"])) as opened:
        opened.add([SourceRow(number=2, values={"order": "1", "select": "2014-06-01"})])
        opened.type_rows()

        assert opened.read_as_of(datetime(2020, 1, 1, tzinfo=UTC)) == 1


def test_the_same_rows_give_the_same_file(tmp_path):
    digests = []
    for _ in range(2):
        with staged([{}, {"amount": "3"}]) as opened:
            digests.append(opened.write_rows(tmp_path / "rows.parquet"))

    assert digests[0] == digests[1]


def test_parquet_is_taken_in_with_its_own_types(tmp_path):
    import pandas

    frame = pandas.DataFrame(
        {"id": [1, 2], "day": pandas.to_datetime(["2014-06-01", "2014-06-02"]), "amount": [1.5, None]}
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    with staging(a_dataset(columns={"id": "integer", "day": "date", "amount": "decimal"})) as opened:
        assert opened.add_parquet(tmp_path / "rows.parquet") == 2
        opened.type_rows()

        assert rows_of(opened, "id, day, amount") == [
            (1, date(2014, 6, 1), Decimal("1.5")), (2, date(2014, 6, 2), None)
        ]  # fmt: skip
