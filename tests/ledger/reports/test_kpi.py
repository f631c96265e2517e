"""What the ledger counts for the figures, on SQLite and PostgreSQL: runs, votes, outcomes, repeats, phases, clocks."""

from __future__ import annotations

from decimal import Decimal

import pytest
from interlock.domain.agents.agent_protocol import Failure, Usage
from interlock.domain.approvals.access import Identity
from interlock.domain.data.source import SourceRow
from interlock.engine.approvals.review_action import see, vote
from interlock.engine.cases.outcome import record
from interlock.engine.reports.value import cost_report, kpi_report
from interlock.errors import InputError, MalformedOutput, UnknownName
from interlock.ledger.incidents.incident import recover, report_incident
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import usage
from interlock.ledger.store.transaction import Actor
from workflows import NAME, WORKFLOW, Clock, ScriptedAgent, Workflow, rows, verdict

FILES = (
    WORKFLOW
    + """
outcomes: {completed: [paid], undone: [disputed], dispute_window: 14d}
service_levels: [{name: all, within: 2h}]
intake_: 0
""".replace("intake_: 0\n", "")
    + "kpis: {straight_through_rate: {baseline: 0.25, at_least: 0.6}, cost_per_outcome: {baseline: 3, unit: USD}}\n"
)
PRICES = """
machine: {per_hour: 0.36}
people: {per_hour: 60, minutes_per_vote: 2}
connectors: {payout: {per_call: 0.01}}
"""
LABEL = "intake: {contract: Refund, key: refund_id, label: {columns: [kind], field: kind}}"
LEA = Identity("lea")


@pytest.fixture
def flow(tmp_path, ledger) -> Workflow:
    """A workflow with prices, outcomes and labels, on a clock that stands."""
    flow = Workflow(tmp_path, Ledger(ledger.engine, "test", Clock()), workflow=labelled(FILES))
    flow.write("../company/prices.yaml", PRICES)
    flow.publish()
    return flow


def labelled(text: str) -> str:
    assert "intake: {contract: Refund, key: refund_id}" in text
    return text.replace("intake: {contract: Refund, key: refund_id}", LABEL)


def measured(flow: Workflow, period: str = "all", phase: str = "production") -> dict[str, dict]:
    (found,) = [p for p in kpi_report(flow.ledger, NAME, period)["phases"] if p["phase"] == phase]
    return {row["name"]: row for row in found["kpis"]}


def values(flow: Workflow, *names: str, **where) -> list[str | None]:
    found = measured(flow, **where)
    return [None if found[n]["value"] is None else format(Decimal(found[n]["value"]).normalize(), "f") for n in names]


def approve(flow: Workflow, key: str, answer: str = "approve") -> None:
    vote(flow.ledger, key, person=LEA, answer=answer, seen_digest=see(flow.ledger, key)["digest"], reason="a reason")


def tell_outcomes(flow: Workflow, *told: tuple[str, str, str]) -> None:
    given = [
        SourceRow(number=n, values=dict(zip(("key", "outcome", "happened_at"), one, strict=True)))
        for n, one in enumerate(told, 2)
    ]
    found = record(flow.ledger, NAME, given, source="paid.csv", actor=Actor("task", "t"))
    assert found["recorded"] == len(told), found


