"""Gates that nobody answers, cases that are late, and people who are told: once each, whatever runs twice or fails."""

from __future__ import annotations

import threading

import pytest
from interlock.domain.approvals.access import Identity
from interlock.engine.approvals.review_action import see, vote
from interlock.engine.upkeep.upkeep import keep_up
from interlock.errors import InputError, NotAuthorised
from interlock.ledger.audit.verify import verify
from interlock.ledger.incidents.notice import list_notices
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import authorisation, gate_request
from workflows import ACCESS, POLICY, WORKFLOW, Clock, Workflow, rows

GATE = "leads: {routes: [review], voters: leads, votes: 1, release_after: 8h, sees: [Verdict, Letter]}"
LADDER = GATE[:-1] + (
    ", ladder: {remind: 4h, reassign: {after: 8h, to: others}, escalate: {after: 12h, to: makers}, expire: 24h}}"
)
CONTACTS = "contacts: {lea: lea@example.com, leo: leo@example.com, otto: otto@example.com}\n"


@pytest.fixture(params=["sqlite", "postgresql"])
def flow(request, tmp_path, open_ledger):
    """Two cases that wait at a gate with a ladder, and a clock that can be moved."""
    assert GATE in POLICY
    return parked(tmp_path, open_ledger(request.param))


def parked(tmp_path, ledger, *, calendar: str = "", given=("one", "two"), **files: str) -> Workflow:
    clocked = Ledger(ledger.engine, "test", Clock())
    flow = Workflow(tmp_path, clocked, policy=POLICY.replace(GATE, LADDER), access=ACCESS + CONTACTS, **files)
    if calendar:
        flow.write("../company/calendar.yaml", calendar)
        flow.publish()
    flow.up_to("send_signed", rows(*given))
    assert set(flow.states().values()) == {"waiting"}
    return flow


def later(flow: Workflow, hours: float) -> dict[str, int]:
    flow.ledger.clock.forward(hours=hours)
    return keep_up(flow.ledger)


def told(flow: Workflow) -> list[tuple[str, tuple[str, ...]]]:
    return [(row.kind, tuple(row.recipients)) for row in reversed(list_notices(flow.ledger))]


def test_one_notice_tells_of_all_cases_of_a_step_and_a_step_is_taken_once(flow):
    assert later(flow, 3.9) == {}
    assert later(flow, 0.2) == {"remind": 2}
    assert later(flow, 0) == {}

    (notice,) = list_notices(flow.ledger)
    assert (notice.kind, notice.recipients, notice.state) == ("remind", ["lea", "leo"], "waiting")
    assert notice.subject == "refunds: 2 cases at gate leads"
    assert verify(flow.ledger).problems == []


def test_another_group_may_vote_once_it_was_reassigned_and_not_before(flow):
    otto = Identity("otto")
    with pytest.raises(NotAuthorised):
        vote(flow.ledger, "R1", person=otto, answer="approve", seen_digest=see(flow.ledger, "R1")["digest"])

    assert later(flow, 8.1) == {"reassign": 2}
    vote(flow.ledger, "R1", person=otto, answer="approve", seen_digest=see(flow.ledger, "R1")["digest"])

    assert flow.states() == {"R1": "authorised", "R2": "waiting"}
    assert told(flow) == [("reassign", ("otto",))]
    assert verify(flow.ledger).problems == []


def test_reassigning_fills_no_stage_of_the_companys_approval_matrix(tmp_path, open_ledger):
    matrix = "cases: [{name: all, when: 'true', stages: [{name: second, groups: [makers], votes: 1}]}]\n"
    ledger = Ledger(open_ledger("sqlite").engine, "test", Clock())
    flow = Workflow(tmp_path, ledger, policy=POLICY.replace(GATE, LADDER), access=ACCESS + CONTACTS)
    flow.write("../company/approvals.yaml", matrix)
    flow.publish()
    flow.up_to("send_signed", rows("one"))
    later(flow, 8.1)

    (request,) = flow.table(gate_request)

    assert {stage["name"]: stage["groups"] for stage in request["stages"]} == {
        "leads": ["leads", "others"],
        "second": ["makers"],
    }


def test_a_second_stage_of_the_gates_own_group_stays_with_that_group(tmp_path, open_ledger):
    matrix = "cases: [{name: all, when: 'true', stages: [{name: second, groups: [leads], votes: 1, order: 2}]}]\n"
    ledger = Ledger(open_ledger("sqlite").engine, "test", Clock())
    flow = Workflow(tmp_path, ledger, policy=POLICY.replace(GATE, LADDER), access=ACCESS + CONTACTS)
    flow.write("../company/approvals.yaml", matrix)
    flow.publish()
    flow.up_to("send_signed", rows("one"))
    later(flow, 8.1)

    (request,) = flow.table(gate_request)

    assert {stage["name"]: stage["groups"] for stage in request["stages"]} == {
        "leads": ["leads", "others"],
        "second": ["leads"],
    }


def test_the_higher_group_and_the_approvers_contacts_hear_of_it(flow):
    later(flow, 8.1)
    assert later(flow, 4) == {"escalate": 2}

    kind, recipients = told(flow)[-1]
    assert kind == "escalate"
    assert {"cleo", "admin", "otto"} < set(recipients)
    assert any("@" in recipient for recipient in recipients)


