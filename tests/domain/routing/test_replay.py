from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interlock.domain.base.canonical import canonical_json
from interlock.domain.base.contract import Contract
from interlock.domain.base.expression import variable_types
from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.domain.policy.policy import parse_policy
from interlock.domain.routing.replay import (
    NAMED_CASES,
    UNASKED,
    Again,
    Comparison,
    RecordedDecision,
    carried_out,
    compare,
    decide_again,
)
from interlock.domain.routing.routing import Decision, Router


class Ticket(Contract):
    text: str = ""
    tier: str | None = None
    amount: float = 0.0
    flags: list[str] = []


TYPES = variable_types({"Ticket": Ticket.model_json_schema()}, "Ticket")

CONDITIONS = (
    "case.tier == 'private'",
    "case.amount > 10.0",
    "'legal' in case.flags || case.text.contains('court')",
    "confidence >= threshold",
    "confidence < 0.5 && attempt == 1",
    "'tier' in missing",
    "size(known) > 2",
    "attempt == 2",
)

policies = st.builds(
    lambda rules, default: {
        "policy": "p",
        "contract": "Ticket",
        "rules": [{"name": f"{n} {w}", "when": w, "route": r} for n, (w, r) in enumerate(rules)],
        "default": default,
    },
    st.lists(st.tuples(st.sampled_from(CONDITIONS), st.sampled_from(["auto", "review", "fallback", "stop"]))),
    st.sampled_from(["review", "auto", "stop"]),
)
sureness = st.none() | st.floats(0, 1)
inputs = st.fixed_dictionaries(
    {"attempt": st.integers(1, 3), "confidence": sureness, "threshold": sureness},
    optional={
        "case.text": st.text(max_size=8),
        "case.tier": st.none() | st.sampled_from(["private", "standard"]),
        "case.amount": st.none() | st.floats(-1e9, 1e9),
        "case.flags": st.lists(st.sampled_from(["legal", "new"])),
        "missing": st.lists(st.sampled_from(["tier", "text"])),
        "known": st.lists(st.sampled_from(["tier", "text", "amount"])),
    },
)


def router(document: dict[str, Any]) -> Router:
    return Router(parse_policy(document), TYPES)


def policy(*rules: tuple[str, str], gates: dict[str, Any] | None = None, default: str = "review") -> Any:
    written = [{"name": f"rule {n}", "when": when, "route": route} for n, (when, route) in enumerate(rules, 1)]
    people = {"people": {"routes": ["review"], "voters": "us"}} if gates is None else gates
    return parse_policy({"policy": "p", "contract": "Ticket", "rules": written, "default": default, "gates": people})


def made(case: str = "1", route: str = "review", **more: Any) -> RecordedDecision:
    return RecordedDecision(
        case_id=case,
        business_key=f"T-{case}",
        by=more.pop("by", "rules"),
        rule=more.pop("rule", "a rule"),
        route=route,
        is_gated=route == "review",
        **more,
    )


def said(route: str, **more: Any) -> Again:
    return Again(rule=more.pop("rule", "a rule"), route=route, **more)


def compared(*pairs: tuple[RecordedDecision, Again]) -> Comparison:
    return compare(pairs, policy())


# --- one decision ---


@given(policies, inputs)
def test_an_unchanged_policy_decides_on_what_was_recorded_as_it_did_then(document: dict[str, Any], known: Any):
    """Whatever the rules read then is all that they read again, after a way through the ledger's JSON."""
    then = router(document).decide(known)
    recorded = json.loads(canonical_json(dict(then.inputs)))

    again = decide_again(router(document), recorded)

    assert isinstance(again, Decision)
    assert (again.rule, again.route, again.error) == (then.rule, then.route, then.error)


@given(policies, policies, inputs)
def test_what_another_policy_says_on_less_than_all_is_what_it_says_on_all_or_nothing(before, after, known):
    """Never guessed: either it read only what was recorded, or it names what it missed."""
    then = router(before).decide(known)

    again = decide_again(router(after), then.inputs)

    if isinstance(again, tuple):
        assert again
        assert set(again).isdisjoint(then.inputs)
    else:
        in_full = router(after).decide(known)
        assert (again.rule, again.route, again.error) == (in_full.rule, in_full.route, in_full.error)


