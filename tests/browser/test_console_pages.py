"""The console in Airflow's frame: decide case by case, pull one back, and the last vote ends the gate by itself."""

from __future__ import annotations

import re

import pytest
from triage_airflow import DAG, a_ticket

pytestmark = [pytest.mark.browser, pytest.mark.live]

SCRIPT = "<script>document.title='taken over'</script><b>I want a refund</b> for my purchase"
INBOX = [
    a_ticket("B-01", "I want a refund for my purchase, please"),
    a_ticket("B-02", "Can I have a refund for what I bought?"),
    a_ticket("B-03", "My PIN is blocked, how can I unblock it?", tier="private"),
    a_ticket("B-04", SCRIPT),
    a_ticket("B-05", "My PIN is blocked, what now?", priority="urgent"),
]
"""All of them wait for people, whatever a classifier says."""


@pytest.fixture(scope="module")
def run(triage):
    return triage.parked_run("by_console", INBOX)


def console(page, address="/plugin/interlock"):
    """Open Airflow's own page that frames the console, and return the frame."""
    page.goto(address)
    return page.frame_locator("iframe")


def is_error_of_ours(message):
    """Airflow's own pages look for other plugins' addresses and complain that they are not there."""
    return message.type == "error" and "/interlock/" in message.location["url"]


def state_of(triage, key):
    found = triage.airflow.client.call("GET", f"/interlock/api/cases/{key}")["case"]
    return found["state"], found["reason"]


def test_the_way_through_the_console(triage, run, open_page):
    page = open_page("alice")
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if is_error_of_ours(message) else None)

    # The queue: everything waits, and a message that is a script is a text.
    frame = console(page)
    frame.get_by_role("heading", name="Waiting for people").wait_for()
    assert frame.locator("tbody tr").count() == len(INBOX)
    assert SCRIPT in frame.locator("tr", has_text="B-04").inner_text()
    assert frame.locator("tbody script, tbody b").count() == 0

    # One is approved on its page, and the next one opens.
    frame.get_by_role("link", name="B-01").click()
    frame.get_by_role("heading", name=re.compile("^B-01")).wait_for()
    frame.get_by_role("button", name="Approve").click()
    frame.get_by_text("B-01 is approved").wait_for()
    assert state_of(triage, "B-01")[0] == "authorised"

    # One is rejected, and only with a reason.
    frame = console(page)
    frame.get_by_role("link", name="B-02").click()
    frame.get_by_role("heading", name=re.compile("^B-02")).wait_for()
    frame.get_by_role("button", name="Reject …").click()
    dialog = frame.get_by_role("dialog")
    dialog.get_by_role("button", name="Reject").click()
    assert state_of(triage, "B-02")[0] == "waiting"
    dialog.get_by_label("Reason").fill("the shop must do that")
    dialog.get_by_role("button", name="Reject").click()
    frame.get_by_text("B-02 is rejected").wait_for()
    assert state_of(triage, "B-02") == ("rejected", "the shop must do that")

    # One is edited; what was changed is what is approved.
    frame = console(page)
    frame.get_by_role("link", name="B-03").click()
    frame.get_by_text("Edit what is sent").click()
    field = frame.get_by_label("text", exact=True)
    edited = field.input_value().replace("Hello,", "Dear customer,")
    field.fill(edited)
    frame.get_by_role("button", name="Save the changes").click()
    frame.get_by_text("Saved: review it again and decide").wait_for()
    assert "Dear customer," in frame.locator("section.draft").inner_text()

    # Who edited it cannot approve it: another of the voters must.
    frame.get_by_text("'alice' edited the draft and may not approve it").wait_for()
    assert frame.get_by_role("button", name="Approve").is_disabled()
    assert frame.get_by_role("button", name="Reject …").is_enabled()
    bob = triage.airflow.as_person("bob")
    seen = bob.call("GET", "/interlock/api/reviews/B-03")
    bob.call("POST", "/interlock/api/cases/B-03/vote", {"answer": "approve", "digest": seen["digest"]})
    assert state_of(triage, "B-03")[0] == "authorised"

    # The one that was approved first is pulled back, from the tab of a task.
    frame = console(page, f"/dags/{DAG}/runs/{run}/tasks/validate/plugin/interlock-task")
    row = frame.locator("tr", has_text="B-01")
    row.get_by_role("button", name="Ask for review").click()
    frame.get_by_role("dialog").get_by_label("Reason").fill("the amount is odd")
    frame.get_by_role("dialog").get_by_role("button", name="Ask for review").click()
    frame.get_by_text("B-01 is sent to review").wait_for()
    assert state_of(triage, "B-01") == ("waiting", "asked for by alice: the amount is odd")
    assert triage.airflow.task_states(DAG, run)["sign_off"] == "awaiting_input"

    # The rest is approved at once; that is the last vote, and nobody answers Airflow's own request.
    frame = console(page)
    frame.get_by_label("all of mine on this page").check()
    frame.get_by_role("button", name="Approve 3 ticked").click()
    frame.get_by_role("dialog").get_by_role("button", name="Approve them").click()
    frame.get_by_text("3 approved. That was the last case: the run continues within seconds").wait_for()

    assert triage.airflow.wait_for_run(DAG, run) == "success"
    assert triage.summary(run)["by_state"] == {"executed": 4, "rejected": 1}
    sent = triage.sent()
    assert {key for key in sent if key.startswith("B-")} == {"B-01", "B-03", "B-04", "B-05"}
    assert sent["B-03"]["text"] == edited.strip()
    assert page.title() != "taken over"
    assert errors == []