def test_a_run_is_counted_as_it_went(flow):
    """Two go by themselves, one of them wrong; one is signed off after an hour, one rejected after three, one stays."""
    flow.up_to(
        "send",
        [
            *rows("sure=0.95", "sure=0.99", kind="refund"),
            *[
                SourceRow(number=n, values={"refund_id": f"R{n}", "text": text, "kind": "other"})
                for n, text in ((3, "sure=0.9"), (4, "not sure"), (5, "not sure"), (6, "not sure"))
            ],
        ],
    )
    flow.ledger.clock.forward(minutes=30)
    flow.execute("send")
    flow.gate()
    flow.ledger.clock.forward(hours=1)
    approve(flow, "R4")
    flow.ledger.clock.forward(hours=2)
    approve(flow, "R5", "reject")
    flow.execute("send_signed")

    assert values(flow, "straight_through_rate", "completion_rate", "fallback_rate") == [
        "0.5",
        str(Decimal(5) / 6),
        "0.5",
    ]
    assert values(flow, "cycle_time", "error_rate", "policy_violations") == ["0.5", str(Decimal(1) / 3), "0"]
    assert values(flow, "approval_latency", "reviews_on_time") == ["2", str(Decimal(1) / 3)]
    (phase,) = kpi_report(flow.ledger, NAME, "all")["phases"]
    assert phase["approval_latency_by_stage"] == [{"gate": "leads", "stage": 1, "median_hours": 2.0, "decided": 2}]
    assert measured(flow)["straight_through_rate"]["breach"] == "below 0.6"
    assert measured(flow)["straight_through_rate"]["change"] == "0.25"


def test_before_anything_was_taken_in_there_is_no_data_and_not_zero(flow):
    flow.session("intake").finish()

    found = measured(flow)
    assert {row["value"] for row in found.values()} == {None}
    assert {row["breach"] for row in found.values()} == {None}
    assert {row["told"] for row in found.values()} == {"no data"}


def test_cases_in_work_are_in_no_rate(flow):
    """A threshold would be broken by every run that has just begun."""
    flow.up_to("draft", rows("sure=0.95", "sure=0.9"))

    assert values(flow, "straight_through_rate", "completion_rate", "conversion_rate") == [None, None, None]


def test_a_workflow_that_never_ran_is_told_with_the_known_ones(flow):
    with pytest.raises(UnknownName, match=r"no run of workflow 'refunds' in the ledger of 'test'"):
        kpi_report(flow.ledger, NAME)
    flow.intake(rows("one"))
    with pytest.raises(InputError, match="write day, month"):
        kpi_report(flow.ledger, NAME, "fortnight")


def test_what_happened_counts_in_its_period_and_rates_over_cases_in_theirs(flow):
    flow.up_to("send", rows("sure=0.95"))
    flow.ledger.clock.forward(days=40)
    flow.execute("send")

    names = ("straight_through_rate", "cycle_time", "cost_to_serve")
    assert values(flow, *names, period="2026-03") == ["1", None, None]
    assert values(flow, *names, period="2026-04")[:2] == [None, "960"]
    assert measured(flow, "2026-03-02")["throughput"]["value"] is not None
    assert measured(flow, "2026-03-03")["throughput"]["value"] is None


def test_outcomes_complete_convert_and_are_undone(flow):
    flow.up_to("report", rows("sure=0.95", "sure=0.99", "sure=0.9", "sure=0.91"))
    tell_outcomes(flow, ("R1", "paid", "2026-03-02"), ("R2", "paid", "2026-03-02"), ("R3", "paid", "2026-03-02"))
    names = ("conversion_rate", "undone_rate")
    assert values(flow, *names) == ["0.75", "0"]
    assert measured(flow)["cost_per_outcome"]["note"] == "3 of the outcomes can still be undone"

    flow.ledger.clock.forward(days=20)
    tell_outcomes(flow, ("R1", "disputed", "2026-03-10"), ("R2", "disputed", "2026-03-20"))

    assert values(flow, *names) == ["0.5", str(Decimal(1) / 3)], "R2 was disputed too late"
    assert measured(flow)["cost_per_outcome"]["note"] == ""
    tell_outcomes(flow, ("R2", "disputed", "2026-03-09"), ("R3", "disputed", "2026-03-09"))
    assert values(flow, *names, "cost_per_outcome") == ["0", "1", None], "all undone: the cost of one is not known"


