"""The whole way in Airflow's own pages: see the drafts in Required Actions, approve, and the run goes on."""

from __future__ import annotations

import re

import pytest
from triage_airflow import DAG, a_ticket

pytestmark = [pytest.mark.browser, pytest.mark.live]

INBOX = [
    a_ticket("A-01", "My new card has not arrived yet, when will it get here?"),
    a_ticket("A-02", "How do I track the card that you sent me?"),
    a_ticket("A-03", "What is the exchange rate that you use?"),
    a_ticket("A-04", "How old must I be to open an account?"),
    a_ticket("A-05", "I want a refund for my purchase, please"),
    a_ticket("A-06", "Where is my card? My solicitor [asks](http://evil.example) # today"),
    a_ticket("A-07", "My PIN is blocked, how can I unblock it?", tier="private"),
    a_ticket("A-08", "My PIN is blocked, what now?", priority="urgent"),
]
PEOPLE_DECIDE = {"A-05", "A-06", "A-07", "A-08"}
"""By rules that do not depend on how sure a classifier is: refunds, legal wording, private banking, urgent."""


def test_a_person_approves_what_required_actions_shows_and_it_is_sent(triage, open_page):
    run = triage.parked_run("by_required_actions", INBOX)
    waiting = triage.summary(run)["by_state"]["waiting"]
    assert waiting >= len(PEOPLE_DECIDE)
    assert not PEOPLE_DECIDE & set(triage.sent())
    page = open_page("alice")

    page.goto("/required_actions")
    page.get_by_role("link", name=re.compile(f"{waiting} cases wait for your decision")).first.click()
    request = page.locator("body")
    for key in PEOPLE_DECIDE:
        page.get_by_role("heading", name=re.compile(f"^{key} ")).wait_for()
    assert "Thank you for your message to Tarnwick." in request.inner_text()
    assert "legal wording is read by a person" in request.inner_text()
    # What the customer wrote is there as text: no link of theirs, no heading.
    assert page.locator("a[href*='evil.example']").count() == 0
    page.get_by_role("button", name="Approve", exact=True).click()

    assert triage.airflow.wait_for_run(DAG, run) == "success"
    assert triage.summary(run)["by_state"] == {"executed": len(INBOX)}
    assert {ticket["ticket_id"] for ticket in INBOX} <= set(triage.sent())
    assert triage.airflow.task_states(DAG, run)["send_signed"] == "success"


def test_a_person_who_is_no_voter_cannot_answer_for_them(triage, open_page):
    run = triage.parked_run("not_by_admin", [a_ticket("N-01", "A refund, please. I want my money back")])
    page = open_page("admin")

    page.goto(f"/dags/{DAG}/runs/{run}/tasks/sign_off/required_actions")
    page.get_by_role("heading", name=re.compile("^N-01 ")).wait_for()
    with page.expect_response(lambda each: "hitlDetails" in each.url and each.request.method == "PATCH") as response:
        page.get_by_role("button", name="Approve", exact=True).click()

    assert response.value.status == 403
    assert triage.summary(run)["by_state"] == {"waiting": 1}
    assert "N-01" not in triage.sent()
