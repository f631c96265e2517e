from __future__ import annotations

from pathlib import Path

import pytest
from interlock.domain.data.source import SourceRow
from interlock.engine.cases.intake import take_up
from interlock.errors import ConfigurationError, ContractChanged, NotDeployed, SourceError
from interlock.ledger.policy.version import publish
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import label, payload
from interlock.ledger.store.transaction import Actor
from workflows import CONTRACTS, WORKFLOW, Workflow, rows


@pytest.fixture
def flow(tmp_path: Path, sqlite_ledger: Ledger) -> Workflow:
    return Workflow(tmp_path, sqlite_ledger)


def row(number: int, **values: object) -> SourceRow:
    return SourceRow(number=number, values=dict(values))


def test_good_rows_become_cases_and_bad_ones_are_quarantined_with_the_field_and_the_reason(flow: Workflow):
    counts = flow.intake(
        [row(2, refund_id="A", text="hello", amount="12.5"), row(3, refund_id="B", text="", amount="x")]
    )

    assert counts == {"rows": 2, "opened": 1, "quarantined": 1}
    assert flow.states() == {"A": "open", "B": "quarantined"}
    reason = flow.cases()["B"]["reason"]
    assert "text: String should have at least 1 character" in reason
    assert "amount: " in reason
    assert flow.cases()["B"]["source"] == "inbox.csv, row 3"
    assert {body["body"].get("amount") for body in flow.table(payload)} == {12.5, "x"}


def test_a_row_that_could_not_be_read_is_quarantined_with_its_number(flow: Workflow):
    flow.intake([SourceRow(number=7, values=None, problem="has 3 fields and the header has 4")])

    [case] = flow.cases().values()
    assert (case["state"], case["reason"]) == ("quarantined", "row 7: has 3 fields and the header has 4")


@pytest.mark.parametrize("key", ["", "  ", None, "x" * 201])
def test_a_row_with_an_unusable_business_key_is_kept_under_its_place(flow: Workflow, key: str | None):
    flow.intake([row(4, refund_id=key, text="hello")])

    [case] = flow.cases().values()
    assert case["state"] == "quarantined"
    assert case["business_key"].startswith("inbox.csv#4~")


def test_a_source_without_the_key_column_is_refused_as_a_whole(flow: Workflow):
    with pytest.raises(SourceError, match=r"has no column 'refund_id', the business key; it has: 'text'"):
        flow.intake([row(2, text="hello")])
    assert flow.cases() == {}


def test_a_source_without_the_key_column_is_keyed_by_content_where_the_workflow_says_so(
    tmp_path: Path, sqlite_ledger: Ledger
):
    settings = WORKFLOW.replace("key: refund_id}", "key: refund_id, when_key_is_missing: digest}")
    flow = Workflow(tmp_path, sqlite_ledger, workflow=settings)

    assert flow.intake([row(2, text="a"), row(3, text="b")])["opened"] == 2
    assert flow.intake([row(9, text="a")], run="r2") == {"rows": 1, "seen_before": 1}


def test_columns_that_the_contract_does_not_know_are_left_out(flow: Workflow):
    flow.intake([row(2, refund_id="A", text="hello", colour="red")])

    assert flow.states() == {"A": "open"}
    assert [set(body["body"]) for body in flow.table(payload)] == [
        {"refund_id", "text", "amount", "tier", "account_id"}
    ]


def test_the_known_answer_is_kept_where_no_agent_sees_it(tmp_path: Path, sqlite_ledger: Ledger):
    settings = WORKFLOW.replace("key: refund_id}", "key: refund_id, label: {columns: [kind], field: kind}}")
    flow = Workflow(tmp_path, sqlite_ledger, workflow=settings)
    flow.intake([row(2, refund_id="A", text="hello", kind="refund")])

    assert [(one["field"], one["value"]) for one in flow.table(label)] == [("kind", "refund")]
    assert "kind" not in flow.table(payload)[0]["body"]


def test_a_case_that_is_taken_in_twice_is_not_begun_anew(flow: Workflow):
    flow.up_to("send", rows("sure=0.95"))
    before = flow.cases()

    assert flow.intake(rows("sure=0.95"), run="r2") == {"rows": 1, "seen_before": 1}
    assert flow.cases() == before


def test_a_contract_whose_fields_changed_since_it_was_published_takes_nothing_in(flow: Workflow, tmp_path: Path):
    changed = CONTRACTS.replace('tier: str = "standard"', 'tier: str = "standard"\n    colour: str = "red"')
    flow.include = Workflow(tmp_path, Ledger(flow.ledger.engine, "elsewhere"), contracts=changed).include

    with pytest.raises(
        ContractChanged, match=r"Refund@1 is not the one that was published.*Raise its contract_version"
    ):
        flow.intake(rows("a"))
    assert flow.cases() == {}


def test_a_resume_run_takes_up_what_waits_where_it_stands(flow: Workflow):
    flow.up_to("report", rows("sure=0.95", "not sure"))
    flow.report()

    assert take_up(flow.session("intake", run="r2", is_resume=True)) == {"taken_up": 1}

    second = flow.session("intake", run="r2").run.id
    assert {key for key, one in flow.cases().items() if one["run_id"] == second} == {"R2"}
    assert flow.gate(run="r2").undecided == 1


def test_without_a_published_version_no_run_begins(flow: Workflow):
    flow.ledger = Ledger(flow.ledger.engine, "production")

    with pytest.raises(ConfigurationError, match="no version of workflow 'refunds' is in force"):
        flow.intake(rows("a"))
    publish(flow.ledger, flow.version.bundle, author=Actor("person", "cleo"), reason="a test")
    with pytest.raises(NotDeployed, match="workflow 'refunds' was never deployed in environment 'production'"):
        flow.intake(rows("a"))
