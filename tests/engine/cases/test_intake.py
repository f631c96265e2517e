from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from interlock.domain.data.source import SourceRow, parse_source
from interlock.engine.cases.intake import take_up
from interlock.engine.sources.source import read_rows
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


def test_numbers_of_an_api_are_keys(flow: Workflow):
    given = [1001, 0, 12.0, Decimal(77), 2.5, True]
    flow.intake([row(number, refund_id=key, text="a") for number, key in enumerate(given, 1)])

    states = flow.states()
    assert {key: state for key, state in states.items() if "~" not in key} == {
        **dict.fromkeys(("1001", "0", "12", "77"), "open"),
        **dict.fromkeys(("2.5", "True"), "quarantined"),
    }
    assert flow.intake([row(2, refund_id="1001", text="a")], run="r2") == {"rows": 1, "seen_before": 1}


def test_keys_that_look_the_same_are_one(flow: Workflow):
    keys = ["M\u00fcller", "Mu\u0308ller", "\ufeffM\u00fcl\u200bler ", "K\u00a01", "K 1", "K\u00ad 1"]
    counts = flow.intake([row(number, refund_id=key, text="a") for number, key in enumerate(keys, 1)])

    assert counts == {"rows": 6, "opened": 2, "seen_before": 4}
    assert flow.states() == {"M\u00fcller": "open", "K 1": "open"}
    assert {body["body"]["refund_id"] for body in flow.table(payload)} == {"M\u00fcller", "K 1"}


def test_a_row_without_the_key_among_others_is_a_bad_row(flow: Workflow):
    counts = flow.intake([row(1, text="first"), row(2, refund_id="A", text="a"), row(3)])

    assert counts == {"rows": 3, "opened": 1, "quarantined": 2}
    assert flow.states()["A"] == "open"


def test_what_a_file_leaves_out_is_counted_and_a_corrected_file_goes_on(flow: Workflow, tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("refund_id,text,amount,\nA,hello,12.5,\nB,there,x,\n,,,\nrefund_id,text,amount,\n")
    read = parse_source(str(path))

    assert flow.intake(read_rows(read, connection=str)) == {"rows": 2, "opened": 1, "quarantined": 1, "omitted": 2}
    path.write_text("refund_id,text,amount\nA,hello,12.5\nB,there,1.5\n")
    assert flow.intake(read_rows(read, connection=str), run="r2") == {"rows": 2, "opened": 1, "seen_before": 1}
    assert flow.states() == {"A": "open", "B": "open"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("number,name\n", "it has: 'number', 'name'. Add it"),
        ("refund_id;text,more\nA;b,c\n", r"Is ';' what separates its fields\? Then say so: \{\"delimiter\": \";\"\}"),
        ("number,name\n1,2,3\n4\n", "it has: 'number', 'name'. Add it"),
    ],
)
def test_an_empty_table_of_other_columns_is_no_empty_source(flow: Workflow, tmp_path: Path, content: str, said: str):
    (tmp_path / "a.csv").write_text(content)

    with pytest.raises(SourceError, match=f"has no column 'refund_id'.*{said}"):
        flow.intake(read_rows(parse_source(str(tmp_path / "a.csv")), connection=str))
    assert flow.cases() == {}


def test_numbers_are_read_as_the_source_declares_them_and_texts_are_not(flow: Workflow, tmp_path: Path):
    (tmp_path / "a.csv").write_text("refund_id;text;amount\n1.500;1,5;1.234,50\nB;x;1.5\n")
    source = {"path": str(tmp_path / "a.csv"), "delimiter": ";", "decimal": ",", "thousands": "."}
    flow.intake(read_rows(parse_source(source), connection=str))

    assert flow.states() == {"1.500": "open", "B": "quarantined"}
    assert (
        "amount: is no number as the source declares them (decimal ',', thousands '.')" in flow.cases()["B"]["reason"]
    )
    good = next(body["body"] for body in flow.table(payload) if body["body"]["refund_id"] == "1.500")
    assert (good["text"], good["amount"]) == ("1,5", 1234.5)
