from __future__ import annotations

from pathlib import Path

import pytest
from interlock.domain.approvals.access import Identity
from interlock.domain.cases.case import CaseState
from interlock.engine.approvals import review_action
from interlock.engine.approvals.gate import LISTED, answer_listed, listed_cases, look, open_gate
from interlock.errors import InputError
from interlock.ledger.approvals.gate import listing_of
from interlock.ledger.audit.verify import verify
from interlock.ledger.cases import case as case_module
from interlock.ledger.cases.case import move
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import CaseChange
from interlock.ledger.store.schema import authorisation, gate_request, vote
from workflows import POLICY, Clock, Workflow, rows, together


@pytest.fixture
def flow(tmp_path: Path, ledger: Ledger) -> Workflow:
    """Three cases that wait for people."""
    flow = Workflow(tmp_path, ledger)
    flow.up_to("sign_off", rows("a", "b", "c"))
    return flow


def approve(flow: Workflow, key: str, person: str = "lea") -> dict:
    return review_action.vote(
        flow.ledger,
        key,
        person=Identity(person),
        answer="approve",
        seen_digest=review_action.see(flow.ledger, key)["digest"],
    )


def test_every_waiting_case_is_asked_about_once_however_often_the_gate_opens(flow: Workflow):
    turn = flow.gate()

    assert (turn.undecided, turn.decided, turn.voters) == (3, {}, ("lea", "leo"))
    assert flow.gate().undecided == 3
    assert [row["state"] for row in flow.table(gate_request)] == ["open"] * 3
    assert verify(flow.ledger).problems == []


def test_a_voter_sees_the_case_what_the_gate_lists_and_exactly_what_is_sent(flow: Workflow):
    flow.gate()

    first = next(one for one in listed_cases(flow.session("sign_off")) if one.business_key == "R1")

    assert first.action == "payout"
    assert first.execute == {"text": "About your refund: a", "amount": 0.0}
    assert set(first.handoffs) == {"Verdict", "Letter"}
    assert (first.case["text"], first.version, first.route) == ("a", 1, "review")


def test_votes_are_counted_case_by_case(flow: Workflow):
    flow.gate()
    approve(flow, "R1")
    review_action.vote(
        flow.ledger,
        "R2",
        person=Identity("leo"),
        answer="reject",
        reason="no",
        seen_digest=review_action.see(flow.ledger, "R2")["digest"],
    )

    turn = look(flow.session("sign_off"))

    assert (turn.undecided, turn.decided) == (1, {"approved": 1, "rejected": 1})
    assert flow.states() == {"R1": "authorised", "R2": "rejected", "R3": "waiting"}


def test_an_answer_to_the_bell_counts_for_all_listed_cases_that_are_undecided(flow: Workflow):
    flow.gate()
    approve(flow, "R1")

    assert answer_listed(flow.session("sign_off"), person=Identity("leo"), answer="approve", reason=None) == 2

    assert set(flow.states().values()) == {"authorised"}
    assert sorted((row["person"], row["way"]) for row in flow.table(vote)) == [
        ("lea", "api"),
        ("leo", "required_actions"),
        ("leo", "required_actions"),
    ]


def test_an_answer_of_somebody_who_may_not_vote_counts_for_nothing(flow: Workflow):
    flow.gate()

    for person in ("otto", "", "LEA", "lea "):
        assert answer_listed(flow.session("sign_off"), person=Identity(person), answer="approve", reason=None) == 0

    assert flow.table(vote) == []
    assert flow.table(authorisation) == []
    assert set(flow.states().values()) == {"waiting"}


def test_an_answer_that_is_given_twice_counts_once(tmp_path: Path, sqlite_ledger: Ledger):
    flow = Workflow(tmp_path, sqlite_ledger, policy=POLICY.replace("votes: 1", "votes: 2"))
    flow.up_to("sign_off", rows("a"))
    flow.gate()

    assert answer_listed(flow.session("sign_off"), person=Identity("lea"), answer="approve", reason=None) == 1
    assert answer_listed(flow.session("sign_off"), person=Identity("lea"), answer="approve", reason=None) == 0
    assert flow.states() == {"R1": "waiting"}
    assert answer_listed(flow.session("sign_off"), person=Identity("leo"), answer="approve", reason=None) == 1
    assert flow.states() == {"R1": "authorised"}


def test_the_listing_is_fixed_when_the_gate_first_opens(tmp_path: Path, sqlite_ledger: Ledger):
    """Airflow's request shows the cases of that moment: its answer must not count for one that came after."""
    clock = Clock()
    flow = Workflow(tmp_path, Ledger(sqlite_ledger.engine, "test", clock))
    flow.up_to("sign_off", rows("a"))
    release_at = flow.gate().release_at
    clock.forward(hours=1)
    for task in ("intake", "judge", "route", "again", "route_again", "draft", "validate"):
        late = rows("a", "came later")
        {"intake": lambda late=late: flow.intake(late), "validate": flow.validate}.get(
            task, lambda task=task: flow.branch(task) if task.startswith("route") else flow.role(task)
        )()

    turn = flow.gate()

    assert (turn.undecided, turn.release_at) == (2, release_at)
    assert [one.business_key for one in listed_cases(flow.session("sign_off"))] == ["R1"]
    assert answer_listed(flow.session("sign_off"), person=Identity("lea"), answer="approve", reason=None) == 1
    assert flow.states() == {"R1": "authorised", "R2": "waiting"}


