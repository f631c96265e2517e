from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from interlock.domain.cost.budget import Account, Budget
from interlock.ledger.cost.budget import balances, give_back, reserve, settle, write_off
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import usage
from interlock.ledger.store.transaction import Actor, new_id
from sqlalchemy import select
from workflows import Workflow

TASK = Actor("task", "judge")
MINUTE = timedelta(minutes=1)


def account(key: str, dollars: str, **more: object) -> Account:
    return Account(key=key, budget=Budget(per="run", limit=Decimal(dollars), **more))


@pytest.fixture
def run(tmp_path, ledger: Ledger) -> str:
    flow = Workflow(tmp_path, ledger)
    flow.publish()
    return flow.session("intake").run.id


def ask(ledger: Ledger, run: str, accounts: list[Account], holder: str, wanted: int, least: int = 1, lasts=MINUTE):
    with ledger.write(actor=TASK, chain="t") as tx:
        return reserve(
            tx,
            accounts,
            environment="test",
            holder=holder,
            run_id=run,
            task="judge",
            wanted=wanted,
            least=least,
            expires_at=tx.at + lasts,
        )


def standing(ledger: Ledger, *keys: str) -> dict[str, tuple[int, int]]:
    with ledger.read() as connection:
        return balances(connection, keys)


def test_a_block_is_in_all_accounts_or_in_none(ledger: Ledger, run: str):
    wide, narrow = account("a", "0.000001"), account("b", "0.0000005")

    assert ask(ledger, run, [wide, narrow], "one", 800).amount == 500
    refused = ask(ledger, run, [wide, narrow], "two", 100)

    assert (refused.amount, refused.short, refused.is_spent) == (0, narrow, False)
    assert standing(ledger, "a", "b") == {"a": (0, 500), "b": (0, 500)}


def test_what_was_spent_is_gone_and_what_is_left_comes_back(ledger: Ledger, run: str):
    only = account("a", "0.000001", soft=0.5)
    assert ask(ledger, run, [only], "one", 400).past_soft is None
    with ledger.write(actor=TASK, chain="t") as tx:
        settle(tx, {"one": (250, 300)}, expires_at=tx.at + MINUTE)
        give_back(tx, "one")

    assert standing(ledger, "a") == {"a": (250, 0)}
    assert ask(ledger, run, [only], "two", 300).past_soft is only
    refused = ask(ledger, run, [only], "three", 800, least=800)
    assert (refused.amount, refused.is_spent) == (0, True)


def test_a_dead_workers_block_is_written_off_once_and_told_of(ledger: Ledger, run: str):
    only = account("a", "0.000001")
    ask(ledger, run, [only], "dead", 700, lasts=-MINUTE)
    for _ in range(2):
        with ledger.write(actor=TASK, chain="t") as tx:
            write_off(tx, accounts=["a"])

    assert standing(ledger, "a") == {"a": (700, 0)}
    with ledger.read() as connection:
        rows = connection.execute(select(usage)).all()
    assert [(row.outcome, row.cost) for row in rows] == [("lost", Decimal("0.0000007"))]


def test_another_attempt_writes_off_what_the_first_had(ledger: Ledger, run: str):
    ask(ledger, run, [account("a", "0.000001")], "first", 300)
    with ledger.write(actor=TASK, chain="t") as tx:
        assert write_off(tx, place=(run, "another task")) == 0
        assert write_off(tx, place=(run, "judge")) == 1

    assert standing(ledger, "a") == {"a": (300, 0)}


def test_32_workers_never_spend_more_than_the_limit(ledger: Ledger, run: str):
    accounts = [account("day", "0.00001"), account("run", "0.00002")]
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while True:
                holder = new_id()
                block = ask(ledger, run, accounts, holder, 90, least=10)
                if not block.amount:
                    return
                with ledger.write(actor=TASK, chain="t") as tx:
                    settle(tx, {holder: (block.amount // 2, block.amount)}, expires_at=tx.at + MINUTE)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not errors
    spent, reserved = standing(ledger, "day")["day"]
    assert reserved == 0
    assert 10_000 - 10 < spent <= 10_000
    assert standing(ledger, "run")["run"] == (spent, 0)
