from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from interlock.domain.agents.agent_protocol import Usage
from interlock.errors import LedgerError
from interlock.ledger.audit.verify import verify
from interlock.ledger.cases.case import cases_at, load_files
from interlock.ledger.cases.handoff import (
    Made,
    Maker,
    agent_reports,
    handoffs_there,
    record_agent,
    write_handoffs,
    write_usage,
)
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import payload
from workflows import Workflow, rows

MAKER = Maker(
    task="judge",
    agent="judge",
    agent_digest="a" * 64,
    contract="Verdict@1",
    contract_name="Verdict",
    contract_digest="c" * 64,
)


@pytest.fixture
def flow(tmp_path: Path, ledger: Ledger) -> Workflow:
    flow = Workflow(tmp_path, ledger)
    flow.intake(rows("a"))
    return flow


def made(flow: Workflow, input_digest: str = "i" * 64) -> Made:
    session = flow.session("judge")
    with session.read() as connection:
        [file] = load_files(connection, cases_at(connection, session.run, "judge", limit=1))
    return Made(file=file, input_digest=input_digest, payload={"kind": "x"}, confidence=0.125, provenance={"a": [1]})


def there(flow: Workflow, maker: Maker, one: Made) -> bool:
    with flow.ledger.read() as connection:
        return one.file.id in handoffs_there(connection, maker, {one.file.id: maker.key(one.input_digest)})


def test_a_handoff_is_found_again_by_all_that_made_it_and_by_nothing_less(flow: Workflow):
    one = made(flow)
    session = flow.session("judge")
    with session.write() as tx:
        write_handoffs(tx, session.run, MAKER, [one])

    assert there(flow, MAKER, one)
    assert not there(flow, MAKER, replace(one, input_digest="j" * 64))
    for change in ({"agent_digest": "b" * 64}, {"contract_digest": "d" * 64}, {"agent": "other"}, {"task": "again"}):
        assert not there(flow, replace(MAKER, **change), one), change
    assert verify(flow.ledger).problems == []


def test_the_same_handoff_is_not_written_twice(flow: Workflow):
    one = made(flow)
    session = flow.session("judge")
    with session.write() as tx:
        write_handoffs(tx, session.run, MAKER, [one])

    with pytest.raises(LedgerError), session.write() as tx:
        write_handoffs(tx, session.run, MAKER, [one])


def test_payloads_stand_under_a_digest_that_only_the_case_can_make(flow: Workflow):
    one = made(flow)
    session = flow.session("judge")
    with session.write() as tx:
        row = write_handoffs(tx, session.run, MAKER, [one])[one.file.id]

    assert {body["digest"] for body in flow.table(payload)} == {one.file.case.payload_digest, row.payload_digest}
    assert len(one.file.secret) == 32


def test_usage_keeps_tokens_and_exact_money(flow: Workflow):
    one, session = made(flow), flow.session("judge")
    cost = Decimal("0.000001234567890123")
    used = Usage(model="m", seconds=0.1, outcome="ok", input_tokens=2**40, cost=cost, attempt=2)
    with session.write() as tx:
        calls = [(one.file.id, "judge", used), (one.file.id, "judge", replace(used, cost=None))]
        write_usage(tx, session.run, "judge", calls)

    assert {row["cost"] for row in flow.calls()} == {cost, None}
    assert {row["input_tokens"] for row in flow.calls()} == {2**40}
    assert verify(flow.ledger).problems == []


def test_an_agents_report_is_kept_once_per_digest(flow: Workflow):
    run = flow.session("judge").run
    for report in ({"accuracy": 0.9}, {"accuracy": 0.1}):
        record_agent(flow.ledger, run, agent="judge", kind="function", agent_digest="a" * 64, report=report)

    with flow.ledger.read() as connection:
        assert agent_reports(connection, ["a" * 64, "b" * 64]) == {"a" * 64: {"accuracy": 0.9}}