def test_expiry_is_a_dead_letter_and_never_a_yes(flow):
    digest = see(flow.ledger, "R1")["digest"]
    assert later(flow, 25)["expire"] == 2

    assert flow.states() == {"R1": "dead", "R2": "dead"}
    assert flow.table(authorisation) == []
    assert {row["state"] for row in flow.table(gate_request)} == {"expired"}
    assert flow.cases()["R1"]["reason"].startswith("gate 'leads' expired: nobody decided since")
    with pytest.raises(InputError, match="nothing to decide"):
        vote(flow.ledger, "R1", person=Identity("lea"), answer="approve", seen_digest=digest)
    flow.execute("send_signed")
    assert flow.sent() == []
    assert verify(flow.ledger).problems == []


def test_a_case_that_was_decided_climbs_no_further(flow):
    lea = Identity("lea")
    vote(flow.ledger, "R1", person=lea, answer="approve", seen_digest=see(flow.ledger, "R1")["digest"])

    assert later(flow, 25)["expire"] == 1
    assert flow.states() == {"R1": "authorised", "R2": "dead"}


def test_when_everybody_is_on_leave_those_above_hear_of_it_at_the_first_reminder(tmp_path, open_ledger):
    away = "away: {lea: [{from: 2026-03-01, to: 2026-03-09}], leo: [{from: 2026-03-02, to: 2026-03-02}]}\n"
    flow = parked(tmp_path, open_ledger("sqlite"), calendar=away)

    assert later(flow, 4.1) == {"remind": 2}

    (notice,) = list_notices(flow.ledger)
    assert {"cleo", "admin", "otto"} < set(notice.recipients)
    assert "everybody who may decide is on leave (lea, leo)" in notice.body


def test_two_upkeeps_at_once_take_each_step_once(flow):
    flow.ledger.clock.forward(hours=13)
    counts: list[dict[str, int]] = []
    threads = [threading.Thread(target=lambda: counts.append(keep_up(flow.ledger))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(counts) == 4
    assert sum(count.get("reassign", 0) for count in counts) == 2
    assert sum(count.get("escalate", 0) for count in counts) == 2
    assert sorted(kind for kind, _ in told(flow)) == ["escalate", "reassign"]
    assert verify(flow.ledger).problems == []


def test_an_owner_hears_of_late_cases_once(tmp_path, open_ledger):
    levels = "service_levels: [{name: all, within: 2h}]\ncase_owner: [{owner: others}]\n"
    flow = parked(tmp_path, open_ledger("sqlite"), workflow=WORKFLOW + levels)

    assert later(flow, 1) == {}
    assert later(flow, 1.1) == {"late": 2}
    assert later(flow, 0.1) == {}

    assert told(flow) == [("late", ("otto",))]
    assert verify(flow.ledger).problems == []


def test_what_is_still_late_a_working_day_later_is_told_to_those_above_once_a_day(tmp_path, open_ledger):
    levels = "service_levels: [{name: all, within: 30h}]\ncase_owner: [{owner: others}]\n"
    flow = parked(tmp_path, open_ledger("sqlite"), workflow=WORKFLOW + levels)
    assert later(flow, 31)["late"] == 2

    said = [later(flow, hours).get("overdue") for hours in (23, 2, 1, 24)]

    assert said == [None, 2, None, 2]
    overdue = [set(recipients) for kind, recipients in told(flow) if kind == "overdue"]
    assert overdue == [{"ann@example.com", "zoe@example.com"}] * 2
    assert verify(flow.ledger).problems == []


def test_the_workflows_own_owner_hears_of_late_cases_by_the_address_in_workflow_yaml(tmp_path, open_ledger):
    levels = "service_levels: [{name: all, within: 2h}]\n"
    flow = parked(tmp_path, open_ledger("sqlite"), workflow=WORKFLOW + levels)

    later(flow, 2.1)

    assert told(flow) == [("late", ("ann@example.com",))]


def test_what_is_sent_is_sent_once_to_addresses(flow):
    later(flow, 4.1)
    sent: list[tuple[str, list[str]]] = []

    for _ in range(2):
        keep_up(flow.ledger, send=lambda row, to: sent.append((row.kind, to)))

    assert sent == [("remind", ["lea@example.com", "leo@example.com"])]
    assert [row.state for row in list_notices(flow.ledger)] == ["sent"]


def test_a_notice_that_fails_is_kept_with_its_reason_and_tried_again_and_the_gate_stays_open(flow):
    def refuses(row, to):
        raise ConnectionRefusedError("no mail server for lea@example.com")

    later(flow, 4.1)
    assert keep_up(flow.ledger, send=refuses) == {"notices_failed": 1}
    (notice,) = list_notices(flow.ledger)
    assert (notice.state, notice.error) == ("failed", "ConnectionRefusedError: no mail server for [EMAIL]")
    assert set(flow.states().values()) == {"waiting"}

    assert keep_up(flow.ledger, send=lambda row, to: None) == {"notices_sent": 1}
    assert verify(flow.ledger).problems == []


def test_after_five_tries_a_notice_is_let_be(flow):
    def refuses(row, to):
        raise ConnectionRefusedError

    later(flow, 4.1)
    tries = [keep_up(flow.ledger, send=refuses).get("notices_failed", 0) for _ in range(7)]

    assert tries == [1, 1, 1, 1, 1, 0, 0]


def test_two_senders_at_once_send_it_once(flow):
    later(flow, 4.1)
    sent: list[str] = []
    threads = [
        threading.Thread(target=lambda: keep_up(flow.ledger, send=lambda row, to: sent.append(row.id)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(sent) == 1
