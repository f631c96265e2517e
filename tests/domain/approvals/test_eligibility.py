from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from interlock.domain.approvals.access import Access, Barred, Identity
from interlock.domain.approvals.approval import Stage
from interlock.domain.approvals.eligibility import Electorate
from interlock.domain.approvals.request_state import GateState
from interlock.errors import NotAuthorised

ACCESS = Access(groups={"leads": ("lea", "leo"), "law": ("lou", "role:Counsel")})
LEADS, LAW = Stage(name="leads", groups=("leads",)), Stage(name="law", groups=("law",), order=2)


def electorate(*stages: Stage, **more: Any) -> Electorate:
    return Electorate("desk", stages or (LEADS,), **{"access": ACCESS, **more})


@dataclass(frozen=True)
class Cast:
    """A vote, as the ledger keeps it."""

    person: str
    answer: str = "approve"
    person_name: str | None = None
    roles: Sequence[str] | None = ()
    stage_order: int | None = 1
    on_behalf_of: str | None = None


def admitted(by: Electorate, person: Identity, *votes: Cast, approves: bool = True) -> str | None:
    return by.admit(person, by.progress(votes), approves=approves)


def test_a_member_votes_by_a_right_of_their_own():
    assert admitted(electorate(), Identity("lea")) is None


def test_who_is_no_member_is_told_who_is_asked():
    with pytest.raises(NotAuthorised, match=r"'otto' may not vote at gate 'desk'; it asks now: leads \(lea, leo\)"):
        admitted(electorate(), Identity("otto"))


def test_a_role_makes_a_member():
    assert admitted(electorate(Stage(groups=("law",))), Identity("7", "cora", ("Counsel",))) is None
    with pytest.raises(NotAuthorised):
        admitted(electorate(Stage(groups=("law",))), Identity("7", "cora", ("Viewer",)))


def test_the_second_stage_cannot_vote_before_the_first_is_done():
    by = electorate(LEADS, LAW)

    with pytest.raises(NotAuthorised, match="it asks now: leads"):
        admitted(by, Identity("lou"))
    assert admitted(by, Identity("lou"), Cast("lea")) is None


@pytest.mark.parametrize("person", [Identity("lea"), Identity("7", "lea")])
def test_who_did_it_may_reject_but_not_approve(person: Identity):
    by = electorate(Stage(groups=("leads",), people=("7",)), barred=Barred({"lea": "edited the draft"}))

    with pytest.raises(NotAuthorised, match=f"'{person.id}' edited the draft and may not approve it at gate 'desk'"):
        admitted(by, person)
    assert admitted(by, person, approves=False) is None
    assert by.progress([Cast(person.id, person_name=person.name)]).state is GateState.OPEN


def test_a_stand_in_votes_for_another_and_never_beside_them():
    by = electorate(Stage(groups=("leads",), votes=2), stand_ins={"otto": ("lea",)})

    assert admitted(by, Identity("otto")) == "lea"
    for_lea = Cast("otto", on_behalf_of="lea")
    assert by.progress([Cast("lea"), for_lea]).state is GateState.OPEN
    assert by.progress([Cast("leo"), for_lea]).state is GateState.APPROVED


def test_two_stand_ins_of_one_person_are_one_vote():
    by = electorate(Stage(groups=("leads",), votes=2), stand_ins={"otto": ("lea",), "ute": ("lea",)})

    votes = [Cast("otto", on_behalf_of="lea"), Cast("ute", on_behalf_of="lea")]
    assert by.progress(votes).state is GateState.OPEN


def test_a_delegation_that_ended_takes_its_vote_along():
    votes = [Cast("otto", on_behalf_of="lea")]

    assert electorate(stand_ins={"otto": ("lea",)}).progress(votes).state is GateState.APPROVED
    assert electorate().progress(votes).state is GateState.OPEN


def test_nobody_stands_in_for_who_is_barred():
    by = electorate(stand_ins={"otto": ("lea",)}, barred=Barred({"lea": "wrote the policy"}))

    with pytest.raises(NotAuthorised, match="'otto' may not vote"):
        admitted(by, Identity("otto"))


def test_who_left_the_group_is_not_counted():
    left = Access(groups={"leads": ("leo",)})

    assert electorate().progress([Cast("lea")]).state is GateState.APPROVED
    assert electorate(access=left).progress([Cast("lea")]).state is GateState.OPEN


def test_a_delegation_gives_no_more_than_its_giver_has_now():
    by = electorate(access=Access(groups={"leads": ("leo",)}), stand_ins={"otto": ("lea",)})

    with pytest.raises(NotAuthorised):
        admitted(by, Identity("otto"))
