from __future__ import annotations

import json
from collections.abc import Callable
from copy import copy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from interlock.domain.approvals.access import Identity
from interlock.domain.base.canonical import canonical_json, keyed_digest
from interlock.engine.runs.kill_switch import throw
from interlock.ledger.approvals.delegation import delegate
from interlock.ledger.audit.anchor import take_anchor
from interlock.ledger.audit.verify import verify
from interlock.ledger.incidents.notice import UPKEEP, write_notice
from interlock.ledger.policy.version import on_proposal, record_approval
from interlock.ledger.store import schema
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.transaction import Actor, Transaction
from sqlalchemy import Connection, Table, and_, create_engine, delete, select, update
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool
from workflows import NAME, Workflow, rows


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def made(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    module_copies: Any,
    empty_ledger: Callable[[str], URL],
) -> Workflow:
    """A run with cases in every kind of place, made once on each database."""
    ledger = module_copies.of(empty_ledger(request.param))
    flow = Workflow(tmp_path_factory.mktemp("flow"), ledger)
    flow.up_to("report", rows("sure=0.95", "sure=0.95 promise", "not sure"))
    throw(ledger, kind="connector", name="payout", off=True, person="cleo", reason="a drill")
    until = ledger.clock() + timedelta(days=1)
    delegate(ledger, Identity("lea"), taker="otto", until=until, reason="on leave")
    with on_proposal(ledger, NAME, None, actor=Actor("person", "lea")) as proposal:
        record_approval(proposal.tx, proposal.version, Identity("lea"), answer="approve", order=1, reason="read it")
    with ledger.write(actor=UPKEEP, chain="upkeep:test") as tx:
        told = {"recipients": ["lea"], "subject": "1 case", "body": "1 case waits"}
        write_notice(tx, environment="test", workflow=NAME, kind="remind", **told)
        of_the_engine(tx, flow)
    take_anchor(ledger, actor=Actor("person", "cleo"))
    assert verify(ledger).problems == []
    ledger.engine.dispose()
    return flow


@pytest.fixture
def flow(made: Workflow, copies: Any) -> Workflow:
    """That run in a ledger of this test's own."""
    mine = copy(made)
    mine.ledger = copies.of(made.ledger.engine.url)
    return mine


def of_the_engine(tx: Transaction, flow: Workflow) -> None:
    """Write a row of each table that only a run with models, outcomes, quotes and datasets fills."""
    case = flow.table(schema.case)[0]
    run = {"environment": "test", "workflow": NAME, "run_id": case["run_id"], "created_at": tx.at}
    batch = run | {"task": "judge", "agent": "judge", "agent_digest": "0" * 64, "connection": "llm", "state": "sent"}
    batch |= {"id": "b" * 32, "cases": {case["id"]: {"input": "0" * 64, "most": 1}}, "expires_at": tx.at}
    tx.insert(schema.provider_batch, [batch], kind="batch.sent")
    incident = {"environment": "test", "workflow": NAME, "kind": "AgentTimeout", "subject": "judge", "state": "open"}
    told = {"reason": "no answer", "cases": 3, "opened_at": tx.at, "last_at": tx.at}
    tx.insert(schema.incident, [incident | told | {"id": "i" * 32}], kind="incident.opened")
    outcome = {"case_id": case["id"], "outcome": "paid", "happened_at": tx.at, "recorded_by": "cleo", "source": "api"}
    tx.insert(schema.outcome, [outcome | {"id": "o" * 32, "created_at": tx.at}], kind="outcome.recorded")
    quote = run | {"id": "q" * 32, "source": "inbox.csv", "cases": 3, "estimate": {"cost": "1.5"}}
    tx.insert(schema.quote, [quote], kind="quote.given")
    read = {"task": "check", "dataset": "orders", "created_at": tx.at, "run_id": case["run_id"]}
    reading = {"source": "orders.csv", "as_of": tx.at, "state": "fit", "reasons": {}, "row_count": 3, "quarantined": 0}
    tx.insert(schema.reading, [read | reading | {"id": "r" * 32, "columns": []}], kind="dataset.read")
    fact = {"id": "f" * 16, "indicator": "spend", "name": "spend", "period_start": tx.at, "body": {"value": "1"}}
    tx.insert(schema.fact, [read | fact], kind="fact.stated")