def test_a_name_that_is_known_to_be_absent_holds_the_case_back_and_an_unknown_one_is_named():
    rules = router(
        {"policy": "p", "contract": "Ticket", "rules": [{"name": "x", "when": CONDITIONS[0], "route": "auto"}]}
    )

    known = decide_again(rules, {"case.tier": None})

    assert isinstance(known, Decision)
    assert (known.route, known.error) == ("review", "there is no case.tier")
    assert decide_again(rules, {"case.text": "x"}) == ("case.tier",)


def test_a_rule_that_is_never_reached_may_read_what_nobody_knows():
    rules = router(
        {
            "policy": "p",
            "contract": "Ticket",
            "rules": [
                {"name": "first", "when": "attempt == 1", "route": "auto"},
                {"name": "second", "when": CONDITIONS[0], "route": "stop"},
            ],
        }
    )

    assert not isinstance(decide_again(rules, {"attempt": 1}), tuple)
    assert decide_again(rules, {"attempt": 2}) == ("case.tier",)


WIRING = Wiring(
    {
        task.task_id: task
        for task in (
            WiredTask(
                task_id="route", kind="branch", downstream=("draft",), branches={"auto": "draft", "direct": "send"}
            ),
            WiredTask(task_id="draft", kind="role"),
            WiredTask(task_id="send", kind="execution"),
        )
    }
)


@pytest.mark.parametrize(
    ("route", "wiring", "carried"),
    [
        ("auto", WIRING, "auto"),
        ("stop", WIRING, "stop"),
        ("review", WIRING, "stop"),  # no task serves it either
        ("legal", WIRING, "stop"),
        ("direct", WIRING, "stop"),  # straight into an execution
        ("legal", None, "legal"),
    ],
)
def test_what_no_task_serves_is_held_back_as_the_branch_does(route: str, wiring: Wiring | None, carried: str):
    again = carried_out(wiring, "route", Decision(rule="x", route=route, inputs={}))

    assert again.route == carried
    assert (again.error is None) == (route == carried)


def test_what_no_task_serves_goes_to_people_where_they_are_served():
    tasks = dict(WIRING.tasks)
    tasks["route"] = WiredTask(task_id="route", kind="branch", branches={"auto": "draft", "review": "draft"})

    assert carried_out(Wiring(tasks), "route", Decision(rule="x", route="legal", inputs={})).route == "review"


# --- all of them ---


def test_nothing_flips_where_nothing_changes():
    found = compared((made(), said("review")), (made("2", "auto", confidence=0.9), said("auto")))

    assert (found.decisions, found.replayed, found.flipped, found.other_rule) == (2, 2, 0, 0)
    assert (found.load.cases, found.load.before, found.load.after) == (2, 1, 1)
    assert (found.become_automatic.cases, found.stop_being_automatic.cases) == (0, 0)


def test_flips_are_counted_by_route_and_named_with_their_rules():
    found = compared(
        *[(made(str(n), confidence=0.9), said("auto", rule="new")) for n in range(NAMED_CASES + 5)],
        (made("x", "auto", confidence=0.6), said("review")),
    )

    assert dict(found.routes) == {("review", "auto"): 25, ("auto", "review"): 1}
    assert len(found.flips) == NAMED_CASES
    assert (found.flips[0].case, found.flips[0].before, found.flips[0].after) == ("T-x", "auto", "review")
    assert (found.flips[1].rule_before, found.flips[1].rule_after) == ("a rule", "new")
    assert (found.load.before, found.load.after) == (25, 1)
    assert found.become_automatic.cases == 25
    assert found.become_automatic.expected_errors == pytest.approx(2.5)
    assert found.stop_being_automatic.expected_errors == pytest.approx(0.4)


def test_the_same_route_by_another_rule_is_no_flip():
    found = compared((made(), said("review", rule="new")))

    assert (found.flipped, found.other_rule) == (0, 1)


def test_without_a_confidence_an_automatic_case_is_expected_to_be_wrong():
    found = compared((made(), said("auto")))

    assert (found.become_automatic.expected_errors, found.become_automatic.without_confidence) == (1.0, 1)


