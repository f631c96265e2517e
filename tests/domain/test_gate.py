from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interlock.domain.gate import Ballot, GateState, check_voter, decide_gate
from interlock.errors import NotAuthorised

ballots = st.lists(st.builds(Ballot, st.sampled_from("abcd"), st.sampled_from(["approve", "reject", "abstain"])))


@given(st.integers(1, 5), ballots)
def test_any_rejection_rejects_and_only_enough_distinct_approvals_approve(needed: int, cast: list[Ballot]):
    state = decide_gate(needed, cast)

    approving = {ballot.person for ballot in cast if ballot.answer == "approve"}
    rejected = any(ballot.answer == "reject" for ballot in cast)
    assert (state is GateState.REJECTED) == rejected
    assert (state is GateState.APPROVED) == (not rejected and len(approving) >= needed)


@given(st.integers(1, 5), ballots, st.randoms())
def test_the_order_of_votes_does_not_matter(needed: int, cast: list[Ballot], random):
    shuffled = list(cast)
    random.shuffle(shuffled)
    assert decide_gate(needed, shuffled) is decide_gate(needed, cast)


@given(st.integers(1, 5))
def test_nobody_voting_is_never_a_yes(needed: int):
    assert decide_gate(needed, []) is GateState.OPEN


def test_only_a_voter_may_vote():
    check_voter("lea", ["lea", "leo"], gate="leads")
    with pytest.raises(NotAuthorised, match=r"'otto' may not vote at gate 'leads'; its voters are: lea, leo"):
        check_voter("otto", ["leo", "lea"], gate="leads")
    with pytest.raises(NotAuthorised, match="its voters are: nobody"):
        check_voter("otto", [], gate="leads")
