"""Real runs of Great Expectations: what is checked is what it does with our suites, not what we think it does."""

import json
import logging
import subprocess
import sys

import pandas
import pytest
from interlock.domain.data.quality import parse_suite
from interlock.errors import ConfigurationError, UnknownName
from interlock.quality.check import check_frame


def a_suite(*expectations):
    return parse_suite({"suite": "tickets", "expectations": list(expectations)})


def the_result(suite, frame):
    (result,) = check_frame(suite, frame).results
    return result


def tickets(**columns):
    return pandas.DataFrame({"id": ["t1", "t2", "t2", None], "text": ["hello", "", "broken", "late"]} | columns)


NOT_NULL = {"expect": "column_values_to_not_be_null", "column": "id"}
UNIQUE = {"expect": "column_values_to_be_unique", "column": "id"}


def test_importing_the_check_does_not_import_great_expectations():
    code = "import sys, interlock.quality.check; print('great_expectations' in sys.modules, 'pandas' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )

    assert said.stdout.split() == ["False", "False"]


def test_what_holds_passes():
    result = check_frame(a_suite({"expect": "column_values_to_not_be_null", "column": "text"}), tickets())

    assert result.passed
    assert result.rows == 4
    assert result.results[0].failing_rows == ()


def test_failing_rows_are_told_by_position_whatever_the_index_is():
    frame = tickets().set_index(pandas.Index([40, 10, 10, 7]))

    assert the_result(a_suite(UNIQUE), frame).failing_rows == (1, 2)


def test_the_check_leaves_the_frame_as_it_was():
    frame = tickets().set_index(pandas.Index([40, 10, 10, 7]))
    before = frame.copy(deep=True)
    check_frame(a_suite(UNIQUE), frame)

    pandas.testing.assert_frame_equal(frame, before)


def test_a_critical_expectation_stops_and_one_with_quarantine_puts_rows_aside():
    stopped = check_frame(a_suite(NOT_NULL), tickets())
    aside = check_frame(
        a_suite(NOT_NULL | {"quarantine": True}, UNIQUE | {"quarantine": True, "name": "one ticket each"}), tickets()
    )

    assert not stopped.passed
    assert aside.passed
    assert aside.quarantined_rows == {
        1: ["one ticket each"],
        2: ["one ticket each"],
        3: ["column_values_to_not_be_null(id)"],
    }


def test_results_come_in_the_order_of_the_suite():
    suite = a_suite(
        {"expect": "table_row_count_to_be_between", "min_value": 1, "name": "c"},
        {"expect": "column_values_to_be_unique", "column": "missing", "name": "b"},
        UNIQUE | {"name": "a"},
    )

    assert [result.name for result in check_frame(suite, tickets()).results] == ["c", "b", "a"]


def test_two_expectations_that_differ_only_in_name_are_both_reported():
    suite = a_suite(UNIQUE | {"name": "a"}, UNIQUE | {"name": "b", "severity": "warning"})

    assert [result.failing_rows for result in check_frame(suite, tickets()).results] == [(1, 2), (1, 2)]


def test_quarantine_cannot_isolate_what_is_wrong_with_the_whole_batch():
    suite = a_suite({"expect": "column_mean_to_be_between", "column": "n", "max_value": 5, "quarantine": True})
    result = check_frame(suite, tickets(n=[1, 2, 3, 400]))

    assert not result.passed
    assert result.quarantined_rows == {}
    assert result.results[0].observed == {"observed_value": 101.5}


def test_rows_that_mostly_tolerates_are_put_aside_as_well():
    suite = a_suite(NOT_NULL | {"mostly": 0.5, "quarantine": True})
    result = check_frame(suite, tickets())

    assert result.results[0].success
    assert list(result.quarantined_rows) == [3]
    assert "mostly" in result.results[0].message


def test_expectations_over_several_columns_isolate_rows():
    suite = a_suite(
        {
            "expect": "column_pair_values_a_to_be_greater_than_b",
            "column_A": "closed",
            "column_B": "opened",
            "quarantine": True,
        }
    )
    result = check_frame(suite, tickets(opened=[1, 2, 3, 4], closed=[2, 3, 2, 9]))

    assert list(result.quarantined_rows) == [2]


def test_a_condition_on_rows_keeps_positions_of_the_whole_frame():
    suite = a_suite(
        {
            "expect": "column_value_lengths_to_be_between",
            "column": "text",
            "min_value": 5,
            "row_condition": "n > 2",
            "condition_parser": "pandas",
        }
    )

    assert the_result(suite, tickets(n=[1, 2, 3, 4])).failing_rows == (3,)