def test_what_came_after_a_flip_is_not_replayed_because_it_would_not_have_been():
    first, second = made(route="fallback", confidence=0.5), made(route="review", confidence=0.7)

    found = compared((first, said("auto")), (second, said("auto")))

    assert (found.replayed, found.after_a_flip, dict(found.routes)) == (1, 1, {("fallback", "auto"): 1})
    assert (found.load.before, found.load.after) == (1, 0)
    assert found.become_automatic.expected_errors == 0.5


def test_what_another_agent_would_have_said_is_not_known():
    found = compared((made(route="auto", confidence=0.9), said("fallback")))

    assert (found.flipped, found.load.cases, found.load.unknown) == (1, 0, 1)
    assert found.stop_being_automatic.cases == 0


def test_a_decision_that_is_not_replayable_is_counted_by_its_variable_and_in_no_figure():
    found = compared((made(), said("", unknown=("case.tier",))), (made("2"), said("auto")))

    assert (found.not_replayable, found.replayed, dict(found.unknown_variables)) == (1, 1, {"case.tier": 1})
    assert (found.load.cases, found.load.unknown) == (1, 1)


def test_people_are_counted_and_not_replayed():
    found = compared((made("1", by="people"), UNASKED), (made("2", by="people"), UNASKED), (made("3"), said("review")))

    assert (found.by_people, found.replayed, found.load.cases) == (2, 1, 1)


def test_a_check_stands_whatever_route_brought_the_draft_there():
    """A draft that a check holds back would be held back on the new route, too."""
    routed, checked = made(route="auto", confidence=0.9), made(route="review", by="checks")

    found = compared((routed, said("auto")), (checked, UNASKED))
    assert (found.by_checks, found.load.before, found.load.after) == (1, 1, 1)

    found = compared((made(), said("auto")), (checked, UNASKED))
    assert (found.load.before, found.load.after, found.become_automatic.cases) == (1, 1, 0)

    found = compared((made(), said("stop")), (checked, UNASKED))
    assert (found.load.before, found.load.after) == (1, 0)


def test_what_is_held_back_because_it_cannot_be_evaluated_is_counted_on_both_sides():
    found = compared(
        (made("1", error="there is no x"), said("review")),
        (made("2"), said("review", error="there is no y")),
        (made("3"), said("review", error="there is no y")),
    )

    assert (found.unevaluated_before, found.unevaluated_after) == (1, 2)


def test_the_report_is_json_with_shares_and_hours():
    pairs = [(made("1", confidence=0.9), said("auto")), (made("2"), said("review"))]

    told = json.loads(json.dumps(compare(pairs, policy(), minutes_per_review=30).to_json()))

    assert told["load"]["share"] == {"before": 1.0, "after": 0.5}
    assert told["load"]["hours"] == {"before": 1.0, "after": 0.5}
    assert told["routes"] == [{"before": "review", "after": "auto", "decisions": 1}]
    assert told["flips"][0]["case"] == "T-1"
    assert (told["decisions"], told["flipped"]) == (2, 1)


outcomes = st.builds(
    lambda case, route, after, by, unknown, sure: (
        made(case, route, by=by, confidence=sure),
        (said(after, unknown=("x",) if unknown else ()) if by == "rules" else UNASKED),
    ),
    st.sampled_from("abcd"),
    st.sampled_from(["auto", "review", "fallback", "stop"]),
    st.sampled_from(["auto", "review", "fallback", "stop"]),
    st.sampled_from(["rules", "rules", "people", "checks"]),
    st.booleans(),
    sureness,
)


@given(st.lists(outcomes, max_size=30))
def test_every_decision_is_counted_once_and_every_case_at_most_once(pairs):
    found = compare(pairs, policy())

    assert (
        found.decisions
        == len(pairs)
        == (found.replayed + found.by_people + found.by_checks + found.after_a_flip + found.not_replayable)
    )
    cases = {recorded.case_id for recorded, _ in pairs}
    assert found.load.cases + found.load.unknown <= len(cases)
    assert found.flipped <= found.replayed
    assert max(found.load.before, found.load.after) <= found.load.cases
    assert 0 <= found.become_automatic.expected_errors <= found.become_automatic.cases
