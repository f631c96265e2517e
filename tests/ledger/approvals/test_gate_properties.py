"""No path leads to an execution with fewer than the needed votes of distinct people who may give them."""

from __future__ import annotations

import json
import multiprocessing
import random
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from interlock.domain.approvals.access import Identity
from interlock.engine.approvals import review_action
from interlock.errors import InterlockError, NotAuthorised
from interlock.ledger.approvals.delegation import delegate, end_delegation, list_delegations
from interlock.ledger.approvals.gate import Answer, cast_vote, stages_of
from interlock.ledger.audit.verify import verify
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import GateRequest
from interlock.ledger.store.schema import authorisation, case, gate_request, vote
from interlock.ledger.store.transaction import Actor
from sqlalchemy import select, update
from workflows import ACCESS, POLICY, Workflow, rows

PEOPLE = ("lea", "leo", "lou", "otto", "ute", "cleo")
MATRIX = """
cases:
  - {name: large, when: "amount > 100.0", stages: [{groups: [law], votes: 1, order: 2}]}
"""


def access(leads: list[str], law: list[str]) -> str:
    document = yaml.safe_load(ACCESS)
    document["groups"] |= {"leads": leads, "law": law}
    return yaml.safe_dump(document)


def desk(folder: Path, ledger: Ledger, source: random.Random, cases: int) -> Workflow:
    votes = source.randint(1, 2)
    policy = POLICY.replace("votes: 1", f"votes: {votes}") + 'exposure: {amount: "case.amount"}\n'
    flow = Workflow(folder, ledger, policy=policy, access=access(["lea", "leo", "lou"], ["lou", "ute"]))
    flow.write("../company/approvals.yaml", MATRIX)
    flow.publish()
    given = [row for n in range(1, cases + 1) for row in rows(*["?"] * n, amount=source.choice([5.0, 500.0]))[-1:]]
    flow.up_to("send", given)
    flow.gate()
    return flow


@pytest.mark.parametrize("seed", range(14))
def test_no_order_of_events_authorises_with_too_few_votes(tmp_path: Path, sqlite_ledger: Ledger, seed: int):
    """
    People vote, edit, leave and come back, let others stand in; a shadow of the rules, written apart, agrees each time.
    """
    source = random.Random(seed)
    flow = desk(tmp_path, sqlite_ledger, source, cases=6)
    groups = {"leads": ["lea", "leo", "lou"], "law": ["lou", "ute"]}
    keys = sorted(flow.cases())
    for _ in range(70):
        person, key = source.choice(PEOPLE), source.choice(keys)
        before = {row["id"]: row for row in flow.table(gate_request)}
        try:
            match source.choice(["vote"] * 6 + ["edit", "leave", "delegate", "end"]):
                case "vote":
                    answer = "reject" if source.random() < 0.1 else "approve"
                    seen = review_action.see(flow.ledger, key)["digest"]
                    if source.random() < 0.1:
                        seen = "0" * 64
                    review_action.vote(
                        flow.ledger, key, person=Identity(person), answer=answer, seen_digest=seen, reason="because"
                    )
                case "edit":
                    review_action.edit(
                        flow.ledger,
                        key,
                        person=Identity(person),
                        changes={"text": f"letter {source.random()}"},
                        seen_digest=review_action.see(flow.ledger, key)["digest"],
                        include=flow.include,
                    )
                case "leave":
                    group = source.choice(sorted(groups))
                    everybody = {"leads": ["lea", "leo", "lou"], "law": ["lou", "ute"]}[group]
                    groups[group] = source.sample(everybody, source.randint(len(everybody) - 1, len(everybody)))
                    flow.write("../company/access.yaml", access(groups["leads"], groups["law"]))
                    flow.publish()
                case "delegate":
                    until = flow.ledger.clock() + timedelta(hours=1)
                    taker = source.choice(PEOPLE)
                    delegate(flow.ledger, Identity(person), taker=taker, until=until, reason="away")
                case "end":
                    for row in list_delegations(flow.ledger)[:1]:
                        end_delegation(flow.ledger, Identity(row.giver), row.id)
        except InterlockError:
            pass
        for row in flow.table(gate_request):
            if row["state"] == "approved" and before[row["id"]]["state"] == "open":
                check_by_hand(flow, row, groups)
    assert verify(sqlite_ledger).problems == []
    granted = Counter(row["case_id"] for row in flow.table(authorisation) if row["withdrawn_at"] is None)
    approved = {row["case_id"] for row in flow.table(gate_request) if row["state"] == "approved"}
    assert set(granted) == approved


