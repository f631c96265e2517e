"""
The rights of the three roles, on a real PostgreSQL: the printed SQL is run, and each role connects and does its work.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from interlock.domain.approvals.access import Identity
from interlock.engine.approvals import review_action
from interlock.errors import ConfigurationError, LedgerError
from interlock.ledger.audit.anchor import take_anchor
from interlock.ledger.audit.case_history import show_case
from interlock.ledger.audit.erasure import forget_case
from interlock.ledger.audit.export import exported_events
from interlock.ledger.audit.verify import verify
from interlock.ledger.reports.summary import summarize
from interlock.ledger.store.grants import grants
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import metadata
from interlock.ledger.store.transaction import Actor
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from workflows import Workflow, rows

pytestmark = pytest.mark.postgres


@dataclass
class Roles:
    """One ledger, as its owner and the three roles open it."""

    owner: Ledger
    worker: Ledger
    console: Ledger
    auditor: Ledger


@pytest.fixture
def roles(open_ledger: Callable[[str], Ledger]) -> Iterator[Roles]:
    owner = open_ledger("postgresql")
    suffix = uuid.uuid4().hex[:8]
    # names that SQL has to quote; roles belong to the whole server
    names = {name: f'{name}-"{suffix}"' for name in ("worker", "console", "auditor")}
    script = grants(**names)
    with create_engine(owner.engine.url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        for _ in range(2):  # again after a migration
            connection.exec_driver_sql(script)
    opened = {
        name: Ledger.open(owner.engine.url.set(username=role).render_as_string(hide_password=False), "test")
        for name, role in names.items()
    }
    yield Roles(owner, **opened)
    for ledger in opened.values():
        ledger.engine.dispose()
    with owner.engine.begin() as connection:
        for role in names.values():
            quoted = connection.dialect.identifier_preparer.quote(role)
            connection.exec_driver_sql(f"DROP OWNED BY {quoted}")
            connection.exec_driver_sql(f"DROP ROLE {quoted}")


@pytest.fixture
def flow(roles: Roles, tmp_path: Path) -> Workflow:
    """A workflow that the console published and the worker runs."""
    flow = Workflow(tmp_path, roles.console)
    flow.ledger = roles.worker
    return flow


def run_whole(flow: Workflow) -> None:
    flow.up_to("report", rows("sure=0.95", "sure=0.95 promise", "not sure", "legal", amount=20.0))
    flow.report()


def denied(ledger: Ledger, statement: str) -> str:
    with pytest.raises(DBAPIError) as refused, ledger.engine.begin() as connection:
        connection.execute(text(statement))
    return str(refused.value.orig)


def test_a_whole_run_is_done_as_the_worker(flow: Workflow, roles: Roles):
    run_whole(flow)

    assert flow.states() == {"R1": "executed", "R2": "waiting", "R3": "waiting", "R4": "waiting"}
    assert len(flow.sent()) == 1
    assert verify(roles.worker).problems == []
    with roles.worker.read() as connection:
        assert connection.execute(text("SELECT current_user")).scalar_one().startswith("worker-")


def test_people_vote_edit_ask_resubmit_close_publish_and_forget_as_the_console(flow: Workflow, roles: Roles):
    run_whole(flow)
    console = roles.console

    seen = review_action.see(console, "R2")
    changed = {"text": "Dear customer, yes."}
    review_action.edit(
        console, "R2", person=Identity("lea"), changes=changed, seen_digest=seen["digest"], include=flow.include
    )
    review_action.vote(
        console, "R2", person=Identity("leo"), answer="approve", seen_digest=review_action.see(console, "R2")["digest"]
    )
    review_action.request_review(console, "R2", person="otto", reason="odd")
    seen = review_action.see(console, "R3")["digest"]
    review_action.vote(console, "R3", person=Identity("lea"), answer="reject", seen_digest=seen, reason="no")
    review_action.close(console, "R4", person="otto", reason="double")
    forget_case(console, "R3", person="otto", reason="asked to", key_too=True)
    take_anchor(console, actor=Actor("command", "ledger anchor"))
    flow.intake(rows("much too much", amount=20_000.0), run="r2")
    flow.role("judge", run="r2")

    assert show_case(console, "R2")["case"]["state"] == "waiting"
    assert summarize(console, "r1")["cases_total"] == 4
    assert verify(console).problems == []
    assert verify(console).forgotten == 1


def test_a_worker_publishes_nothing_and_forgets_nobody(flow: Workflow, roles: Roles):
    run_whole(flow)
    closed = next(row["id"] for key, row in flow.cases().items() if key == "R1")

    with pytest.raises(LedgerError, match="permission denied for table payload"):
        forget_case(roles.worker, closed, person="x", reason="y")
    for table in (
        "workflow_version",
        "approval",
        "version_in_force",
        "deployment",
        "delegation",
        "kill_switch",
        "anchor",
    ):
        assert "permission denied" in denied(roles.worker, f"INSERT INTO {table} SELECT * FROM {table}")
    for table in metadata.tables:
        assert "permission denied" in denied(roles.worker, f'DELETE FROM "{table}"')


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_event SET kind = 'x'", "DELETE FROM audit_event", "TRUNCATE audit_event"]
)
def test_nobody_changes_an_event_not_even_the_owner(flow: Workflow, roles: Roles, statement: str):
    flow.intake(rows("one"))

    for ledger in (roles.worker, roles.console, roles.auditor):
        assert "permission denied for table audit_event" in denied(ledger, statement)
    assert "audit_event is append-only" in denied(roles.owner, statement)
    assert verify(roles.owner).problems == []


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE audit_event DISABLE TRIGGER ALL",
        "DROP TRIGGER audit_event_no_change ON audit_event",
        "SET session_replication_role = replica",
        "CREATE TABLE mine (x int)",
    ],
)
def test_no_role_can_take_the_trigger_away(roles: Roles, statement: str):
    for ledger in (roles.worker, roles.console, roles.auditor):
        said = denied(ledger, statement)
        assert "must be owner" in said or "permission denied" in said


def test_the_auditor_verifies_and_reads_all_but_content_and_secrets(flow: Workflow, roles: Roles):
    run_whole(flow)
    seen = review_action.see(roles.console, "R3")["digest"]
    review_action.vote(roles.console, "R3", person=Identity("lea"), answer="reject", seen_digest=seen, reason="no")

    found = verify(roles.auditor)
    assert (found.problems, found.unread, found.payloads) == ([], True, 0)
    assert found.events == verify(roles.owner).events == len(list(exported_events(roles.auditor)))
    with roles.auditor.engine.connect() as connection:
        for table in set(metadata.tables) - {"payload", "case_secret"}:
            connection.execute(text(f'SELECT * FROM "{table}"')).all()
    for statement in (
        "SELECT * FROM payload",
        "SELECT body FROM payload",
        "SELECT secret FROM case_secret",
        "INSERT INTO audit_event SELECT * FROM audit_event",
        "UPDATE audit_chain SET length = 0",
        "UPDATE vote SET answer = 'approve'",
    ):
        assert "permission denied" in denied(roles.auditor, statement)


def test_an_auditor_finds_a_payload_that_is_gone(flow: Workflow, roles: Roles):
    run_whole(flow)
    with roles.owner.engine.begin() as connection:
        connection.execute(text('DELETE FROM payload WHERE digest = (SELECT payload_digest FROM "case" LIMIT 1)'))

    assert any("refers to it, and it is gone" in problem for problem in verify(roles.auditor).problems)


def test_two_roles_of_one_name_are_refused():
    with pytest.raises(ConfigurationError, match="three different ones"):
        grants(worker="a", console="a", auditor="b")


def test_every_table_has_rights_for_each_role():
    script = grants(worker="w", console="c", auditor="a")

    for table in metadata.tables:
        for role in "wca":
            assert any(f'"{table}" TO "{role}";' in line for line in script.splitlines())
