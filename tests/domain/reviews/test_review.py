from __future__ import annotations

from typing import Any

from interlock.domain.reviews.review import review_problems
from reviews import a_fact, a_finding, measured, written


def problems(change: dict[str, Any], **finding: Any) -> list[str]:
    case = a_finding(measured(), **finding)
    review = written(case).model_dump(mode="json")
    return [str(problem) for problem in review_problems(review | change, case)]


def spend() -> str:
    return next(fact.id for fact in measured() if fact.name == "spend")


def saying(text: str, *facts: str) -> dict[str, Any]:
    return {"sections": [{"heading": "Spend", "sentences": [{"text": text, "facts": list(facts)}]}]}


def test_a_review_as_it_is_written_has_nothing_wrong():
    assert problems({}) == []


def test_a_number_of_another_sentence_s_fact_is_refused():
    assert problems(saying("Spend stood at 1,672.25 USD.", spend())) == []
    (problem,) = problems(saying("Spend stood at 1,672.25 USD."))
    assert problem.startswith("'Spend', sentence 1: '1,672.25 USD' is carried by none of its facts")


def test_a_fact_that_the_case_does_not_have_is_refused():
    assert "names fact 'made up', which the case does not have" in problems(saying("Well.", "made up"))[0]
    assert "names fact 'made up'" in problems({"figures": [{"fact": "made up"}]})[0]


def test_a_withheld_fact_cannot_be_stated():
    fact = a_fact(value=None, withheld="orders are 9 days older than allowed")
    case = a_finding([fact])
    review = written(case).model_dump(mode="json") | saying("Spend stood still.", fact.id)

    (problem,) = review_problems(review, case)

    assert str(problem) == f"'Spend', sentence 1: names fact {fact.id!r}, which is withheld: {fact.withheld}"


def test_titles_headings_notes_and_what_is_withheld_state_no_numbers_of_their_own():
    for change in (
        {"title": "The 7 best vendors"},
        {"sections": [{"heading": "Up 12%"}]},
        {"notes": ["5 rows were left out"]},
        {"withheld": [{"what": "Orders", "reason": "12 rows are missing"}]},
        {"sections": [{"heading": "Spend", "charts": [{"kind": "line", "title": "9 weeks", "indicator": "spend"}]}]},
    ):
        assert len(problems(change)) == 1, change
    assert problems({"notes": ["5 rows were left out"]}, warnings=["5 rows were left out"]) == []


def test_a_recommendation_is_the_finding_s_in_its_numbers_and_its_confidence():
    insight = {
        "key": "k", "title": "Spend jumped", "owner": "purchasing", "recommendation": "Ask.",
        "assumptions": ["2 weeks"], "confidence": 0.8, "confidence_basis": "held in 9 of 11 weeks", "facts": [spend()],
    }  # fmt: skip
    case = a_finding(measured(), insights=[insight])
    review = written(case).model_dump(mode="json")
    (given,) = review["recommendations"]
    assert review_problems(review, case) == []

    for change in (
        {"confidence": 0.9},
        {"basis": "held in 10 of 11 weeks"},
        {"text": "Save 5%."},
        {"assumptions": ["3"]},
    ):
        changed = review | {"recommendations": [given | change]}
        assert len(review_problems(changed, case)) == 1, change


def test_it_is_about_the_period_of_its_case():
    assert [p.split(":")[0] for p in problems({"period": "week of 2014-06-09"})] == ["period"]


def test_what_is_no_review_is_refused():
    assert problems({"sections": "none"}) == ["the review: sections: Input should be a valid list"]