def test_a_case_with_two_outcomes_is_one_outcome_in_the_period_of_its_first(flow):
    flow.up_to("report", rows("sure=0.95"))
    flow.ledger.clock.forward(days=60)
    tell_outcomes(flow, ("R1", "paid", "2026-03-02"), ("R1", "paid", "2026-04-02"))

    got = [cost_report(flow.ledger, NAME, period)["phases"][0]["outcomes"] for period in ("2026-03", "2026-04", "all")]
    assert [one["completed"] for one in got] == [1, 0, 1]
    assert [one["provisional"] for one in got] == [0, 0, 0], "one of its outcomes is final"


def test_repeats_are_counted_by_case_and_by_call(flow):
    tried: set[str] = set()
    flow.intake(rows("one", "two"))
    second = flow.cases()["R2"]["id"]
    took = Usage(model="m", seconds=0.1, outcome="ok", connection="llm")

    def say(work):
        if work.case_id == second and work.case_id not in tried:
            tried.add(work.case_id)
            return Failure(case_id=work.case_id, error=MalformedOutput("no"), usage=(took,))
        answer = verdict(work)
        return type(answer)(case_id=answer.case_id, payload=answer.payload, confidence=0.9, usage=(took,))

    flow.role("judge", agent=ScriptedAgent(say))
    assert values(flow, "retry_rate", "retry_load") == [None, str(Decimal(1) / 3)], "the cases are in work"
    for step in (flow.branch, lambda: flow.role("draft"), flow.validate, flow.execute):
        step()

    assert values(flow, "retry_rate", "retry_load") == ["0.5", str(Decimal(1) / 7)]
    assert measured(flow)["cost_to_serve"]["note"] == "3 calls without a price are not in it"


def test_time_to_recovery_is_the_mean_over_incidents_that_are_over(flow):
    flow.session("intake").finish()
    settings = flow.version.bundle.settings
    for hours in (1, 3):
        with flow.ledger.write(actor=Actor("task", "t"), chain="i") as tx:
            told = {"kind": "AgentUnavailable", "subject": f"judge{hours}", "reason": "down"}
            report_incident(tx, environment="test", settings=settings, **told)
        flow.ledger.clock.forward(hours=hours)
        with flow.ledger.write(actor=Actor("task", "t"), chain="i") as tx:
            recover(tx, environment="test", workflow=NAME, subject=f"judge{hours}")
    with flow.ledger.write(actor=Actor("task", "t"), chain="i") as tx:
        told = {"kind": "AgentUnavailable", "subject": "x", "reason": "down"}
        report_incident(tx, environment="test", settings=settings, **told)

    assert values(flow, "mean_time_to_recovery") == ["2"]


def test_what_went_against_the_policy_is_counted(flow):
    flow.up_to("report", rows("sure=0.9 we promise it", "sure=0.9 card 1234567812345678", "sure=0.9"))

    assert values(flow, "policy_violations") == ["2"]


def test_pilot_and_production_are_told_apart(flow):
    flow.up_to("report", rows("sure=0.95"))
    flow.write("workflow.yaml", labelled(FILES).replace("phase: production", "phase: pilot"))
    flow.publish()
    given = [SourceRow(number=n, values={"refund_id": f"P{n}", "text": "not sure"}) for n in (1, 2)]
    flow.up_to("report", given, run="r2")

    assert values(flow, "straight_through_rate", phase="production") == ["1"]
    assert values(flow, "straight_through_rate", phase="pilot") == ["0"]
    costs = {phase["phase"]: Decimal(phase["usd"]) for phase in cost_report(flow.ledger, NAME, "all")["phases"]}
    assert list(costs) == ["pilot", "production"]
    assert sum(costs.values()) == sum(row["cost"] for row in flow.table(usage))


def test_another_environment_and_another_workflow_are_not_counted(flow):
    flow.up_to("report", rows("sure=0.95"))
    elsewhere = Ledger(flow.ledger.engine, "staging", flow.ledger.clock)

    with pytest.raises(UnknownName):
        cost_report(elsewhere, NAME)