def test_no_click_is_lost_while_the_script_is_still_on_its_way(triage, open_page):
    """A tick that the script does not see would be taken back by it, and the buttons would stay at 0."""
    playwright = pytest.importorskip("playwright.sync_api")
    run = triage.parked_run("slow_script", [a_ticket("S-01", "I want a refund for my purchase, please")])
    page = open_page("alice")
    on_its_way = []
    page.route("**/console.js", lambda route: on_its_way.append(route), times=1)
    frame = console(page)
    everything = frame.get_by_label("all of mine on this page")
    everything.wait_for()

    with pytest.raises(playwright.TimeoutError):
        everything.check(timeout=1_000)
    on_its_way[0].continue_()
    everything.check()

    frame.get_by_role("button", name="Approve 1 ticked").click()
    frame.get_by_role("dialog").get_by_role("button", name="Approve them").click()
    frame.get_by_text("1 approved").wait_for()
    assert triage.airflow.wait_for_run(DAG, run) == "success"


def test_what_no_agent_wrote_is_written_on_its_page(triage, open_page):
    run = triage.parked_run("unwritten", [a_ticket("UNWRITTEN-1", "I want a refund for my purchase, please")])
    frame = console(open_page("alice"))
    frame.get_by_role("link", name="UNWRITTEN-1").click()
    frame.get_by_role("heading", name="Nothing to send yet").wait_for()
    assert frame.get_by_role("button", name="Approve").is_disabled()

    frame.get_by_label("text", exact=True).fill("Dear customer,\nyour money is on its way.")
    frame.get_by_role("button", name="Save it").click()
    refused = frame.get_by_role("alert").filter(has_text="does not satisfy contract Reply")
    refused.wait_for()  # it has no subject yet
    frame.get_by_label("subject").fill("Your refund (case UNWRITTEN-1)")
    frame.get_by_label("language").fill("en")
    frame.get_by_role("button", name="Save it").click()
    frame.get_by_text("Saved: review it again and decide").wait_for()

    bob = triage.airflow.as_person("bob")
    seen = bob.call("GET", "/interlock/api/reviews/UNWRITTEN-1")
    bob.call("POST", "/interlock/api/cases/UNWRITTEN-1/vote", {"answer": "approve", "digest": seen["digest"]})
    assert triage.airflow.wait_for_run(DAG, run) == "success"
    assert triage.sent()["UNWRITTEN-1"]["text"] == "Dear customer,\nyour money is on its way."


def test_who_is_no_voter_sees_why_the_buttons_are_off(triage, open_page):
    triage.parked_run("looked_at", [a_ticket("C-01", "A refund, please. I want my money back")])

    for person, why in (
        ("vera", "'vera' may not vote at gate 'support_lead'"),
        ("admin", "it asks now: support_leads (alice, bob)"),
    ):
        frame = console(open_page(person))
        frame.get_by_role("link", name="C-01").click()
        frame.get_by_text(why).first.wait_for()
        assert frame.get_by_role("button", name="Approve").is_disabled()
        assert frame.get_by_role("button", name="Reject …").is_disabled()


def test_the_console_follows_airflows_theme(triage, open_page):
    page = open_page("vera")
    frame = console(page)
    root = frame.locator("html")
    root.wait_for(state="attached")
    before = root.get_attribute("data-theme")
    page.evaluate("document.documentElement.classList.toggle('dark')")
    after = "light" if before == "dark" else "dark"

    frame.locator(f"html[data-theme={after}]").wait_for(state="attached")


@pytest.mark.parametrize("path", ["/interlock/", "/interlock/runs", "/interlock/case/C-01", "/interlock/value"])
def test_a_phone_does_not_scroll_sideways(triage, open_page, path):
    page = open_page("alice")
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(path)

    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_lost_session_leads_the_whole_page_to_the_login(triage, open_page):
    page = open_page("vera")
    frame = console(page)
    frame.get_by_role("link", name="Runs").wait_for()
    page.context.clear_cookies()

    frame.get_by_role("link", name="Runs").click()

    page.wait_for_url("**/auth/login**")
    page.locator("input[name=username]").wait_for()