def tamper(flow: Workflow, act: Callable[[Connection], Any]) -> list[str]:
    """Do *act* behind the ledger's back, and return what verifying finds."""
    # an engine of its own: on SQLite, foreign keys are then not watched either
    with create_engine(flow.ledger.engine.url, poolclass=NullPool).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET session_replication_role = replica")
        else:
            for trigger in ("no_update", "no_delete"):
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS audit_event_{trigger}")
        act(connection)
    return verify(flow.ledger).problems


def key_of(table: Table, row: Any) -> Any:
    return and_(*(column == row._mapping[column.name] for column in table.primary_key.columns))


STATE_TABLES = [table.name for table in schema.STATE_TABLES if table.name not in ("quality_report", "label", "vote")]


def test_what_is_sound_is_counted(flow: Workflow):
    found = verify(flow.ledger)

    assert found.is_sound
    assert found.rows == sum(len(flow.table(table)) for table in schema.STATE_TABLES)
    assert found.events == len(flow.table(schema.audit_event))
    assert found.payloads == len(flow.table(schema.payload)) > 6


@pytest.mark.parametrize("name", STATE_TABLES)
def test_a_deleted_row_is_found(flow: Workflow, name: str):
    table = schema.metadata.tables[name]

    def act(connection: Connection) -> None:
        row = connection.execute(select(table).limit(1)).one()
        connection.execute(delete(table).where(key_of(table, row)))

    assert any("an event tells of this row, and it is gone" in p for p in tamper(flow, act))


@pytest.mark.parametrize("name", STATE_TABLES)
def test_a_change_in_any_column_of_a_row_is_found(flow: Workflow, name: str):
    """Also one that the code of today reads nowhere."""
    table = schema.metadata.tables[name]
    with flow.ledger.read() as connection:
        row = connection.execute(select(table).limit(1)).one()
    for column in table.columns:
        if column.primary_key or column.foreign_keys:
            continue
        before = row._mapping[column.name]

        def act(connection: Connection, column=column, before=before) -> None:
            value = _another(before, column)
            connection.execute(update(table).where(key_of(table, row)).values({column.name: value}))

        assert tamper(flow, act), f"{name}.{column.name}"

        def undo(connection: Connection, column=column, before=before) -> None:
            connection.execute(update(table).where(key_of(table, row)).values({column.name: before}))

        assert tamper(flow, undo) == []


def _another(value: Any, column: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, datetime):
        return value + timedelta(microseconds=1)
    if isinstance(value, str):
        return ("x" if value[:1] != "x" else "y") + value[1:]
    if isinstance(value, (dict, list)):
        return [value]
    kind = column.type
    if isinstance(kind, schema.UtcDateTime):
        return datetime(2020, 1, 1, tzinfo=UTC)
    if isinstance(kind, schema.Money):
        return Decimal(1)
    return 1 if kind.python_type in (int, float) else "x"


def test_an_inserted_row_without_an_event_is_found(flow: Workflow):
    def act(connection: Connection) -> None:
        row = dict(connection.execute(select(schema.authorisation).limit(1)).one()._mapping)
        connection.execute(schema.authorisation.insert().values(**{**row, "id": "f" * 32}))

    assert tamper(flow, act) == [f"authorisation:{'f' * 32}: no event tells of this row"]


@pytest.mark.parametrize("column", ["body", "digest", "previous", "kind", "subject"])
def test_a_changed_event_is_found(flow: Workflow, column: str):
    event = schema.audit_event

    def act(connection: Connection) -> None:
        row = connection.execute(select(event).where(event.c.kind == "case.routed").limit(1)).one()
        value = row._mapping[column]
        changed = value.replace("case", "cash") if "case" in value else "0" * 64
        connection.execute(
            update(event).where(event.c.chain == row.chain, event.c.number == row.number).values({column: changed})
        )

    assert tamper(flow, act)


