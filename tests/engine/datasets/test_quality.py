"""A data check on cases: what fails stops, is put aside, or leaves the run less autonomy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.engine.cases.intake import take_up
from interlock.engine.datasets.quality import check_cases
from interlock.engine.routing.replay import replay_policy
from interlock.errors import Stopped
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.schema import decision, quality_report
from workflows import POLICY, WIRING, Workflow, rows

SUITE = """
suite: refunds
expectations:
  - {{name: accounts are known, expect: column_values_to_not_be_null, column: account_id, severity: {severity}{more}}}
"""

CHECKED = Wiring(
    {
        **WIRING.tasks,
        "intake": replace(WIRING.tasks["intake"], downstream=("check",)),
        "check": WiredTask(task_id="check", kind="quality", downstream=("judge",)),
    }
)
DOUBTFUL = POLICY.replace(
    "rules:\n", "rules:\n  - {name: the input is doubtful, when: size(data_warnings) > 0, route: review}\n"
)


def a_flow(folder: Path, ledger: Any, *, severity: str, more: str = "", policy: str = POLICY) -> Workflow:
    flow = Workflow(folder, ledger, policy=policy)
    flow.wiring = CHECKED
    flow.write("expectations/refunds.yaml", SUITE.format(severity=severity, more=more))
    flow.publish()
    return flow


def routed(flow: Workflow, *texts: str, **fields: Any) -> None:
    flow.intake(rows(*texts, **fields))
    check_cases(flow.session("check"), "refunds")
    flow.role("judge")
    flow.branch()


def test_what_is_critical_stops_the_run_and_leaves_the_cases(tmp_path: Path, sqlite_ledger: Any):
    flow = a_flow(tmp_path, sqlite_ledger, severity="critical")
    flow.intake(rows("sure=0.95"))

    with pytest.raises(Stopped, match="accounts are known: 1 of 1 rows fail"):
        check_cases(flow.session("check"), "refunds")

    assert flow.cases()["R1"]["task"] == "check"
    assert [row["passed"] for row in flow.table(quality_report)] == [False]


def test_rows_that_fail_go_to_quarantine_with_what_they_failed(tmp_path: Path, sqlite_ledger: Any):
    flow = a_flow(tmp_path, sqlite_ledger, severity="critical", more=", quarantine: true")
    flow.intake([*rows("a"), replace(rows("x", "b", account_id="A")[1])])

    assert check_cases(flow.session("check"), "refunds") == {"passed": 1, "quarantined": 1}
    assert flow.cases()["R1"]["reason"] == "data check: accounts are known"


def test_a_warning_caps_how_sure_a_case_can_be(tmp_path: Path, sqlite_ledger: Any):
    flow = a_flow(tmp_path, sqlite_ledger, severity="warning", more=", caps_confidence: 0.6")
    routed(flow, "sure=0.95", "sure=0.3")

    made = {row["confidence"]: row["route"] for row in flow.table(decision)}
    assert made == {0.6: "fallback", 0.3: "fallback"}, "0.95 alone would have been automatic"
    assert verify(sqlite_ledger).problems == []


def test_without_a_failed_warning_nothing_is_capped(tmp_path: Path, sqlite_ledger: Any):
    flow = a_flow(tmp_path, sqlite_ledger, severity="warning", more=", caps_confidence: 0.6")
    routed(flow, "sure=0.95", account_id="A1")

    assert [(row["confidence"], row["route"]) for row in flow.table(decision)] == [(0.95, "auto")]


def test_a_rule_reads_the_warnings_and_a_replay_decides_the_same(tmp_path: Path, sqlite_ledger: Any):
    flow = a_flow(tmp_path, sqlite_ledger, severity="warning", policy=DOUBTFUL)
    routed(flow, "sure=0.95")

    assert [(row["rule"], row["route"]) for row in flow.table(decision)] == [("the input is doubtful", "review")]
    assert replay_policy(sqlite_ledger, flow.version.bundle).flips == []


def test_a_proposal_that_reads_warnings_is_replayed_on_decisions_that_did_not(tmp_path: Path, sqlite_ledger: Any):
    flow = a_flow(tmp_path, sqlite_ledger, severity="warning")
    routed(flow, "sure=0.95")
    flow.write("policy.yaml", DOUBTFUL)

    [flip] = replay_policy(sqlite_ledger, flow.publish().bundle).flips

    assert (flip.before, flip.after) == ("auto", "review")


def test_a_warning_goes_with_the_case_into_a_later_run(tmp_path: Path, sqlite_ledger: Any):
    flow = a_flow(tmp_path, sqlite_ledger, severity="warning", more=", caps_confidence: 0.6")
    flow.intake(rows("sure=0.95"))
    check_cases(flow.session("check"), "refunds")
    session = flow.session("intake", run="later", is_resume=True)
    session.finished_runs = lambda runs: [ledger_id for ledger_id, *_ in runs]
    assert sum(take_up(session).values()) == 1
    flow.role("judge", run="later")
    flow.branch(run="later")

    assert [row["confidence"] for row in flow.table(decision)] == [0.6]