def check_by_hand(flow: Workflow, request: dict[str, Any], groups: dict[str, list[str]]) -> None:
    """Hold an approval against the rules, counted another way: rights, not people, are used up once each."""
    cast = [row for row in flow.table(vote) if row["request_id"] == request["id"] and row["answer"] == "approve"]
    standing = {(row.taker, row.giver) for row in list_delegations(flow.ledger)}
    barred = set(request["barred"])
    stages = stages_of(GateRequest.from_values(request))
    for stage in stages:
        by_right: set[str] = set()
        people: set[str] = set()
        for row in cast:
            giver = row["on_behalf_of"]
            right = giver or row["person"]
            is_valid = giver is None or (row["person"], giver) in standing
            is_free = not {row["person"], right} & barred
            if row["stage_order"] == stage.order and is_valid and is_free and right in groups[stage.groups[0]]:
                by_right.add(right)
                people.add(row["person"])
        assert len(people) >= stage.votes, (stage, cast)
        assert len(by_right) >= stage.votes, (stage, cast)
    assert len({row["person"] for row in cast}) >= sum(stage.votes for stage in stages)


def test_what_changed_after_the_vote_is_not_sent(tmp_path: Path, sqlite_ledger: Ledger):
    """Not by an edit (it asks again), and not by a hand in the database either."""
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.up_to("sign_off", rows("?", "?"))
    flow.gate()
    for key in ("R1", "R2"):
        seen = review_action.see(flow.ledger, key)["digest"]
        review_action.vote(flow.ledger, key, person=Identity("lea"), answer="approve", seen_digest=seen)
    forged = flow.cases()["R1"]["payload_digest"]
    with sqlite_ledger.engine.begin() as connection:
        connection.execute(
            update(authorisation)
            .where(authorisation.c.case_id == flow.cases()["R1"]["id"])
            .values(payload_digest=forged)
        )

    flow.execute("send_signed")

    assert flow.states() == {"R1": "dead", "R2": "executed"}
    assert len(flow.sent()) == 1


def test_a_gate_that_is_cleared_after_one_of_two_votes_keeps_the_vote(tmp_path: Path, ledger: Ledger):
    flow = Workflow(tmp_path, ledger, policy=POLICY.replace("votes: 1", "votes: 2"))
    flow.up_to("sign_off", rows("?"))
    flow.gate()
    seen = review_action.see(flow.ledger, "R1")["digest"]
    review_action.vote(flow.ledger, "R1", person=Identity("lea"), answer="approve", seen_digest=seen)

    flow.gate()

    assert [row["state"] for row in flow.table(gate_request)] == ["open"]
    assert review_action.see(flow.ledger, "R1")["digest"] == seen
    done = review_action.vote(flow.ledger, "R1", person=Identity("leo"), answer="approve", seen_digest=seen)
    assert done["state"] == "approved"


def test_the_vote_of_an_approver_who_left_does_not_count(tmp_path: Path, ledger: Ledger):
    flow = Workflow(tmp_path, ledger, policy=POLICY.replace("votes: 1", "votes: 2"), access=access(["lea", "leo"], []))
    flow.up_to("sign_off", rows("?"))
    flow.gate()
    seen = review_action.see(flow.ledger, "R1")["digest"]
    review_action.vote(flow.ledger, "R1", person=Identity("lea"), answer="approve", seen_digest=seen)
    flow.write("../company/access.yaml", access(["leo", "ute"], []))
    flow.publish()

    one = review_action.vote(flow.ledger, "R1", person=Identity("leo"), answer="approve", seen_digest=seen)

    assert (one["state"], one["lacking"]) == ("open", [{"stage": "leads", "votes": 1}])
    two = review_action.vote(flow.ledger, "R1", person=Identity("ute"), answer="approve", seen_digest=seen)
    assert two["state"] == "approved"


