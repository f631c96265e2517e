import json

import pytest
from interlock.domain.data.quality import ExpectationResult, QualityResult, parse_suite
from interlock.errors import ConfigurationError


def a_suite(*expectations):
    return parse_suite({"suite": "tickets", "expectations": list(expectations)})


def a_result(name="text is there", **given):
    return ExpectationResult(
        **{"name": name, "expectation": "expect_x", "severity": "critical", "success": False} | given
    )


def a_check(*results):
    return QualityResult(suite="tickets", rows=10, results=results)


def test_an_expectation_is_named_with_or_without_its_prefix():
    suite = a_suite(
        {"expect": "column_values_to_be_unique", "column": "id"},
        {"expect": "expect_column_values_to_be_unique", "column": "code"},
    )

    assert {item.type for item in suite.expectations} == {"expect_column_values_to_be_unique"}


def test_other_keys_are_the_expectations_own_arguments():
    (item,) = a_suite(
        {"expect": "column_values_to_be_between", "column": "n", "min_value": 0, "severity": "warning"}
    ).expectations

    assert item.arguments == {"column": "n", "min_value": 0}


def test_an_expectation_without_a_name_is_called_after_what_it_says():
    (item,) = a_suite({"expect": "expect_compound_columns_to_be_unique", "column_list": ["a", "b"]}).expectations

    assert item.title == "compound_columns_to_be_unique(a, b)"


def test_critical_is_what_an_expectation_is_when_nothing_is_said():
    (item,) = a_suite({"expect": "table_row_count_to_be_between", "min_value": 1}).expectations

    assert item.severity == "critical"
    assert not item.quarantine
    assert item.columns == ()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "valid dictionary"),
        ({"suite": "t", "expectations": []}, "expectations: Tuple should have at least 1 item"),
        ({"expectations": [{"expect": "x"}]}, "suite: Field required"),
        ({"suite": "t", "expectations": [{"column": "a"}]}, "expectations.0.expect: Field required"),
        ({"suite": "t", "expectations": [{"expect": "x", "severity": "fatal"}]}, "expectations.0.severity"),
        ({"suite": "t", "expectation": [], "expectations": [{"expect": "x"}]}, "expectation: Extra inputs"),
        (
            {"suite": "t", "expectations": [{"expect": "x", "column": "a"}, {"expect": "expect_x", "column": "a"}]},
            "two expectations are called 'x(a)'",
        ),
        ({"suite": "t", "expectations": [{"expect": "x", "regex": "("}]}, "not a regular expression"),
        ({"suite": "t", "expectations": [{"expect": "x", "regex_list": ["a", "["]}]}, "not a regular expression"),
        ({"suite": "t", "expectations": [{"expect": "x", "result_format": "BASIC"}]}, "remove 'result_format'"),
    ],
)
def test_a_suite_that_cannot_work_is_refused_with_the_place(document, said):
    with pytest.raises(ConfigurationError, match=r"suite\.yaml cannot be used") as caught:
        parse_suite(document, where="suite.yaml")

    assert said in str(caught.value)


def test_a_failed_critical_expectation_stops_the_run():
    check = a_check(a_result())

    assert not check.passed
    assert [result.name for result in check.critical_failed] == ["text is there"]


def test_a_failed_critical_expectation_whose_rows_are_put_aside_does_not_stop_the_run():
    check = a_check(a_result(quarantine=True, is_isolated=True, failing_rows=(7, 2)))

    assert check.passed
    assert check.quarantined_rows == {2: ["text is there"], 7: ["text is there"]}


def test_quarantine_does_not_help_when_the_failing_rows_are_not_all_known():
    check = a_check(a_result(quarantine=True, is_isolated=False, failing_rows=()))

    assert not check.passed


def test_a_warning_neither_stops_the_run_nor_puts_rows_aside():
    check = a_check(a_result(severity="warning", failing_rows=(1,)), a_result("other", severity="info"))

    assert check.passed
    assert [result.name for result in check.warnings] == ["text is there"]
    assert check.quarantined_rows == {}


def test_a_row_that_fails_twice_is_put_aside_once_with_both_names():
    check = a_check(
        a_result("one", quarantine=True, is_isolated=True, failing_rows=(3,)),
        a_result("two", quarantine=True, is_isolated=True, failing_rows=(1, 3)),
    )

    assert check.quarantined_rows == {1: ["two"], 3: ["one", "two"]}


def test_the_summary_is_json_and_counts_without_positions():
    check = a_check(
        a_result("one", quarantine=True, is_isolated=True, failing_rows=(3, 4), observed={"unexpected_count": 2}),
        a_result("two", severity="warning"),
        a_result("three", success=True),
    )
    summary = json.loads(json.dumps(check.summary()))

    assert (summary["expectations"], summary["failed"], summary["quarantined"]) == (3, 2, 2)
    assert summary["stopping"] == []
    assert summary["warnings"] == ["two"]
    assert summary["results"][0]["failing"] == 2
    assert "failing_rows" not in summary["results"][0]