@pytest.mark.parametrize("which", ["first", "middle", "last"])
def test_a_deleted_event_is_found(flow: Workflow, which: str):
    event = schema.audit_event

    def act(connection: Connection) -> None:
        chain = connection.execute(select(event.c.chain).where(event.c.kind == "case.routed").limit(1)).scalar_one()
        count = len(connection.execute(select(event).where(event.c.chain == chain)).all())
        number = {"first": 1, "middle": count // 2, "last": count}[which]
        connection.execute(delete(event).where(event.c.chain == chain, event.c.number == number))

    assert any("chain 'run:" in problem for problem in tamper(flow, act))


def test_a_truncated_chain_is_found_also_when_its_head_is_set_back(flow: Workflow):
    """The row that the lost event told of is then not what its last event says."""
    event, chain = schema.audit_event, schema.audit_chain

    def act(connection: Connection) -> None:
        last = connection.execute(
            select(event).where(event.c.kind == "case.executed").order_by(event.c.number.desc()).limit(1)
        ).one()
        connection.execute(delete(event).where(event.c.chain == last.chain, event.c.number >= last.number))
        connection.execute(
            update(chain).where(chain.c.chain == last.chain).values(length=last.number - 1, head=last.previous)
        )

    assert any("the row is not what its last event says" in problem for problem in tamper(flow, act))


def test_a_chain_whose_events_are_all_gone_is_found(flow: Workflow):
    def act(connection: Connection) -> None:
        connection.execute(delete(schema.audit_event).where(schema.audit_event.c.chain.startswith("run:")))

    assert any("events are gone" in problem for problem in tamper(flow, act))


def test_a_chain_without_a_head_is_found(flow: Workflow):
    def act(connection: Connection) -> None:
        connection.execute(delete(schema.audit_chain))

    assert any("its head says 0 events" in problem for problem in tamper(flow, act))


def test_a_changed_payload_is_found(flow: Workflow):
    payload = schema.payload

    def act(connection: Connection) -> None:
        row = connection.execute(select(payload).limit(1)).one()
        connection.execute(update(payload).where(payload.c.digest == row.digest).values(body={**row.body, "amount": 9}))

    assert any("its content was changed" in problem for problem in tamper(flow, act))


def test_a_payload_changed_together_with_its_digest_is_found(flow: Workflow):
    """The secret stands in the same database, so whoever can write there can make a digest that fits."""
    payload, secret = schema.payload, schema.case_secret

    def act(connection: Connection) -> None:
        row = connection.execute(
            select(payload, secret.c.secret).join(secret, secret.c.case_id == payload.c.case_id).limit(1)
        ).one()
        body = {**row.body, "amount": 9}
        connection.execute(
            update(payload)
            .where(payload.c.digest == row.digest)
            .values(body=body, digest=keyed_digest(row.secret, body))
        )

    assert any("refers to it, and it is gone" in problem for problem in tamper(flow, act))


def test_a_deleted_payload_is_found(flow: Workflow):
    def act(connection: Connection) -> None:
        row = connection.execute(select(schema.payload).limit(1)).one()
        connection.execute(delete(schema.payload).where(schema.payload.c.digest == row.digest))

    assert any("refers to it, and it is gone" in problem for problem in tamper(flow, act))


def test_a_deleted_secret_is_found_while_payloads_are_there(flow: Workflow):
    def act(connection: Connection) -> None:
        case_id = flow.cases()["R1"]["id"]
        connection.execute(delete(schema.case_secret).where(schema.case_secret.c.case_id == case_id))

    assert any("the secret of its digest is gone" in problem for problem in tamper(flow, act))


def test_content_and_secret_erased_behind_the_ledgers_back_are_missed(flow: Workflow):
    """Only an erasure that an event tells of is one; see test_forget.py."""

    def act(connection: Connection) -> None:
        case_id = flow.cases()["R1"]["id"]
        for table in (schema.payload, schema.case_secret):
            connection.execute(delete(table).where(table.c.case_id == case_id))

    assert tamper(flow, act) == [
        f"case:{flow.cases()['R1']['id']}: its secret is gone, and no event tells that it was forgotten"
    ]


def test_events_hold_nothing_of_what_a_case_says(tmp_path: Path, ledger: Ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("report", rows("sure=0.95 my card is 4000-1234", "my name is Xaviera Quill", account_id="ACC-777"))

    told = "".join(canonical_json(json.loads(row["body"])) for row in flow.table(schema.audit_event))
    for words in ("4000-1234", "Xaviera", "ACC-777"):
        assert words not in told
