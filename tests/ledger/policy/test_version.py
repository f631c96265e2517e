from __future__ import annotations

from pathlib import Path

import pytest
from interlock.domain.policy.version import Bundle
from interlock.errors import ConfigurationError
from interlock.ledger.audit.verify import verify
from interlock.ledger.policy.version import history, in_force, load_version, publish
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import workflow_version
from interlock.ledger.store.transaction import Actor
from workflows import NAME, Clock, Workflow, together

ANN = Actor("person", "ann")


def bundle(text: str) -> Bundle:
    return Bundle("refunds", {"policy.yaml": text}, {"data/a.csv": "0" * 64}, {})


def put(ledger: Ledger, text: str):
    return publish(ledger, bundle(text), author=ANN, reason="because")


def test_a_published_version_is_in_force_and_the_same_in_every_byte(ledger: Ledger):
    text = "# ünïcode 🚂\npolicy: x\n\ttab and trailing blanks  \n"
    version, is_new = put(ledger, text)

    assert (version.number, version.author, is_new) == (1, "person:ann", True)
    assert in_force(ledger, "refunds") == version
    assert in_force(ledger, "refunds").bundle.text("policy.yaml") == text
    assert verify(ledger).problems == []


def test_the_same_text_is_not_published_again_and_an_older_one_is(ledger: Ledger):
    first, _ = put(ledger, "one")

    assert put(ledger, "one") == (first, False)
    assert put(ledger, "two")[0].number == 2
    third, is_new = put(ledger, "one")
    assert (third.number, is_new) == (3, True)
    assert in_force(ledger, "refunds") == third
    assert [row.number for row in history(ledger, "refunds")] == [3, 2, 1]


def test_an_older_version_can_still_be_read(ledger: Ledger):
    first, _ = put(ledger, "one")
    put(ledger, "two")

    with ledger.read() as connection:
        assert load_version(connection, first.id) == first


def test_environments_have_versions_of_their_own(ledger: Ledger):
    put(ledger, "one")
    production = Ledger(ledger.engine, "production")

    with pytest.raises(ConfigurationError, match="no version of workflow 'refunds' is in force in environment 'produc"):
        in_force(production, "refunds")
    assert put(production, "two")[0].number == 1
    assert in_force(ledger, "refunds").bundle.text("policy.yaml") == "one"


def test_what_is_in_force_is_asked_of_the_clock(ledger: Ledger):
    clock = Clock()
    timed = Ledger(ledger.engine, "test", clock)
    put(timed, "one")
    clock.forward(seconds=-1)

    with pytest.raises(ConfigurationError, match="airflow interlock policy publish refunds"):
        in_force(timed, "refunds")


def test_two_people_who_publish_at_the_same_instant_get_two_numbers(ledger: Ledger):
    for turn in range(5):
        said = together(lambda turn=turn: put(ledger, f"a{turn}"), lambda turn=turn: put(ledger, f"b{turn}"))
        assert sorted(version.number for version, _ in said) == [2 * turn + 1, 2 * turn + 2], said
    assert verify(ledger).problems == []


def test_a_version_is_never_written_over(tmp_path: Path, ledger: Ledger):
    flow = Workflow(tmp_path, ledger)
    before = [row for row in flow.table(workflow_version) if row["workflow"] == NAME]
    flow.write("agents.yaml", "judge: {kind: function, function: 'workflows:judge', version: '2'}\n")
    flow.publish()

    after = [row for row in flow.table(workflow_version) if row["workflow"] == NAME]
    assert (after[:1], len(after)) == (before, 2)
