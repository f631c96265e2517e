"""``airflow interlock kpi``, ``cost``, ``quote`` and ``report`` as they are typed."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from interlock.engine.reports.value import tell_usd
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import usage
from terminal import ledger_behind
from workflows import POLICY, Workflow, rows

PRICES = "machine: {per_hour: 3.6}\nconnectors: {payout: {per_call: 0.01}}\n"


@pytest.fixture
def flow(tmp_path, sqlite_ledger: Ledger, monkeypatch) -> Workflow:
    """A workflow whose machine and connector have a price."""
    made = Workflow(tmp_path, sqlite_ledger)
    made.write("../company/prices.yaml", PRICES)
    made.publish()
    ledger_behind(monkeypatch, sqlite_ledger, tmp_path, include=made.include)
    return made


def test_kpis_say_in_json_what_they_say_in_words(terminal, flow):
    flow.up_to("sign_off", rows("a sure=0.95", "b sure=0.9", "c"))

    words, document = terminal("kpi refunds --period all").out, terminal("kpi refunds --period all --json").json

    [phase] = document["phases"]
    by_name = {row["name"]: row for row in phase["kpis"]}
    for name, row in by_name.items():
        [line] = [line for line in words.splitlines() if line.startswith(f"{name} ")]
        assert line.split(name)[1].strip().startswith(row["told"]), line
    assert words.splitlines()[0] == "refunds, production in test, all of the time until now"
    assert by_name["straight_through_rate"]["over"] == 3


def test_costs_say_in_json_what_they_say_in_words_and_what_the_ledger_holds(terminal, flow):
    flow.up_to("send", rows("a sure=0.95", "b"))

    words, document = terminal("cost refunds --period all").out, terminal("cost refunds --period all --json").json

    [phase] = document["phases"]
    total = Decimal(phase["usd"])
    assert total == sum(row["cost"] for row in flow.table(usage)) > 0
    assert total == sum(map(Decimal, phase["by_kind"].values())) == sum(map(Decimal, phase["by_fate"].values()))
    assert f"  {tell_usd(phase['usd'])} in total" in words.splitlines()
    for row in phase["by_agent"]:
        assert any(tell_usd(row["usd"]) in line and row["agent"] in line for line in words.splitlines())


def test_a_period_before_the_first_run_cost_nothing_and_says_so(terminal, flow):
    flow.up_to("send", rows("a sure=0.95"))

    printed = terminal("cost refunds --period 2020-01").out

    assert "nothing was recorded in it" in printed
    assert "prices.yaml" not in printed


@pytest.mark.parametrize("command", ["kpi", "cost"])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("refund", "Did you mean 'refunds'?"),
        ("refunds --period mnth", "'mnth' is no period; write day, month, all, 7d, 2026-11 or 2026-11-23"),
        ("refunds --period 2026-13", "is no period"),
        ("refunds --period 2026-02-30", "is no period"),
        ("refunds --period 0d", "is no period"),
        ("refunds --period 9000-01", "has not begun"),
    ],
)
def test_what_is_misspelt_ends_in_one_line(terminal, flow, command, line, message):
    flow.up_to("send", rows("a sure=0.95"))

    printed = terminal(f"{command} {line}")

    assert (printed.code, printed.out) == (1, "")
    assert message in printed.error


@pytest.mark.parametrize("command", ["kpi", "cost"])
def test_a_workflow_that_never_ran_is_told(terminal, flow, command):
    assert "there is no run of workflow 'refunds' in the ledger of 'test'" in terminal(f"{command} refunds").error


def test_a_quote_counts_the_rows_of_its_source(terminal, flow):
    source = flow.include.parent / "in.csv"
    source.write_text("refund_id,text\nR1,a\nR9,z\n", encoding="utf-8")
    flow.intake(rows("a"))

    words = terminal("quote refunds --source in.csv").out
    document = terminal("quote refunds --source in.csv --json").json

    assert words.startswith(f"refunds, production: 1 new case of 2 rows (1 already in the ledger) in {source}\n")
    assert (document["cases"], document["rows"], document["known"], document["from_runs"]) == (1, 2, 1, 0)
    history = terminal("quote refunds --history --json").json
    assert history["quotes"][0]["id"] == document["id"]
    assert terminal("quote refunds --history").out.count(str(source)) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("refunds", "give either --source for a quote, or --history"),
        ("refunds --source in.csv --history", "give either --source for a quote, or --history"),
        ("refunds --source gone.csv", "there is no file"),
        ("refunds --source half.csv", "ends in the middle of line 3"),
        ("refunds --source s3://bucket/in.csv", "s3:// cannot be opened"),
        ("refund --source in.csv", "Did you mean 'refunds'?"),
        ("refund --history", "there is no workflow 'refund' in the ledger of 'test'. Did you mean 'refunds'?"),
    ],
)
def test_what_cannot_be_quoted_ends_in_one_line_and_keeps_no_quote(terminal, flow, line, message):
    (flow.include.parent / "half.csv").write_text("refund_id,text\nR1,a\nR9", encoding="utf-8")

    printed = terminal(f"quote {line}")

    assert (printed.code, printed.out) == (1, "")
    assert message in printed.error
    assert "is not to be had here" not in printed.error
    assert terminal("quote refunds --history --json").json["quotes"] == []


def test_a_review_of_a_workflow_that_is_none_is_not_told_as_missing(terminal, flow):
    assert "Did you mean 'refunds'?" in terminal("report show refund").error
    assert "there is no review in workflow 'refunds'" in terminal("report show refunds").error


def test_budgets_say_in_json_what_they_say_in_words(terminal, flow):
    budgets = "{per: case, limit: 0.5}, {per: workflow, every: month, limit: 10, soft: 0.5}"
    flow.write("policy.yaml", f"{POLICY}budgets: [{budgets}]\n")
    flow.publish()

    words, document = terminal("budgets refunds").out, terminal("budgets --json").json

    assert [(row["budget"], row["limit"], row["left"]) for row in document["budgets"]] == [
        ("per case", "0.5", None),
        ("per workflow and month", "10", "10"),
    ]
    case, month = words.splitlines()[2:]
    assert case.split("  ")[0] == "per case"
    assert re.split(r" {2,}", month)[2:] == [
        "10.00 USD",
        "0.00 USD",
        "0.00 USD",
        "10.00 USD",
        "50%: a cheaper agent is asked",
        document["budgets"][1]["until"],
    ]


def test_without_a_budget_nothing_is_limited(terminal, flow):
    assert terminal("budgets refunds").out == "refunds has no budget: spending is not limited\n"
    assert "Did you mean 'refunds'?" in terminal("budgets refund").error
