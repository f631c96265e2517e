"""Mail over a real SMTP server on loopback: what was surely not sent, what was, and what nobody can tell."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from interlock.connectors.load import open_connector
from interlock.connectors.mail import MailServer
from interlock.domain.effects.connector import ConnectionFields, EffectRequest, MailConnector, parse_ecosystem
from interlock.errors import ConfigurationError, ConnectorUnavailable, EffectInDoubt, EffectRefused
from reviews import WEEK, a_finding, measured, written
from servers.smtp_server import SmtpServer

PEOPLE = {"owner": "nadia@example.com", "maintainer": "sam@example.com", "approver": "alice@example.com"}
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def server():
    with SmtpServer() as running:
        yield running


def fields(port: int, **extra: Any) -> ConnectionFields:
    given = {"from_email": "interlock@example.com", "disable_ssl": True, "disable_tls": True} | extra
    return ConnectionFields(conn_id="smtp", host="127.0.0.1", port=port, extra=given)


def a_mail(server: SmtpServer, *, to: tuple[str, ...] = ("owner", "approver"), **more: Any) -> MailServer:
    declared = MailConnector(kind="mail", conn_id="smtp", to=to, **more)
    return MailServer("mail", declared, fields(server.port), now=lambda: NOON)


def an_effect(**payload: Any) -> EffectRequest:
    case = a_finding(measured(), series={"spend": [("2014-06-02", 1.0), ("2014-06-09", 2.0), (WEEK, 3.0)]})
    return EffectRequest(
        key="k" * 64,
        business_key="2014-06-16/review",
        action="mail",
        payload=payload or written(case).model_dump(mode="json"),
        environment="test",
        case=case,
        people=PEOPLE,
    )


def test_a_review_is_sent_rendered_to_the_people_of_the_workflow(server):
    receipt = a_mail(server, console_url="https://airflow.example.com/interlock").send(an_effect())

    [(recipients, message)] = server.messages
    assert recipients == ["nadia@example.com", "alice@example.com"]
    assert message["Subject"] == "Purchasing review, week of 2014-06-16"
    assert message["Message-ID"] == f"<{'k' * 64}@example.com>" == receipt.reference
    assert message["Auto-Submitted"] == "auto-generated"
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert "Spend stood at [1,672.25 USD][1]" in plain.get_content()
    assert "https://airflow.example.com/interlock/fact/" in html.get_content()
    pictures = [part for part in message.walk() if part.get_content_type() == "image/png"]
    assert {f"cid:{part['Content-ID'].strip('<>')}" for part in pictures} == set(
        re.findall(r'src="([^"]+)"', html.get_content())
    )
    assert len(pictures) == 2
    [attached] = list(message.iter_attachments())
    assert attached.get_filename() == "2014-06-16-review.html"
    assert "<svg" in attached.get_content()


def test_what_is_no_review_is_sent_as_its_fields(server):
    a_mail(server, to=("desk@example.com",)).send(an_effect(subject="Hello\nBcc: x@example.com", amount=3))

    [(recipients, message)] = server.messages
    assert recipients == ["desk@example.com"]
    assert message["Subject"] == "Hello Bcc: x@example.com"
    assert message["Bcc"] is None
    assert "amount: 3" in message.get_content()


def test_a_line_that_begins_with_a_dot_arrives_as_it_is(server):
    a_mail(server).send(an_effect(text="first\n.\n..second\nlast"))
    [(_, message)] = server.messages
    assert message.get_content().splitlines() == ["first", ".", "..second", "last"]


@pytest.mark.parametrize("way", ["loses_answer", "hangs"])
def test_a_lost_answer_leaves_it_in_doubt_and_a_look_cannot_tell_either(server, way):
    setattr(server, way, True)
    mail = a_mail(server, timeout_seconds=0.5)
    begun = time.monotonic()

    with pytest.raises(EffectInDoubt, match="handed over"):
        mail.send(an_effect())
    with pytest.raises(EffectInDoubt, match="cannot be asked"):
        mail.look(an_effect())

    assert len(server.messages) == 1
    assert time.monotonic() - begun < 5


def test_what_fails_before_the_message_is_handed_over_was_surely_not_sent(server):
    server.says_later = True
    with pytest.raises(ConnectorUnavailable, match=r"451.*nothing was sent") as told:
        a_mail(server).send(an_effect())
    assert told.value.surely_not

    gone = MailServer("mail", MailConnector(kind="mail", conn_id="smtp"), fields(1))
    with pytest.raises(ConnectorUnavailable, match="did not answer") as told:
        gone.send(an_effect())
    assert told.value.surely_not
    assert server.messages == []


def test_a_recipient_that_is_refused_stops_the_whole_message(server):
    server.refuses = True
    with pytest.raises(EffectRefused, match="a recipient"):
        a_mail(server).send(an_effect())
    assert server.messages == []


def test_mail_cannot_be_called_back(server):
    assert not MailConnector(kind="mail", conn_id="smtp").can_be_undone
    with pytest.raises(EffectRefused, match="called back"):
        a_mail(server).undo(an_effect())


def test_what_cannot_work_is_said_at_once(server):
    with pytest.raises(ConfigurationError, match="from_email"):
        MailServer("mail", MailConnector(kind="mail", conn_id="smtp"), fields(1, from_email=""))
    with pytest.raises(ConfigurationError, match="'boss' is neither an address nor one of owner"):
        parse_ecosystem({"connectors": {"mail": {"kind": "mail", "conn_id": "smtp", "to": ["boss"]}}})
    with pytest.raises(ConfigurationError, match="disable_tls"):  # the server offers no STARTTLS
        MailServer("m", MailConnector(kind="mail", conn_id="smtp"), fields(server.port, disable_tls=False)).send(
            an_effect()
        )
    declared = MailConnector(kind="mail", conn_id="smtp")
    assert open_connector("mail", declared, fields(server.port)).kind == "mail"
