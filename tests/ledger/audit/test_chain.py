from __future__ import annotations

import multiprocessing
from itertools import groupby

import pytest
from interlock.errors import LedgerError
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import audit_chain, audit_event
from interlock.ledger.store.transaction import Actor
from sqlalchemy import select
from workflows import together

ACTOR = Actor("person", "ann")


def tell(ledger: Ledger, chain: str, *subjects: str) -> None:
    with ledger.write(actor=ACTOR, chain=chain) as tx:
        for subject in subjects:
            tx.tell("noted", subject, {})


def numbers(ledger: Ledger) -> dict[str, list[int]]:
    query = select(audit_event.c.chain, audit_event.c.number).order_by(audit_event.c.chain, audit_event.c.number)
    with ledger.read() as connection:
        rows = connection.execute(query).all()
    return {chain: [row.number for row in group] for chain, group in groupby(rows, key=lambda row: row.chain)}


def test_events_of_a_transaction_are_chained_in_their_order(ledger: Ledger):
    tell(ledger, "a", "one", "two")
    tell(ledger, "a", "three")

    with ledger.read() as connection:
        events = connection.execute(select(audit_event).order_by(audit_event.c.number)).all()
        head = connection.execute(select(audit_chain)).one()
    assert [(e.number, e.subject) for e in events] == [(1, "one"), (2, "two"), (3, "three")]
    assert events[0].previous == "0" * 64
    assert [events[1].previous, events[2].previous, head.head] == [e.digest for e in events]
    assert head.length == 3
    assert verify(ledger).problems == []


def test_a_transaction_that_raises_leaves_nothing(ledger: Ledger):
    tell(ledger, "a", "one")

    def breaks_off() -> None:
        with ledger.write(actor=ACTOR, chain="a") as tx:
            tx.tell("noted", "two", {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaks_off()

    assert numbers(ledger) == {"a": [1]}
    assert verify(ledger).problems == []


def test_a_transaction_without_events_writes_none(ledger: Ledger):
    tell(ledger, "a")

    assert numbers(ledger) == {}


def test_an_event_with_text_of_any_kind_verifies(ledger: Ledger):
    tell(ledger, "a\nb", 'quote " backslash \\ newline \n emoji 🚂 null \u2028 end')

    assert verify(ledger).problems == []


@pytest.mark.parametrize("chains", [1, 3])
def test_threads_that_write_at_the_same_time_leave_no_gap(ledger: Ledger, chains: int):
    writers, times = 6, 15

    def write(number: int):
        for turn in range(times):
            tell(ledger, f"chain-{number % chains}", f"{number}/{turn}", f"{number}/{turn} again")

    said = together(*[lambda number=number: write(number) for number in range(writers)])

    assert said == [None] * writers
    each = writers // chains * times * 2
    assert numbers(ledger) == {f"chain-{c}": list(range(1, each + 1)) for c in range(chains)}
    found = verify(ledger)
    assert (found.problems, found.events, found.chains) == ([], writers * times * 2, chains)


def _write_from_a_process(url: str, number: int) -> None:
    ledger = Ledger.open(url, "test")
    for turn in range(10):
        tell(ledger, "one", f"{number}/{turn}")


def test_processes_that_write_at_the_same_time_leave_no_gap(ledger: Ledger):
    url = ledger.engine.url.render_as_string(hide_password=False)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_from_a_process, args=(url, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert numbers(ledger) == {"one": list(range(1, 31))}
    assert verify(ledger).problems == []


def test_verifying_while_others_write_finds_nothing_wrong(ledger: Ledger):
    """A reader that saw heads of one instant and events of another would cry wolf."""
    tell(ledger, "busy", *[str(number) for number in range(400)])
    done = []

    def write():
        for turn in range(60):
            tell(ledger, "busy", f"{turn}", f"{turn} again")
        done.append(True)

    def look():
        found = []
        while not done:
            found += verify(ledger).problems
        return found

    assert together(write, look) == [None, []]


def test_a_read_transaction_sees_one_instant(ledger: Ledger):
    tell(ledger, "a", "one")
    with ledger.read() as connection:
        before = connection.execute(select(audit_event.c.number)).all()
        tell(ledger, "a", "two")
        assert connection.execute(select(audit_event.c.number)).all() == before
    assert numbers(ledger) == {"a": [1, 2]}


@pytest.mark.postgres
def test_a_read_transaction_cannot_write(open_ledger):
    ledger = open_ledger("postgresql")
    with pytest.raises(LedgerError, match="read-only transaction"), ledger.read() as connection:
        connection.execute(audit_chain.insert().values(chain="a", length=0, head="0" * 64))
