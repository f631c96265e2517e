"""The operator of upkeep, with Airflow's notifier for mail, at a real mail server on loopback."""

from __future__ import annotations

import json

import pytest
from interlock.hooks.ledger import LedgerHook
from interlock.ledger.incidents.notice import list_notices
from interlock.ledger.store.ledger import Ledger
from interlock.operators import UpkeepOperator
from servers.smtp_server import SmtpServer
from workflows import ACCESS, POLICY, Clock, Workflow, rows

pytestmark = pytest.mark.airflow

SMTP = {
    "notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
    "kwargs": {"to": "{to}", "subject": "{subject}", "html_content": "{body}", "smtp_conn_id": "loopback_mail"},
}


@pytest.fixture
def mail(monkeypatch):
    with SmtpServer() as running:
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "interlock@example.com", "retry_limit": 1}
        conn = {"conn_type": "smtp", "host": "127.0.0.1", "port": running.port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_LOOPBACK_MAIL", json.dumps(conn))
        yield running


@pytest.fixture
def flow(tmp_path, open_ledger, monkeypatch):
    """A case whose reminder is due."""
    ledger = Ledger(open_ledger("sqlite").engine, "test", Clock())
    policy = POLICY.replace("release_after: 8h,", "release_after: 8h, ladder: {remind: 4h},")
    flow = Workflow(tmp_path, ledger, policy=policy, access=ACCESS + "contacts: {lea: lea@example.com}\n")
    flow.up_to("send_signed", rows("one"))
    ledger.clock.forward(hours=5)
    monkeypatch.setattr(LedgerHook, "get_conn", lambda hook: ledger)
    return flow


def test_a_reminder_arrives_by_mail_once(flow, mail):
    upkeep = UpkeepOperator(task_id="keep_up", notifiers=[SMTP])

    assert upkeep.execute({}) == {"remind": 1, "notices_sent": 1}
    assert upkeep.execute({}) == {}

    ((recipients, message),) = mail.messages
    assert (recipients, message["Subject"]) == (["lea@example.com"], "refunds: 1 case at gate leads")


def test_a_server_that_refuses_leaves_the_gate_open_and_the_notice_for_the_next_time(flow, mail):
    mail.refuses = True
    upkeep = UpkeepOperator(task_id="keep_up", notifiers=[SMTP])

    assert upkeep.execute({}) == {"remind": 1, "notices_failed": 1}
    [notice] = list_notices(flow.ledger)
    assert (notice.state, "550" in notice.error, flow.states()) == ("failed", True, {"R1": "waiting"})

    mail.refuses = False
    assert upkeep.execute({}) == {"notices_sent": 1}


def test_without_a_notifier_notices_wait(flow, mail):
    assert UpkeepOperator(task_id="keep_up", notifiers=[]).execute({}) == {"remind": 1}

    assert [row.state for row in list_notices(flow.ledger)] == ["waiting"]
    assert mail.messages == []
