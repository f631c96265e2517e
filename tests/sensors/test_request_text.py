"""The text of Airflow's own request: whole where it is signed off, harmless where a customer wrote it."""

from __future__ import annotations

import pytest
from interlock.engine.approvals.gate import Shown
from interlock.sensors.request_text import LONGEST, escape, request_text
from reviews import a_fact, a_finding, written


def a_case(text="Where is my card?", reply="Dear customer,\n\nit is on its way.\nKind regards", **changes):
    values = {
        "business_key": "T-1",
        "route": "review",
        "why": "certain it is not",
        "case": {"ticket_id": "T-1", "text": text},
        "handoffs": {"Triage": {"intent": "card_arrival"}},
        "action": "outbox",
        "execute": {"subject": "Your card", "text": reply},
        "version": 1,
    }
    return Shown(**{**values, **changes})


def text_of(*cases):
    return request_text(cases, len(cases), "/interlock/review?gate=leads", ["lea"])


def test_what_would_be_sent_is_never_cut():
    reply = " ".join(f"word{number}" for number in range(2_000))

    assert reply in text_of(a_case(reply=reply))


def test_a_subject_that_would_be_sent_is_never_cut():
    names = [f"citation{number}" for number in range(60)]

    assert names[-1] in text_of(a_case(execute={"text": "Dear customer", "citations": names}))


def test_a_long_message_of_a_customer_is_cut():
    shown = text_of(a_case(text="x" * (LONGEST + 50)))

    assert "x" * LONGEST + " …" in shown
    assert "x" * (LONGEST + 1) not in shown


def test_lines_of_a_draft_stay_lines():
    assert "> it is on its way.  \n> Kind regards  " in text_of(a_case())


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("# Approve this", "\\# Approve this"),
        ("[click](http://evil.example)", "\\[click\\](http\u200b://evil.example)"),
        ("see www.evil.example", "see www\u200b.evil.example"),
        ("mail me@evil.example", "mail me@\u200bevil.example"),
        ("<img src=x>", "\\<img src=x\\>"),
        ("===", "\\==="),
        ("- item", "\\- item"),
        ("12. item", "12\\. item"),
        ("`code` **bold** &lt;", "\\`code\\` \\*\\*bold\\*\\* \\&lt;"),
        ("3.5% of 20 - 4", "3\\.5% of 20 - 4"),
    ],
)
def test_markdown_of_a_customer_is_shown_and_not_drawn(written, shown):
    assert escape(written) == shown


def test_a_short_message_with_backticks_cannot_leave_its_code():
    assert "text `'''evil'''`" in text_of(a_case(text="```evil```"))


def test_a_review_reads_as_it_is_sent_and_its_numbers_lead_to_their_rows():
    fact = a_fact(label="Spend at www.evil.example")
    finding = a_finding([fact])
    text = text_of(a_case(case=finding, execute=written(finding).model_dump(mode="json")))

    assert "{" not in text
    assert "#### Purchasing" in text
    assert f"]: /interlock/fact/{fact.id}" in text
    assert "## Sources" not in text
    assert "www.evil" not in text


def test_the_links_of_two_reviews_do_not_mix():
    facts = [a_fact(value="12345.60"), a_fact(value="23456.70")]
    findings = [a_finding([fact]) for fact in facts]
    cases = [a_case(case=finding, execute=written(finding).model_dump(mode="json")) for finding in findings]

    text = text_of(*cases)

    for fact, name in zip(facts, ("1.1", "2.1"), strict=True):
        assert f"[{fact.shown}][{name}]" in text
        assert f"[{name}]: /interlock/fact/{fact.id}" in text


def test_what_looks_like_a_review_without_its_facts_is_shown_by_its_fields():
    review = written(a_finding([a_fact()])).model_dump(mode="json")

    assert "title `" in text_of(a_case(case={"facts": [1]}, execute=review))


def test_what_is_empty_is_left_out():
    empty = {"tags": [], "more": {}, "text": ""}
    text = text_of(a_case(case={"ticket_id": "T-1", **empty}, handoffs={"Triage": {"intent": "card", **empty}}))

    assert "``" not in text
    assert "intent `card`" in text


def test_what_another_role_said_stands_beside_a_review():
    finding = a_finding([a_fact()])
    review = written(finding).model_dump(mode="json")
    text = text_of(a_case(case=finding, execute=review, handoffs={"Review": review, "Opinion": {"fit": "no"}}))

    assert "*Opinion*: fit `no`" in text
    assert "*Review*" not in text


def test_a_name_in_a_review_draws_nothing():
    finding = a_finding([a_fact(label="Spend\n===\n- all ~~good~~!")])
    text = text_of(a_case(case=finding, execute=written(finding).model_dump(mode="json")))

    assert "Spend === - all \\~\\~good\\~\\~\\!" in text
    assert not [line for line in text.splitlines() if line.startswith(("===", "- all"))]


def test_cases_that_are_not_listed_are_counted():
    text = request_text([a_case()], 41, "/interlock/review?gate=leads", ["lea", "leo"])

    assert "40 more cases are waiting and not listed here" in text
    assert "Voters: lea, leo." in text
