from __future__ import annotations

from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.domain.policy.suite_check import suite_problems
from interlock.domain.policy.version import Bundle

DATASETS = "lines: {source: a.csv, time: day, columns: {day: date, amount: decimal}, suite: lines}"
SUITE = "suite: lines\nexpectations: [{expect: column_values_to_not_be_null, column: amuont}]"
CONTRACT = {"schema": {"properties": {"text": {"type": "string"}}}}


def a_bundle(**files: str) -> Bundle:
    given = {"datasets.yaml": DATASETS, "expectations/lines.yaml": SUITE, "policy.yaml": "{policy: p, contract: Note}"}
    return Bundle("notes", given | files, {}, {"Note": CONTRACT})


def test_a_column_that_the_dataset_has_not_is_told_with_what_was_meant():
    [told] = suite_problems(a_bundle())

    assert "dataset 'lines' has no column 'amuont'; did you mean 'amount'?" in told


def test_a_suite_that_is_not_there_is_told_with_those_that_are():
    bundle = a_bundle(**{"datasets.yaml": DATASETS.replace("suite: lines", "suite: line")})

    [told] = suite_problems(bundle)

    assert told.startswith("datasets.yaml: ")
    assert "Did you mean 'lines'" in told


def test_a_suite_that_cannot_be_read_is_told():
    [told] = suite_problems(a_bundle(**{"expectations/lines.yaml": "suite: lines"}))

    assert "expectations/lines.yaml cannot be used" in told


def test_checks_of_a_dag_are_held_against_datasets_and_the_contract():
    wiring = Wiring(
        {
            "read": WiredTask(task_id="read", kind="data", dataset="linse"),
            "check": WiredTask(task_id="check", kind="quality", suite="lines"),
        }
    )

    told = suite_problems(a_bundle(), wiring)[1:]

    assert "task 'read'" in told[0]
    assert "Did you mean 'lines'" in told[0]
    assert "contract 'Note' has no column 'amuont'" in told[1]
