from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interlock.agents.default_sentence import usual_sentences
from interlock.domain.agents.agent_protocol import Failure, Work
from interlock.domain.facts.fact import Fact
from interlock.domain.reviews.review import Review, review_problems
from interlock.errors import ConfigurationError
from interlock.reporting.view import View
from reviews import ORDERS, WEEK, a_fact, a_finding, a_writer, measured, sentences, written


def test_an_empty_outline_says_what_is_usual_of_each_indicator():
    review = written(a_finding(measured()))

    assert [section.heading for section in review.sections] == ["Spend", "Orders", "Orders on time"]
    assert sentences(review)[:3] == [
        "Spend stood at 1,672.25 USD in the week of 2014-06-16.",
        "That is 329.75 USD (24.6%) more than in the week of 2014-06-09 (1,342.50 USD).",
        "By vendor, the largest parts of the change are those of Fitness 24/7 (+500.00 USD), 3M (-180.25 USD) and "
        "Litware (+10.00 USD).",
    ]
    assert sentences(review)[-1] == "That is 23.0 percentage points below the target of 98.0%."
    assert len(review.figures) == 3


def test_a_sentence_names_the_facts_that_its_template_asked_for():
    facts = measured()
    review = written(
        a_finding(facts),
        """
        review:
          title: "{{ case.title }}, {{ case.period }}"
          sections:
            - heading: In short
              sentences:
                - "Spend {{ fact('spend.change').moved }} by {{ fact('spend.change_percent').size }}."
                - "Of it, {{ who('spend.by.vendor.1') }} made {{ say('spend.by.vendor.1') }}."
                - {each: spend.by.vendor, text: "{{ part.segment }}: {{ part.signed }}."}
                - "{% if fact('spend.change').value < 0 %}It is less.{% endif %}"
        """,
    )

    named = {fact.id: fact.name for fact in facts}
    assert review.title == f"Purchasing review, {WEEK}"
    (section,) = review.sections
    assert [(s.text, [named[i] for i in s.facts]) for s in section.sentences] == [
        ("Spend rose by 24.6%.", ["spend.change", "spend.change_percent"]),
        ("Of it, Fitness 24/7 made 500.00 USD.", ["spend.by.vendor.1"]),
        ("Fitness 24/7: +500.00 USD.", ["spend.by.vendor.1"]),
        ("3M: -180.25 USD.", ["spend.by.vendor.2"]),
        ("Litware: +10.00 USD.", ["spend.by.vendor.3"]),
    ]


def test_a_part_that_made_no_difference_is_not_listed():
    """3M's orders went from 300.50 to 300.504, which is told as +0.00 USD."""
    rows = [("2014-06-17", "3M", "300.504", "true") if row[:2] == ("2014-06-17", "3M") else row for row in ORDERS]
    template = """
        review:
          sections:
            - heading: Parts
              sentences:
                - {each: spend.by.vendor, text: "{{ part.segment }}: {{ part.signed }}."}
                - "{% for part in facts('spend.by.vendor') %}{{ part.segment }} {% endfor %}"
        """

    assert sentences(written(a_finding(measured(rows)), template)) == [
        "Fitness 24/7: +500.00 USD.",
        "Litware: +10.00 USD.",
        "Fitness 24/7 Litware",
    ]


def test_a_recommendation_links_its_number_to_the_fact_that_it_asked_for():
    """Two facts show the same figure, and the other one comes first."""
    other, meant = a_fact("spend.target", "500"), a_fact("spend.by.vendor.1", "500", kind="contribution")
    insight = {
        "key": "k", "title": "Spend jumped", "owner": "purchasing", "recommendation": "Ask why 500.00 USD more.",
        "assumptions": [], "confidence": None, "confidence_basis": "",
        "facts": [other.id, meant.id], "cites": [meant.id],
    }  # fmt: skip
    case = a_finding([a_fact(), other, meant], insights=[insight])

    review = written(case)

    (given,) = review.recommendations
    assert given.facts == [meant.id]
    linked = [piece.fact for piece in View.of(review, case).pieces(given.text, given.facts) if piece.fact]
    assert [fact.name for fact in linked] == ["spend.by.vendor.1"]
    assert review_problems(review.model_dump(mode="json"), case) == []


def test_a_source_that_is_not_fit_withholds_what_rests_on_it_and_says_so():
    review = written(a_finding(measured(withheld="source orders is 9 days older than allowed")))

    assert review.sections == review.figures == []
    assert [(one.what, one.reason) for one in review.withheld] == [
        (what, "source orders is 9 days older than allowed") for what in ("Spend", "Orders", "Orders on time")
    ]
    assert review_problems(review.model_dump(mode="json"), a_finding(measured(withheld="x"))) != []


