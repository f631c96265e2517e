from __future__ import annotations

import pytest
from interlock.domain.cases.case import UNSENT, CaseState, check_move
from interlock.errors import ConfigurationError

ARROWS = {
    "open": "open routed waiting quarantined dead",
    "routed": "routed waiting authorised quarantined dead",
    "waiting": "waiting open routed authorised rejected dead closed",
    "authorised": "authorised executed waiting dead routed",
    "executed": "closed dead",
    "rejected": "closed",
    "quarantined": "open closed",
    "dead": "open routed waiting authorised closed",
    "closed": "",
}


@pytest.mark.parametrize("before", sorted(CaseState))
@pytest.mark.parametrize("after", sorted(CaseState))
def test_every_arrow_there_is_may_be_taken_and_no_other(before: CaseState, after: CaseState):
    if after in ARROWS[before].split():
        check_move(before, after)
    else:
        with pytest.raises(ConfigurationError, match=f"'{before}' cannot become '{after}'"):
            check_move(before, after)


def test_the_table_of_this_test_covers_all_states():
    assert set(ARROWS) == set(CaseState)


def test_nothing_that_was_sent_or_is_closed_can_be_pulled_back():
    assert not UNSENT & {CaseState.EXECUTED, CaseState.CLOSED, CaseState.REJECTED}


@pytest.mark.parametrize("state", sorted(set(CaseState) - {CaseState.AUTHORISED}))
def test_only_an_authorised_case_becomes_executed(state: CaseState):
    with pytest.raises(ConfigurationError):
        check_move(state, CaseState.EXECUTED)


@pytest.mark.parametrize("start", sorted(CaseState))
def test_every_case_can_still_come_to_an_end(start: CaseState):
    reached, todo = {start}, [start]
    while todo:
        for after in map(CaseState, ARROWS[todo.pop()].split()):
            if after not in reached:
                reached.add(after)
                todo.append(after)
    assert CaseState.CLOSED in reached
