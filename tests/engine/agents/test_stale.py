"""How old an input may be, where people have seen the case or will see it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from interlock.domain.approvals.access import Identity
from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.engine.approvals import review_action
from interlock.engine.approvals.gate import open_gate
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.ledger import Ledger
from workflows import POLICY, WIRING, Clock, Workflow, rewired, rows

STOP = ("runbook:\n", "runbook:\n  StaleContext: {retries: 0, then: stop}\n")
FRESH = POLICY.replace("stop_when:", "fresh: {Refund: 1h, Verdict: 1h}\nstop_when:")


def desk(folder: Path, ledger: Ledger, *, policy: str = FRESH) -> Workflow:
    return Workflow(folder, replace(ledger, clock=Clock()), policy=policy)


def approved_before_the_draft(folder: Path, ledger: Ledger, *, policy: str = FRESH) -> Workflow:
    """People are asked before the draft, too, and approve a case of two hours. What is too old is stopped."""
    flow = desk(folder, ledger, policy=policy.replace(*STOP))
    look = WiredTask(task_id="look", kind="gate", downstream=("draft",), gate="leads")
    branches = {"auto": "draft", "review": "look"}
    tasks = rewired(
        route={"downstream": ("again", "look", "draft"), "branches": {**branches, "fallback": "again"}},
        route_again={"downstream": ("look", "draft"), "branches": branches},
    ).tasks
    flow.wiring = Wiring({**tasks, "look": look})
    flow.intake(rows("sure=0.95", tier="private"))
    flow.role("judge")
    flow.branch()
    open_gate(flow.session("look"))
    flow.ledger.clock.forward(hours=2)
    seen = review_action.see(flow.ledger, "R1")["digest"]
    review_action.vote(flow.ledger, "R1", person=Identity("lea"), answer="approve", seen_digest=seen)
    return flow


def test_what_people_approved_as_it_was_goes_on(tmp_path: Path, sqlite_ledger: Ledger):
    flow = approved_before_the_draft(tmp_path, sqlite_ledger)

    assert flow.role("draft") == {"done": 1}
    flow.validate()
    flow.execute("send_signed")
    assert flow.sent() == []  # what is sent takes an approval of its own
    assert verify(flow.ledger).problems == []


def test_an_approval_grows_old_too(tmp_path: Path, sqlite_ledger: Ledger):
    flow = approved_before_the_draft(tmp_path, sqlite_ledger)
    flow.ledger.clock.forward(hours=1.5)

    assert flow.role("draft") == {"failed": 1}
    assert flow.cases()["R1"]["reason"] == "StaleContext at draft: Refund is 1.5 h old, and the policy lets it be 1.0 h"


def test_an_approval_says_nothing_of_what_its_gate_does_not_show(tmp_path: Path, sqlite_ledger: Ledger):
    policy = FRESH.replace("sees: [Verdict, Letter]", "sees: [Letter]")
    flow = approved_before_the_draft(tmp_path, sqlite_ledger, policy=policy)

    assert flow.role("draft") == {"failed": 1}
    assert "Verdict is 2.0 h old" in flow.cases()["R1"]["reason"]


@pytest.fixture
def old(tmp_path: Path, sqlite_ledger: Ledger) -> Workflow:
    """One case on its way to people and one that is automatic, both too old for the draft."""
    flow = desk(tmp_path, sqlite_ledger)
    flow.intake([*rows("sure=0.95", tier="private"), *rows("", "sure=0.95")[1:]])
    flow.role("judge")
    flow.branch()
    flow.ledger.clock.forward(hours=2)
    return flow


def test_what_is_too_old_reaches_people_and_says_how_old_it_is(old: Workflow):
    counts = old.role("draft")

    assert counts == {"done": 2}
    old.validate()
    old.gate()
    old.execute()
    assert old.sent() == []
    assert old.states() == {"R1": "waiting", "R2": "waiting"}
    assert {row["route"] for row in old.cases().values()} == {"review"}
    for name in ("R1", "R2"):
        assert review_action.see(old.ledger, name)["why"].startswith("StaleContext at draft: Refund is 2.0 h old")
    assert verify(old.ledger).problems == []


def test_what_the_runbook_stops_is_stopped_on_every_route(tmp_path: Path, sqlite_ledger: Ledger):
    flow = desk(tmp_path, sqlite_ledger, policy=FRESH.replace(*STOP))
    flow.intake(rows("sure=0.95", tier="private"))
    flow.role("judge")
    flow.branch()
    flow.ledger.clock.forward(hours=2)

    assert flow.role("draft") == {"failed": 1}


def test_people_follow_only_where_no_branch_and_no_execution_comes_first():
    assert WIRING.people_follow("draft", "review")
    assert not WIRING.people_follow("draft", "auto")
    assert not WIRING.people_follow("judge", "review")