def test_a_sentence_with_one_withheld_fact_is_withheld_as_a_whole():
    facts = [fact for fact in measured() if fact.indicator != "spend"]
    facts.append(a_fact(value=None, withheld="source orders is 9 days older than allowed"))
    review = written(
        a_finding(facts),
        "review: {sections: [{heading: All, sentences: [\"{{ say('orders') }} for {{ say('spend.change') }}\", "
        "\"{{ say('orders') }} orders.\"]}]}",
    )

    assert sentences(review) == ["4 orders."]
    assert [(one.what, one.reason) for one in review.withheld] == [
        ("Spend", "source orders is 9 days older than allowed")
    ]


def test_a_fact_that_is_not_there_is_told_by_its_name():
    review = written(a_finding(measured()), "review: {sections: [{heading: A, sentences: [\"{{ say('spnd') }}\"]}]}")
    assert [(one.what, one.reason) for one in review.withheld] == [("spnd", "there is no such fact in this period")]


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("review: {headings: []}", "headings"),
        ("review: {sections: [{heading: A, charts: [{}]}]}", "either 'line' or 'bars'"),
        ("review: {title: '{{ case.title'}", "is not a template"),
    ],
)
def test_an_outline_that_cannot_work_is_refused_when_the_agent_is_made(template: str, told: str):
    with pytest.raises(ConfigurationError, match=told):
        a_writer(template)


def test_an_expression_that_fails_is_the_failure_of_its_case():
    writer = a_writer('review: {title: "{{ 1 // 0 }}"}')
    (failure,) = writer.answer([Work(case_id="c", case=a_finding(measured()))], Review)
    assert isinstance(failure, Failure)


def test_another_outline_makes_other_answers():
    assert a_writer("review: {title: A}").digest != a_writer("review: {title: B}").digest


def test_a_changed_row_changes_exactly_the_sentences_that_depend_on_it():
    """Litware's order of Wednesday costs more: spend and what explains it change, the number of orders does not."""
    rows = [
        row if row[:2] != ("2014-06-18", "Litware") else ("2014-06-18", "Litware", "43.50", "true") for row in ORDERS
    ]
    old, new = measured(), measured(rows)
    before, after = written(a_finding(old)), written(a_finding(new))
    kept = {fact.id for fact in old} & {fact.id for fact in new}

    def by_place(review: Review) -> dict[tuple[str, int], tuple[str, set[str]]]:
        return {
            (section.heading, index): (sentence.text, set(sentence.facts))
            for section in review.sections
            for index, sentence in enumerate(section.sentences)
        }

    was, now = by_place(before), by_place(after)
    assert was.keys() == now.keys()
    changed = {place for place in was if was[place][0] != now[place][0]}
    depend = {place for place in was if not was[place][1] <= kept}
    assert changed
    assert changed <= depend
    assert {heading for heading, _ in depend} == {"Spend", "Orders", "Orders on time"}
    assert {heading for heading, _ in changed} == {"Spend"}


amounts = st.decimals(min_value=-10_000, max_value=10_000, places=2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["2014-06-09", "2014-06-12", "2014-06-16", "2014-06-22"]),
            st.sampled_from(["Fitness 24/7", "3M", "Litware", "Two Brothers", "7"]),
            amounts.map(str),
            st.sampled_from(["true", "false"]),
        ),
        max_size=12,
    )
)
def test_every_sentence_that_is_usual_passes_the_check_of_numbers(rows: list[tuple[str, str, str, str]]):
    case = a_finding(measured(rows), alarms={"spend": [WEEK]})
    assert [str(p) for p in review_problems(written(case).model_dump(mode="json"), case)] == []


def test_an_anomaly_is_told_with_what_was_expected():
    def expected(name: str, value: str, label: str) -> Fact:
        return a_fact(f"spend.{name}", value, kind="expected", label=label)

    facts = [
        a_fact(),
        expected("expected", "9000", "Spend, expected"),
        expected("low", "8000", "L"),
        expected("high", "9900", "H"),
    ]
    case = a_finding(facts, alarms={"spend": [WEEK]}, series={"spend": [("a", 1.0), ("b", 2.0), (WEEK, 3.0)]})

    said, _ = usual_sentences("spend", facts, case)
    review = written(case)

    assert said[1].text == "That is unusual: 9,000.00 USD was expected, and 8,000.00 USD to 9,900.00 USD is usual."
    assert review_problems(review.model_dump(mode="json"), case) == []
    assert review.sections[0].charts[0].facts == [fact.id for fact in facts]
    assert facts[0].value == Decimal("12345.60")
