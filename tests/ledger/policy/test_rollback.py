"""Putting an earlier version in force again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from interlock.errors import ConfigurationError, InputError, UnknownName
from interlock.ledger.audit.verify import verify
from interlock.ledger.policy.version import changes_in_force, history, in_force, roll_back, version_numbered
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.transaction import Actor
from workflows import NAME, POLICY, Clock, Workflow, rows, together

CLEO = Actor("person", "cleo")


def three_versions(tmp_path: Path, ledger: Ledger) -> Workflow:
    flow = Workflow(tmp_path, ledger)
    for threshold in ("0.7", "0.6"):
        flow.write("policy.yaml", POLICY.replace("threshold: 0.8", f"threshold: {threshold}"))
        flow.publish()
    return flow


def back(ledger: Ledger, number: int | None = None) -> int:
    return roll_back(ledger, NAME, number=number, author=CLEO, reason="it let too much go")[0].number


def numbers(ledger: Ledger) -> list[int]:
    return [change.number for change in changes_in_force(ledger, NAME)]


def test_the_version_before_is_in_force_at_once_and_each_further_step_goes_one_back(tmp_path: Path, ledger: Ledger):
    three_versions(tmp_path, ledger)

    assert (back(ledger), in_force(ledger, NAME).number) == (2, 2)
    assert (back(ledger), in_force(ledger, NAME).number) == (1, 1)
    with pytest.raises(InputError, match="no version of 'refunds' was in force before version 1"):
        back(ledger)
    assert numbers(ledger) == [1, 2, 3, 2, 1]
    assert verify(ledger).problems == []


def test_any_version_that_was_in_force_can_be_named_and_a_later_one_again(tmp_path: Path, sqlite_ledger: Ledger):
    three_versions(tmp_path, sqlite_ledger)

    assert back(sqlite_ledger, 1) == 1
    assert back(sqlite_ledger, 3) == 3
    assert in_force(sqlite_ledger, NAME).number == 3


def test_who_when_why_and_instead_of_what_is_kept(tmp_path: Path, sqlite_ledger: Ledger):
    flow = three_versions(tmp_path, sqlite_ledger)
    back(sqlite_ledger, 1)

    last, before, *_ = changes_in_force(sqlite_ledger, NAME)
    assert (last.number, last.set_by, last.reason, last.instead_of) == (
        1,
        "person:cleo",
        "it let too much go",
        3,
    )
    assert (before.number, before.instead_of) == (3, None)
    versions = {row.number: row.in_force_since for row in history(sqlite_ledger, NAME)}
    assert versions == {3: None, 2: None, 1: last.since}
    assert flow.version.number == 1


def test_a_run_keeps_what_it_pinned_and_the_next_one_takes_the_earlier_version(tmp_path: Path, sqlite_ledger: Ledger):
    flow = three_versions(tmp_path, sqlite_ledger)
    flow.up_to("route", rows("sure=0.65"))
    back(sqlite_ledger)

    assert flow.session("route").version.number == 3
    assert flow.branch() == {"auto": 1}
    assert flow.session("intake", run="r2").version.number == 2


def test_only_what_was_in_force_here_can_be_in_force_again(tmp_path: Path, sqlite_ledger: Ledger):
    three_versions(tmp_path, sqlite_ledger)

    with pytest.raises(UnknownName, match=r"no version of 'refunds' that was in force '7'.* Known: '1', '2', '3'"):
        back(sqlite_ledger, 7)
    with pytest.raises(InputError, match="version 3 of 'refunds' is in force already"):
        back(sqlite_ledger, 3)
    with pytest.raises(ConfigurationError, match="no version of workflow 'refunds' is in force in env"):
        back(Ledger(sqlite_ledger.engine, "staging"))
    assert numbers(sqlite_ledger) == [3, 2, 1]


def test_of_two_at_the_same_instant_the_later_one_counts(tmp_path: Path, sqlite_ledger: Ledger):
    """A clock that stands, or one of another machine that is a little ahead."""
    clock = Clock()
    ledger = Ledger(sqlite_ledger.engine, "test", clock)
    three_versions(tmp_path, ledger)
    back(ledger, 1)
    clock.forward(seconds=1)

    assert in_force(ledger, NAME).number == 1


def test_who_waited_for_their_turn_sees_what_was_done_meanwhile(tmp_path: Path, ledger: Ledger):
    three_versions(tmp_path, ledger)
    began = ledger.clock()
    time.sleep(0.01)
    back(ledger)
    instants = iter([began])

    assert back(Ledger(ledger.engine, "test", lambda: next(instants, None) or ledger.clock())) == 1


def test_two_people_at_once_go_back_two_steps_or_one(tmp_path: Path, ledger: Ledger):
    """Each sees what the other did: nobody puts the same version in force twice."""
    three_versions(tmp_path, ledger)

    said = together(lambda: back(ledger), lambda: back(ledger))

    assert sorted(said) == [1, 2]
    assert in_force(ledger, NAME).number == 1
    assert verify(ledger).problems == []


def test_a_version_is_found_by_its_number(tmp_path: Path, sqlite_ledger: Ledger):
    three_versions(tmp_path, sqlite_ledger)

    assert version_numbered(sqlite_ledger, NAME, 2).bundle.policy.threshold == 0.7
    with pytest.raises(UnknownName, match="Known: '1', '2', '3'"):
        version_numbered(sqlite_ledger, NAME, 4)