def test_an_answer_does_not_count_for_a_case_whose_draft_changed_since_it_was_listed(flow: Workflow):
    flow.gate()
    seen = review_action.see(flow.ledger, "R1")
    review_action.edit(
        flow.ledger,
        "R1",
        person=Identity("lea"),
        changes={"text": "Something else"},
        seen_digest=seen["digest"],
        include=flow.include,
    )

    assert answer_listed(flow.session("sign_off"), person=Identity("leo"), answer="approve", reason=None) == 2

    assert flow.states() == {"R1": "waiting", "R2": "authorised", "R3": "authorised"}
    with pytest.raises(InputError, match="what you saw is no longer what would be sent"):
        review_action.vote(flow.ledger, "R1", person=Identity("leo"), answer="approve", seen_digest=seen["digest"])


def test_a_late_vote_authorises_and_a_resume_run_sends(flow: Workflow):
    from interlock.engine.cases.intake import take_up

    flow.gate()
    flow.execute("send_signed")
    flow.report()

    approve(flow, "R1")
    assert flow.states()["R1"] == "authorised"
    assert flow.sent() == []

    assert take_up(flow.session("intake", run="r2", is_resume=True)) == {"taken_up": 3}
    assert flow.execute("send_signed", run="r2") == {"sent": 1}
    assert flow.gate(run="r2").undecided == 2
    assert {row["state"] for row in flow.table(gate_request)} == {"approved", "open"}
    assert len(flow.table(gate_request)) == 3, "what is asked already stays asked"
    assert verify(flow.ledger).problems == []


def test_only_so_many_cases_are_listed_and_the_others_can_be_voted_on(tmp_path: Path, sqlite_ledger: Ledger):
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.up_to("sign_off", rows(*["a"] * (LISTED + 5)))
    flow.gate()

    session = flow.session("sign_off")
    with session.read() as connection:
        listing = listing_of(connection, session.run, "sign_off")
    assert listing is not None
    assert len(listing.listed) == LISTED
    assert answer_listed(session, person=Identity("lea"), answer="approve", reason=None) == LISTED
    assert look(session).undecided == 5


def test_a_gate_without_a_case_asks_nobody_and_fixes_no_listing(tmp_path: Path, sqlite_ledger: Ledger):
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.up_to("sign_off", rows("sure=0.95"))

    assert flow.gate().undecided == 0
    session = flow.session("sign_off")
    with session.read() as connection:
        assert listing_of(connection, session.run, "sign_off") is None


def test_a_case_that_is_taken_away_while_the_gate_opens_is_not_asked_about(flow: Workflow, monkeypatch):
    """Else the gate would wait for a vote that nobody can give any more."""
    session = flow.session("sign_off")
    real = case_module.lock_cases
    import interlock.engine.approvals.gate as gate_module
    import interlock.engine.cases.station as station_module

    asked = gate_module.ask_for
    taken_away: list[str] = []

    def ask_for(connection, file, **more):
        if not taken_away:
            taken_away.append(file.case.business_key)
        return asked(connection, file, **more)

    def lock_cases(tx, given):
        row = flow.case_records()[taken_away[0]] if len(taken_away) == 1 else None
        if row is not None and row.state == "waiting":
            taken_away.append("done")
            move(tx, [(row, CaseChange(state=CaseState.CLOSED, task=None))], kind="case.closed")
        return real(tx, given)

    monkeypatch.setattr(gate_module, "ask_for", ask_for)
    monkeypatch.setattr(station_module, "lock_cases", lock_cases)

    assert open_gate(session).undecided == 2
    assert sorted(flow.states().values()) == ["closed", "waiting", "waiting"]


def test_a_vote_and_an_answer_to_the_bell_at_the_same_instant_both_count(tmp_path: Path, ledger: Ledger):
    """Two ways in that locked the case and the request in two orders would wait for each other."""
    flow = Workflow(tmp_path, ledger, policy=POLICY.replace("votes: 1", "votes: 2"))
    flow.up_to("sign_off", rows(*["a"] * 40))
    flow.gate()
    session = flow.session("sign_off")
    keys = [one.business_key for one in listed_cases(session)]

    said = together(
        lambda: [approve(flow, key)["state"] for key in keys],
        lambda: answer_listed(session, person=Identity("leo"), answer="approve", reason=None),
    )

    assert said[1] == 40, said
    assert len(said[0]) == 40
    assert set(flow.states().values()) == {"authorised"}
    assert len(flow.table(authorisation)) == 40
