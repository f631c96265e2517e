"""What a chain of events alone cannot show, and a kept anchor can: an end that was cut off, and a history made anew."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from interlock.commands import ledger as commands
from interlock.domain.base.event_chain import GENESIS, link_digest
from interlock.errors import InputError
from interlock.ledger.audit.anchor import Anchor, read_anchor, take_anchor
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import anchor, audit_chain, audit_event
from interlock.ledger.store.transaction import Actor
from sqlalchemy import Connection, create_engine, delete, insert, select, update
from sqlalchemy.pool import NullPool
from workflows import Workflow, rows

BEN = Actor("person", "ben")


def tell(ledger: Ledger, chain: str, *subjects: str) -> None:
    with ledger.write(actor=BEN, chain=chain) as tx:
        for subject in subjects:
            tx.tell("noted", subject, {})


def kept(ledger: Ledger) -> Anchor:
    """Take an anchor, and return it as it comes back from the file that it was kept in."""
    return read_anchor(json.dumps(take_anchor(ledger, actor=BEN).to_json()), where="kept.json")


def behind_the_ledgers_back(ledger: Ledger, act: Callable[[Connection], Any]) -> None:
    with create_engine(ledger.engine.url, poolclass=NullPool).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET session_replication_role = replica")
        else:
            for trigger in ("no_update", "no_delete"):
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS audit_event_{trigger}")
        act(connection)


def cut(chain: str, length: int) -> Callable[[Connection], None]:
    """Cut *chain* off behind event *length*, its head with it."""

    def act(connection: Connection) -> None:
        event = audit_event.c
        head = connection.execute(select(event.digest).where(event.chain == chain, event.number == length)).scalar()
        connection.execute(delete(audit_event).where(event.chain == chain, event.number > length))
        if length:
            connection.execute(update(audit_chain).where(audit_chain.c.chain == chain).values(length=length, head=head))
        else:
            connection.execute(delete(audit_chain).where(audit_chain.c.chain == chain))

    return act


def rewrite(chain: str, number: int, old: str, new: str) -> Callable[[Connection], None]:
    """Say *new* for *old* in event *number*, and compute every later digest and the head anew."""

    def act(connection: Connection) -> None:
        event = audit_event.c
        found = connection.execute(select(audit_event).where(event.chain == chain).order_by(event.number)).all()
        connection.execute(delete(audit_event).where(event.chain == chain))
        previous = GENESIS
        for link in found:
            values = dict(link._mapping) | {"previous": previous}
            if link.number == number:
                values |= {"subject": link.subject.replace(old, new), "body": link.body.replace(old, new)}
            values["digest"] = previous = link_digest(chain, link.number, values["body"], previous)
            connection.execute(insert(audit_event).values(**values))
        connection.execute(update(audit_chain).where(audit_chain.c.chain == chain).values(head=previous))

    return act


@pytest.fixture
def noted(ledger: Ledger) -> Ledger:
    """Two chains that tell of no rows, so that nothing but the events says what was."""
    tell(ledger, "a", "one", "two", "three")
    tell(ledger, "b", "four")
    return ledger


def forget_own_anchors(connection: Connection) -> None:
    connection.execute(delete(anchor))
    cut("anchor", 0)(connection)


def test_a_chain_cut_off_together_with_its_head_verifies_alone_and_not_against_a_kept_anchor(noted: Ledger):
    before = kept(noted)
    behind_the_ledgers_back(noted, cut("a", 2))
    behind_the_ledgers_back(noted, forget_own_anchors)

    assert verify(noted).problems == []
    assert verify(noted, anchors=[before]).problems == [
        f"anchor 1 of {before.taken_at}: the ledger does not hold it",
        f"chain 'a': anchor 1 of {before.taken_at} says 3 events or more, and 2 are there",
    ]


def test_a_chain_that_is_gone_altogether_is_missed(noted: Ledger):
    before = kept(noted)
    behind_the_ledgers_back(noted, cut("b", 0))

    assert verify(noted, anchors=[before]).problems == [
        f"chain 'b': anchor 1 of {before.taken_at} says 1 events or more, and 0 are there"
    ]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_history_made_anew_verifies_alone_and_not_against_a_kept_anchor(noted: Ledger, number: int):
    before = kept(noted)
    word = ("one", "two", "three")[number - 1]
    behind_the_ledgers_back(noted, rewrite("a", number, word, "other"))
    behind_the_ledgers_back(noted, forget_own_anchors)

    assert verify(noted).problems == []
    problems = verify(noted, anchors=[before]).problems
    assert f"chain 'a': event 3 is another than anchor 1 of {before.taken_at} says: it was rewritten" in problems


def test_what_was_rewritten_is_found_by_the_ledgers_own_anchor_while_that_is_left_alone(noted: Ledger):
    take_anchor(noted, actor=BEN)
    behind_the_ledgers_back(noted, rewrite("a", 2, "two", "other"))

    assert ["it was rewritten" in problem for problem in verify(noted).problems] == [True]


def test_a_ledger_that_went_on_is_sound_against_every_anchor_that_was_kept(tmp_path: Path, ledger: Ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("draft", rows("sure=0.95", "not sure"))
    first = kept(ledger)
    flow.role("draft")
    flow.validate()
    flow.execute("send")
    second = kept(ledger)
    flow.gate()
    flow.report()

    assert verify(ledger, anchors=[first, second]).problems == []
    assert (first.previous, second.previous) == (GENESIS, first.digest)
    assert set(second.chains) == set(first.chains) | {"anchor"}


def test_the_newest_event_before_an_anchor_is_under_it_and_later_ones_are_not(noted: Ledger):
    """Whatever comes after the last anchor can still be cut off unseen: anchors are to be taken often."""
    before = kept(noted)
    tell(noted, "a", "five")
    behind_the_ledgers_back(noted, cut("a", 3))

    assert verify(noted, anchors=[before]).problems == []


@pytest.mark.parametrize(
    "change",
    [
        lambda chains: chains | {"a": [2, chains["a"][1]]},
        lambda chains: chains | {"a": [3, "0" * 64]},
        lambda chains: {"a": chains["a"]},
    ],
)
def test_an_anchor_that_was_changed_itself_is_no_evidence(sqlite_ledger: Ledger, change: Callable[..., Any]):
    tell(sqlite_ledger, "a", "one", "two", "three")
    tell(sqlite_ledger, "b", "four")
    document = take_anchor(sqlite_ledger, actor=BEN).to_json()

    with pytest.raises(InputError, match=r"'mine.json' is not as it was written"):
        read_anchor(json.dumps(document | {"chains": change(document["chains"])}), where="mine.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"interlock_anchor": 1}', '{"interlock_anchor": 7}', "\x00"])
def test_a_file_that_is_no_anchor_is_told_from_one(text: str):
    with pytest.raises(InputError, match=r"'x.json' is"):
        read_anchor(text, where="x.json")


def test_an_anchor_of_another_ledger_is_told(open_ledger: Callable[[str], Ledger]):
    mine, other = open_ledger("sqlite"), open_ledger("sqlite")
    tell(other, "a", "one")

    assert any("the ledger does not hold it" in p for p in verify(mine, anchors=[kept(other)]).problems)


def test_the_commands_keep_an_anchor_and_find_with_it_what_was_cut_off(
    tmp_path: Path, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(commands, "LedgerHook", lambda: Namespace(get_conn=lambda: sqlite_ledger))
    tell(sqlite_ledger, "a", "one", "two")
    file = str(tmp_path / "anchor.json")

    commands.anchor(Namespace(file=file))
    with pytest.raises(SystemExit, match="exists, and an anchor is never overwritten"):
        commands.anchor(Namespace(file=file))
    commands.verify(Namespace(anchor=[file], json=False))
    assert "compared with anchor 1" in capsys.readouterr().out

    behind_the_ledgers_back(sqlite_ledger, cut("a", 1))
    with pytest.raises(SystemExit, match="says 2 events or more, and 1 are there"):
        commands.verify(Namespace(anchor=[file], json=False))
