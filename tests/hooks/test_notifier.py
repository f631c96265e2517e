"""Notices by Airflow's own notifier for mail, at a real server of mail on loopback."""

from __future__ import annotations

import json

import pytest
from interlock.errors import ConfigurationError
from interlock.hooks.notifier import sender
from interlock.ledger.store.record import Notice
from servers.smtp_server import SmtpServer

pytestmark = pytest.mark.airflow

SMTP = {
    "notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
    "kwargs": {"to": "{to}", "subject": "{subject}", "html_content": "{body}", "smtp_conn_id": "loopback_mail"},
}
NOTICE = Notice.from_values(
    {"subject": "refunds: 2 cases at gate leads", "body": "2 cases {{ wait }} and {to} stays", "recipients": ["lea"]}
)


@pytest.fixture
def mail(monkeypatch):
    with SmtpServer() as running:
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "interlock@example.com", "retry_limit": 1}
        conn = {"conn_type": "smtp", "host": "127.0.0.1", "port": running.port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_LOOPBACK_MAIL", json.dumps(conn))
        yield running


def test_a_notice_arrives_as_mail_with_its_text_untouched(mail):
    sender([SMTP], {})(NOTICE, ["lea@example.com", "leo@example.com"])

    ((recipients, message),) = mail.messages
    assert recipients == ["lea@example.com", "leo@example.com"]
    assert message["Subject"] == NOTICE.subject
    (part,) = [part for part in message.walk() if part.get_content_type() == "text/html"]
    assert "2 cases {{ wait }} and" in part.get_content()


def test_a_server_that_refuses_is_an_error_that_is_not_swallowed(mail):
    mail.refuses = True

    with pytest.raises(Exception, match="550"):
        sender([SMTP], {})(NOTICE, ["lea@example.com"])

    assert mail.messages == []


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"notifier": "airflow.providers.smtp.nowhere.Notifier"}, "there is no notifier"),
        ({"notifier": "nonsense"}, "there is no notifier"),
        ({"notifier": SMTP["notifier"], "to": "x"}, "not 'to'"),
    ],
)
def test_a_notifier_that_is_not_there_is_told(wanted, told):
    with pytest.raises(ConfigurationError, match=told):
        sender([wanted], {})
