from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from interlock.engine.routing.replay import replay_policy
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import decision
from workflows import POLICY, WORKFLOW, Workflow, rows, together

SURE = "sure=0.95"
SAMPLED = POLICY + "sampling: [{name: all, rate: 0.5}]\n"


def piloted(**pilot: object) -> str:
    said = ", ".join(f"{name}: {value}" for name, value in pilot.items())
    return WORKFLOW.replace("phase: production", f"phase: pilot\npilot: {{{said}}}")


def routed(flow: Workflow, count: int, run: str = "r1", **fields: object) -> None:
    flow.intake(rows(*[SURE] * count, **fields), run=run)
    flow.role("judge", run=run)
    flow.branch("route", run=run)


def test_what_is_drawn_goes_to_people_and_every_draw_is_recorded(tmp_path: Path, ledger: Ledger):
    flow = Workflow(tmp_path, ledger, policy=SAMPLED)
    routed(flow, 60)

    decisions = flow.table(decision)

    drawn = [row for row in decisions if row["route"] == "review"]
    assert 10 < len(drawn) < 50
    assert {row["sample_rate"] for row in decisions} == {0.5}
    assert {row["policy_route"] for row in drawn} == {"auto"}
    assert {row["policy_route"] for row in decisions if row["route"] == "auto"} == {None}
    assert {row["rule"] for row in drawn} == {"drawn for review (all, rate 0.5); by the rules: certain enough"}
    assert {flow.cases()[key]["route"] for key in flow.cases()} == {"auto", "review"}
    assert verify(ledger).problems == []


def test_what_goes_to_people_anyway_takes_part_in_no_draw(tmp_path: Path, sqlite_ledger: Ledger):
    flow = Workflow(tmp_path, sqlite_ledger, policy=SAMPLED)
    routed(flow, 10, tier="private")

    assert {(row["route"], row["sample_rate"], row["policy_route"]) for row in flow.table(decision)} == {
        ("review", None, None)
    }


def test_replaying_an_unchanged_policy_reproduces_what_was_drawn_and_what_the_pilot_held(
    tmp_path: Path, sqlite_ledger: Ledger
):
    flow = Workflow(tmp_path, sqlite_ledger, policy=SAMPLED, workflow=piloted(daily_cap=20))
    routed(flow, 60)

    with_itself = replay_policy(sqlite_ledger, flow.version.bundle, last=100)

    assert (with_itself.replayed, with_itself.flipped) == (60, 0)


def test_outside_the_scope_of_a_pilot_people_decide(tmp_path: Path, ledger: Ledger):
    flow = Workflow(tmp_path, ledger, workflow=piloted(scope='"case.amount < 100.0"'))
    flow.intake([*rows(SURE, amount=5.0), *[r for r in rows("x", SURE, amount=500.0) if r.number == 2]])
    flow.role("judge")
    flow.branch("route")

    assert {key: row["route"] for key, row in flow.cases().items()} == {"R1": "auto", "R2": "review"}
    assert flow.cases()["R2"]["reason"].startswith("outside the pilot's scope; by the rules: certain enough")


def test_a_pilots_cap_holds_over_runs_of_one_day_and_begins_anew_on_the_next(tmp_path: Path, ledger: Ledger):
    now = [datetime(2026, 11, 24, 10, tzinfo=UTC)]
    flow = Workflow(tmp_path, Ledger(ledger.engine, "test", lambda: now[0]), workflow=piloted(daily_cap=5))

    def automatic() -> int:
        return sum(row["route"] == "auto" for row in flow.cases().values())

    routed(flow, 3)
    assert automatic() == 3
    flow.intake([r for r in rows(*[SURE] * 9) if r.number > 3], run="r2")
    flow.role("judge", run="r2")
    flow.branch("route", run="r2")
    assert automatic() == 5
    held = [row["reason"] for row in flow.cases().values() if row["route"] == "review"]
    assert len(held) == 4
    assert all(why.startswith("the pilot's daily cap of 5 is reached") for why in held)

    now[0] = datetime(2026, 11, 25, 0, 30, tzinfo=UTC)
    flow.intake([r for r in rows(*[SURE] * 12) if r.number > 9], run="r3")
    flow.role("judge", run="r3")
    flow.branch("route", run="r3")
    assert automatic() == 8


def test_two_runs_at_the_same_instant_do_not_exceed_the_cap(tmp_path: Path, ledger: Ledger):
    flow = Workflow(tmp_path, ledger, workflow=piloted(daily_cap=7))
    for run, (low, high) in {"r1": (0, 20), "r2": (20, 40)}.items():
        flow.intake([r for r in rows(*[SURE] * 40) if low < r.number <= high], run=run)
        flow.role("judge", run=run)

    together(lambda: flow.branch("route", run="r1"), lambda: flow.branch("route", run="r2"))

    assert sum(row["route"] == "auto" for row in flow.cases().values()) == 7
    assert len(flow.cases()) == 40


@pytest.mark.parametrize("number", [1, 2])
def test_a_pilot_asks_for_more_votes(tmp_path: Path, sqlite_ledger: Ledger, number: int):
    flow = Workflow(tmp_path, sqlite_ledger, workflow=piloted(votes=number))
    flow.up_to("sign_off", rows("not sure"))
    flow.gate()

    from interlock.engine.approvals.review_action import see

    assert see(sqlite_ledger, "R1")["votes_needed"] == number