def test_while_the_clock_is_before_any_version_nobody_may_vote_and_nothing_changes(tmp_path: Path, ledger: Ledger):
    now = [ledger.clock()]
    flow = Workflow(tmp_path, Ledger(ledger.engine, "test", lambda: now[0]))
    flow.up_to("sign_off", rows("?"))
    flow.gate()
    seen = review_action.see(flow.ledger, "R1")["digest"]
    now[0] -= timedelta(days=3)

    with pytest.raises(NotAuthorised, match=r"'lea' may not vote at gate 'leads'; it asks now: leads \(nobody\)"):
        review_action.vote(flow.ledger, "R1", person=Identity("lea"), answer="approve", seen_digest=seen)
    assert flow.states() == {"R1": "waiting"}

    now[0] += timedelta(days=3)
    review_action.vote(flow.ledger, "R1", person=Identity("lea"), answer="approve", seen_digest=seen)
    assert flow.states() == {"R1": "authorised"}
    assert verify(ledger).problems == []


def test_a_thousand_cases_stand_behind_one_gate(tmp_path: Path, sqlite_ledger: Ledger):
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.up_to("sign_off", rows(*["?"] * 1000))

    assert flow.gate().undecided == 1000
    assert flow.gate().undecided == 1000
    assert len(flow.table(gate_request)) == 1000


RACES = 1000


def race(url: str, person: str, answer: str, start: Any, said: Any) -> None:
    """Vote on every request as one person, in a process of its own."""
    ledger = Ledger.open(url, "test")
    with ledger.read() as connection:
        requests = [dict(row._mapping) for row in connection.execute(select(gate_request).order_by(gate_request.c.id))]
    access = company_in_force(ledger).access
    start.wait()
    came = Counter()
    for request in requests:
        given = Answer(
            person=Identity(person),
            answer=answer,
            seen_digest=request["seen_digest"],
            way="api",
            reason="because",
        )
        try:
            with ledger.write(actor=Actor("person", person), chain=f"case:{request['case_id']}") as tx:
                came[cast_vote(tx, request["id"], given, access=access, next_task="send_signed").state.value] += 1
        except InterlockError as error:
            came[type(error).__name__] += 1
    said.put(json.dumps({person: came}))


def test_two_processes_that_race_a_thousand_times_leave_one_decision_each(tmp_path: Path, ledger: Ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("sign_off", rows(*["?"] * RACES))
    flow.gate()
    url = ledger.engine.url.render_as_string(hide_password=False)
    spawn = multiprocessing.get_context("spawn")
    start, said = spawn.Barrier(2), spawn.Queue()
    racers = [
        spawn.Process(target=race, args=(url, person, answer, start, said))
        for person, answer in (("lea", "approve"), ("leo", "reject"))
    ]
    for racer in racers:
        racer.start()
    told = dict(item for _ in racers for item in json.loads(said.get(timeout=300)).items())
    for racer in racers:
        racer.join(timeout=60)

    states = Counter(row["state"] for row in flow.table(gate_request))
    assert sum(states.values()) == RACES
    assert set(states) <= {"approved", "rejected"}
    assert states["approved"] == told["lea"].get("approved", 0) == len(flow.table(authorisation))
    assert states["rejected"] == told["leo"].get("rejected", 0)
    assert len(flow.table(vote)) == RACES
    assert Counter(row["state"] for row in flow.table(case)) == {
        {"approved": "authorised", "rejected": "rejected"}[state]: count for state, count in states.items()
    }
    assert verify(ledger).problems == []
