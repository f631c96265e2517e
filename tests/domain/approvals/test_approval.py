from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interlock.domain.approvals.approval import (
    CASE_TYPES,
    Ballot,
    Stage,
    count_votes,
    parse_approvals,
    stages_for,
)
from interlock.domain.approvals.request_state import GateState
from interlock.errors import ConfigurationError

PEOPLE = "abcde"
GROUPS = {"x": "abc", "y": "bcd", "z": "e"}


def is_member(person: str, stage: Stage) -> bool:
    return person in stage.people or any(person in GROUPS[group] for group in stage.groups)


groups = st.sampled_from(sorted(GROUPS))
stages = st.lists(
    st.builds(
        Stage,
        groups=st.lists(groups, min_size=1, max_size=2, unique=True).map(tuple),
        votes=st.integers(1, 2),
        order=st.integers(1, 2),
    ),
    min_size=1,
    max_size=3,
)
ballots = st.lists(
    st.builds(Ballot, st.sampled_from(PEOPLE), st.sampled_from(["approve", "approve", "reject"]), st.integers(1, 2)),
    max_size=6,
    unique_by=lambda ballot: ballot.person,
)


def enough(asked: list[Stage], people: list[str]) -> bool:
    """Tell by trying every order whether *people* can fill all places, each one."""
    places = [stage for stage in asked for _ in range(stage.votes)]
    return any(
        all(is_member(person, place) for person, place in zip(chosen, places, strict=True))
        for chosen in permutations(people, len(places))
    )


@given(stages, ballots)
def test_only_enough_distinct_people_of_the_right_groups_approve(asked: list[Stage], cast: list[Ballot]):
    now = count_votes(asked, cast, is_member)

    rejected = any(ballot.answer == "reject" for ballot in cast)
    filled = all(
        enough([s for s in asked if s.order == order], [b.person for b in cast if b.order == order])
        for order in {s.order for s in asked}
    )
    assert (now.state is GateState.REJECTED) == rejected
    assert (now.state is GateState.APPROVED) == (not rejected and filled)


@given(stages, ballots, st.randoms())
def test_the_order_of_votes_does_not_matter(asked: list[Stage], cast: list[Ballot], random):
    shuffled = list(cast)
    random.shuffle(shuffled)

    assert count_votes(asked, shuffled, is_member).state is count_votes(asked, cast, is_member).state


@given(stages)
def test_nobody_voting_is_never_a_yes(asked: list[Stage]):
    assert count_votes(asked, [], is_member).state is GateState.OPEN


def test_no_stage_at_all_is_never_a_yes():
    assert count_votes([], [Ballot("a", "approve")], is_member).state is GateState.OPEN


@given(stages, ballots, st.sampled_from(PEOPLE))
def test_who_may_not_vote_any_more_is_not_counted(asked: list[Stage], cast: list[Ballot], gone: str):
    without = [ballot for ballot in cast if ballot.person != gone or ballot.answer == "reject"]

    now = count_votes(asked, cast, lambda person, stage: person != gone and is_member(person, stage))

    assert now.state is count_votes(asked, without, is_member).state


def test_a_person_in_two_groups_fills_the_place_that_nobody_else_can():
    asked = [Stage(groups=("x",)), Stage(groups=("y",))]
    cast = [Ballot("b", "approve"), Ballot("a", "approve")]  # b would fit both, a fits x alone

    assert count_votes(asked, cast, is_member).state is GateState.APPROVED
    assert count_votes(asked, cast[:1], is_member).missing in (((asked[0], 1),), ((asked[1], 1),))


def test_a_later_stage_is_asked_once_those_before_it_have_their_votes():
    first, second = Stage(groups=("x",), votes=2), Stage(groups=("z",), order=2)

    assert count_votes([first, second], [Ballot("a", "approve")], is_member).missing == ((first, 1),)
    both = [Ballot("a", "approve"), Ballot("b", "approve")]
    assert count_votes([first, second], both, is_member).missing == ((second, 1),)
    early = [*both, Ballot("e", "approve", 1)]  # cast before the second stage was asked
    assert count_votes([first, second], early, is_member).state is GateState.OPEN
    assert count_votes([first, second], [*both, Ballot("e", "approve", 2)], is_member).state is GateState.APPROVED


MATRIX = parse_approvals(
    {
        "cases": [
            {"name": "all", "stages": [{"groups": ["x"]}]},
            {"name": "large", "when": "amount > 500.0", "stages": [{"groups": ["y"], "votes": 2}]},
            {"name": "crime", "when": "risk == 'crime'", "stages": [{"name": "law", "groups": ["z"], "order": 2}]},
        ]
    }
)


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        ({"amount": 10.0, "risk": "none"}, ["all"]),
        ({"amount": 501.0, "risk": "none"}, ["all", "large"]),
        ({"amount": 501.0, "risk": "crime"}, ["all", "large", "law"]),
        ({"risk": "none"}, ["all", "large"]),  # an amount that nobody knows counts as large
        ({}, ["all", "large", "law"]),
    ],
)
def test_rows_add_up_and_what_is_not_known_asks_for_more(known: dict, asked: list[str]):
    assert [stage.name for _, stage in stages_for(MATRIX.cases, CASE_TYPES, known)] == asked


def test_a_matrix_that_cannot_be_read_is_refused_with_its_place():
    with pytest.raises(ConfigurationError, match=r"approvals.yaml cannot be used: cases.0.stages: Field required"):
        parse_approvals({"cases": [{"name": "x"}]})
