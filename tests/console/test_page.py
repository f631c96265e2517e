"""What the pages say, and that a customer's text is only ever text."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from html import unescape

import pytest
from interlock.domain.agents.agent_protocol import Failure, Usage
from interlock.errors import AgentRefused, MalformedOutput
from workflows import ScriptedAgent, rows, verdict

pytestmark = pytest.mark.airflow

SCRIPT = '<script>alert("x")</script><img src=x onerror=alert(1)>" onmouseover="alert(2)'


@pytest.fixture
def parked(workflow):
    """Two refunds that wait, the first one a script, and one that a rule lets go."""
    workflow.up_to("send", rows(SCRIPT, "where is my money", "sure=0.95 please"))
    workflow.gate()
    return workflow


def case_id(workflow, key):
    return workflow.cases()[key]["id"]


def text_of(answer):
    """Return what a reader sees of a page, in one line."""
    assert answer.status_code == 200, answer.text
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


@pytest.mark.parametrize(
    "path", ["/", "/review/R1", "/case/R1", "/task?dag_id=refunds&run_id=r1", "/task?dag_id=%3Cscript%3E&run_id=x"]
)
def test_a_script_in_a_message_is_shown_and_never_part_of_the_page(parked, client, path):
    page = client("lea").get(path).text

    assert not re.search(r"<script(?! src=\"/interlock/static/)", page)
    assert "<img src=x" not in page
    assert not re.search(r"<[^>]*\son\w+=", page)


def test_the_message_is_shown_as_it_was_written(parked, client):
    assert SCRIPT in unescape(client("lea").get("/review/R1").text)


@pytest.mark.parametrize("path", ["/", "/review/R1", "/case/R1", "/task?dag_id=refunds&run_id=r1", "/runs", "/value"])
def test_no_page_has_anything_inline_that_its_policy_forbids(parked, client, path):
    page = client("lea").get(path).text

    assert not re.search(r"<style|\sstyle=|javascript:", page)
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == ["", "", ""]


def test_the_queue_shows_mine_first_and_the_digest_of_each(parked, client):
    lea = client("lea")
    page = lea.get("/").text

    assert f'data-digest="{lea.get("/api/reviews/R2").json()["digest"]}"' in page
    assert page.count('name="case"') == 2
    assert "Waiting for people 2" in text_of(lea.get("/"))


def test_who_is_no_voter_finds_nothing_to_tick(parked, client):
    for person, why in (("otto", "none of these waits for your vote"), ("vera", "may view cases, but not vote")):
        page = client(person).get("/")

        assert 'name="case"' not in page.text
        assert why in text_of(page)


def test_the_queue_is_narrowed_by_route_and_gate(parked, client):
    lea = client("lea")

    assert "R1" in text_of(lea.get("/review?gate=leads&route=review&workflow=refunds"))
    assert "No case is waiting for this filter" in text_of(lea.get("/review?gate=nowhere"))
    assert "No case is waiting for this filter" in text_of(lea.get("/review?route=auto"))


def test_the_buttons_of_a_review_are_off_with_the_reason(parked, client):
    for person, why in (
        ("otto", "'otto' may not vote at gate 'leads'; it asks now: leads (lea, leo)"),
        ("vera", "'vera' may not vote at gate 'leads'"),
    ):
        page = client(person).get("/review/R1")

        assert why in unescape(page.text)
        assert page.text.count('disabled aria-describedby="why-closed"') == 2
        assert "data-edit" not in page.text
    assert "disabled" not in client("lea").get("/review/R1").text


def test_the_history_tells_of_calls_that_failed_and_adds_up_what_all_cost(workflow, client):
    def say(one):
        def used(outcome, cost):
            return (Usage(model="m", seconds=0.1, cost=Decimal(cost), outcome=outcome),)

        if len(judge.asked) == 1:
            error = MalformedOutput("no JSON")
            return Failure(case_id=one.case_id, error=error, usage=used("MalformedOutput", "0.002"))
        return replace(verdict(one, confidence=0.2), usage=used("ok", "0.003"))

    judge = ScriptedAgent(say)
    workflow.intake(rows("sure=0.2", tier="private"))
    workflow.role("judge", agent=judge)

    page = text_of(client("lea").get("/case/R1"))
    assert "judge did not deliver: MalformedOutput" in page
    assert "cost 0.005000 USD" in page


def test_what_no_agent_wrote_is_written_on_the_page_and_approved_by_another(workflow, client):
    refusing = ScriptedAgent(lambda one: Failure(case_id=one.case_id, error=AgentRefused("no")))
    workflow.up_to("draft", rows("sure=0.95", tier="private"))
    workflow.role("draft", agent=refusing)
    workflow.validate()
    workflow.gate()
    lea, leo = client("lea"), client("leo")

    page = unescape(lea.get("/review/R1").text)
    assert "Nothing to send yet: open the case to write it" in lea.get("/").text
    assert "No agent delivered the Letter of this case" in page
    assert "AgentRefused at draft: no" in page
    assert page.count("disabled aria-describedby=") == 1  # to reject is possible
    assert 'name="text"' in page

    digest = lea.get("/api/reviews/R1").json()["digest"]
    body = {"changes": {"text": "We are sorry", "amount": 10}, "digest": digest}
    assert lea.post("/api/cases/R1/vote", json={"answer": "approve", "digest": digest}).status_code == 409
    assert lea.post("/api/cases/R1/edit", json=body).status_code == 200
    written = leo.get("/api/reviews/R1").json()
    assert written["execute"] == {"text": "We are sorry", "amount": 10.0}
    assert leo.post("/api/cases/R1/vote", json={"answer": "approve", "digest": written["digest"]}).status_code == 200


def test_a_review_leads_to_the_one_before_and_the_one_after(parked, client):
    lea = client("lea")
    first, second = re.findall(r'name="case" value="(\w+)"', lea.get("/").text)

    assert f'rel="next" href="/interlock/review/{second}"' in lea.get(f"/review/{first}").text
    assert f'rel="prev" href="/interlock/review/{first}"' in lea.get(f"/review/{second}").text
    assert 'rel="next"' not in lea.get(f"/review/{second}").text


def test_a_case_that_is_decided_leads_from_its_review_to_its_history(parked, client):
    lea = client("lea")
    digest = lea.get("/api/reviews/R2").json()["digest"]
    lea.post("/api/cases/R2/vote", json={"answer": "reject", "digest": digest, "reason": "not <b>ours</b>"})

    response = lea.get("/review/R2")

    assert (response.status_code, response.headers["location"]) == (303, f"/interlock/case/{case_id(parked, 'R2')}")
    history = text_of(lea.get("/case/R2"))
    assert "lea rejected" in history
    assert "not <b>ours</b>" in history
    assert history.index("taken in") < history.index("routed to review") < history.index("lea rejected")


def test_the_history_of_a_case_tells_confidence_rule_and_effect(parked, client):
    parked.execute("send")

    history = text_of(client("vera").get("/case/R3"))

    assert "judge delivered Verdict@1, confidence 95%" in history
    assert "rule: certain enough" in history
    assert "confidence 95%, threshold 80%" in history
    assert "sent by payout" in history


def test_a_task_shows_the_cases_of_its_run_and_asks_only_about_what_is_unsent(parked, client):
    page = client("otto").get("/task?dag_id=refunds&run_id=r1&task_id=send&map_index={MAP_INDEX}")

    assert "3 cases" in text_of(page)
    assert re.findall(r"/cases/(\w+)/review-request", page.text) == [case_id(parked, "R3")]
    parked.execute("send")
    assert "review-request" not in client("otto").get("/task?dag_id=refunds&run_id=r1").text


def test_a_viewer_is_offered_no_review_request(parked, client):
    assert "review-request" not in client("vera").get("/task?dag_id=refunds&run_id=r1").text


def test_the_cases_of_a_run_are_filtered_and_counted(parked, client):
    lea = client("lea")
    where = "/task?dag_id=refunds&run_id=r1&"

    assert "2 cases" in text_of(lea.get(where + "state=waiting"))
    assert "1 case " in text_of(lea.get(where + "route=auto"))
    assert "1 case " in text_of(lea.get(where + "q=r2"))
    assert "0 cases" in text_of(lea.get(where + "q=%25"))


def test_a_run_with_more_cases_than_are_shown_says_how_many(workflow, client):
    workflow.intake(rows(*(f"refund {number}" for number in range(230))))

    page = client("lea").get("/task?dag_id=refunds&run_id=r1")

    assert "Showing the first 200 of 230 cases" in text_of(page)
    assert page.text.count("<tr>") == 201


@pytest.mark.parametrize(
    "query", ["", "?dag_id=refunds&run_id=never", "?dag_id=other&run_id={RUN_ID}&task_id=x&map_index={MAP_INDEX}"]
)
def test_a_run_that_the_ledger_does_not_know_is_a_friendly_page(workflow, client, query):
    assert "No cases here" in text_of(client("vera").get(f"/task{query}"))


def test_the_runs_are_listed_with_their_figures(parked, client):
    page = text_of(client("vera").get("/runs"))

    assert "r1" in page
    assert "3 cases 1 by rule 33.3% 2 waiting 1 authorised" in page


def test_without_a_run_or_a_case_the_pages_say_so(workflow, client):
    assert "No run yet" in text_of(client("vera").get("/runs"))
    assert "No case is waiting." in text_of(client("vera").get("/"))


def test_an_unknown_case_is_a_page_that_names_the_nearest(parked, client):
    response = client("lea").get("/case/RR1", headers={"Accept": "text/html"})

    assert response.status_code == 404
    assert "Did you mean 'R1'?" in unescape(response.text)


def test_every_link_respects_the_path_that_airflow_is_served_below(parked, client, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://example.com/airflow")
    lea = client("lea")

    for path in ("/", "/review/R1", "/case/R3", "/task?dag_id=refunds&run_id=r1", "/runs", "/task"):
        addresses = re.findall(
            r'(?:href|src|action|data-post|data-edit|data-bulk|data-then)="(/[^"]*)"', lea.get(path).text
        )
        assert len(addresses) > 5
        assert [address for address in addresses if not address.startswith("/airflow/")] == []
    login = client(None).get("/", headers={"Accept": "text/html"}).text
    assert 'href="/airflow/auth/login"' in login


def test_a_case_that_is_dead_can_be_corrected_on_its_page(workflow, client):
    workflow.up_to("draft", rows("too much", amount=20_000.0))

    assert "Correct and resubmit" in text_of(client("otto").get("/case/R1"))
    assert "Correct and resubmit" not in text_of(client("vera").get("/case/R1"))