def test_a_missing_column_fails_with_a_sentence_and_not_a_traceback():
    result = check_frame(a_suite({"expect": "column_values_to_not_be_null", "column": "txt"}), tickets())

    assert not result.passed
    assert result.results[0].message == "there is no column 'txt'. The batch has: 'id', 'text'."


def test_a_column_that_must_exist_is_checked_by_its_own_expectation():
    assert not the_result(a_suite({"expect": "column_to_exist", "column": "txt"}), tickets()).success
    assert the_result(a_suite({"expect": "column_to_exist", "column": "text"}), tickets()).success


def test_values_that_cannot_be_compared_fail_with_their_kinds():
    suite = a_suite({"expect": "column_values_to_be_between", "column": "n", "min_value": 0}, UNIQUE)
    result = check_frame(suite, tickets(n=[1, "Anna Muster", 2, None]))

    assert not result.passed
    assert result.results[0].message == "it could not be computed on these values: 'n' holds int, str."
    assert result.results[1].failing_rows == (1, 2)


def test_no_value_of_the_data_is_in_a_result(capsys, caplog):
    secret = "anna.muster@example.org"
    frame = tickets(mail=[secret, secret, "x", None], amount=[98765, 1, 2, 3], mixed=[secret, 1, 2, 3])
    suite = a_suite(
        {"expect": "column_values_to_be_unique", "column": "mail"},
        {"expect": "column_values_to_match_regex", "column": "mail", "regex": "^x$"},
        {"expect": "column_values_to_be_in_set", "column": "mail", "value_set": ["x"]},
        {"expect": "column_distinct_values_to_be_in_set", "column": "mail", "value_set": ["x"]},
        {"expect": "column_most_common_value_to_be_in_set", "column": "mail", "value_set": ["x"]},
        {"expect": "column_max_to_be_between", "column": "amount", "max_value": 10},
        {"expect": "column_values_to_be_between", "column": "mixed", "max_value": 10},
        {"expect": "compound_columns_to_be_unique", "column_list": ["mail", "id"]},
    )
    with caplog.at_level(logging.DEBUG):
        result = check_frame(suite, frame)
    said = json.dumps(result.summary()) + repr(result) + caplog.text + "".join(capsys.readouterr())

    assert sum(not item.success for item in result.results) == 7
    assert "anna" not in said
    assert "98765" not in said


def test_an_unknown_expectation_names_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'expect_column_values_to_be_unique'"):
        check_frame(a_suite({"expect": "column_values_to_be_uniqe", "column": "id"}), tickets())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"min_val": 1}, "min_val: extra fields not permitted"),
        ({"min_value": "low"}, "min_value: value is not a valid"),
        ({"min_value": 1, "mostly": 1.5}, "mostly"),
    ],
)
def test_arguments_that_an_expectation_does_not_take_are_refused_with_those_it_takes(arguments, said):
    suite = a_suite({"expect": "column_values_to_be_between", "column": "n"} | arguments)
    with pytest.raises(ConfigurationError, match=r"takes: .*column.*max_value, min_value") as caught:
        check_frame(suite, tickets(n=[1, 2, 3, 4]))

    assert said in str(caught.value)


def test_an_expectation_that_needs_a_database_is_refused():
    with pytest.raises(ConfigurationError, match="needs a database"):
        check_frame(
            a_suite({"expect": "column_values_to_match_like_pattern", "column": "id", "like_pattern": "t%"}), tickets()
        )


def test_two_columns_of_one_name_are_refused():
    frame = pandas.DataFrame([[1, 2]], columns=["id", "id"])

    with pytest.raises(ConfigurationError, match="several columns called 'id'"):
        check_frame(a_suite(UNIQUE), frame)


def test_a_batch_without_rows_passes_unless_rows_are_expected():
    columns = a_suite(UNIQUE, {"expect": "column_mean_to_be_between", "column": "n", "max_value": 5})
    rows = a_suite({"expect": "table_row_count_to_be_between", "min_value": 1})
    empty = tickets(n=[1, 2, 3, 4]).iloc[:0]

    assert check_frame(columns, empty).passed
    assert check_frame(columns, pandas.DataFrame()).passed
    assert not check_frame(rows, empty).passed
    assert not check_frame(a_suite({"expect": "column_values_to_be_unique", "column": "no"}), empty).passed


def test_great_expectations_sends_nothing_and_draws_no_progress_bar(capsys):
    """A guard against a new version that would: the context is built anew for each check."""
    import great_expectations

    made = []
    original = great_expectations.get_context

    def remember(*args, **kwargs):
        made.append(original(*args, **kwargs))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(great_expectations, "get_context", remember)
        check_frame(a_suite(UNIQUE), tickets())

    assert made[0].config.analytics_enabled is False
    assert "Calculating" not in "".join(capsys.readouterr())
