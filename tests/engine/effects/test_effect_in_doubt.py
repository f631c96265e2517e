"""An effect that nobody can look for: never repeated by itself, until a person has said what came of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from interlock.connectors.mail import MailServer
from interlock.domain.approvals.access import Identity
from interlock.domain.effects.connector import ConnectionFields, MailConnector
from interlock.engine.approvals import review_action
from interlock.engine.approvals.resubmission import resubmit
from interlock.engine.cases.intake import take_up
from interlock.engine.effects.manual_reconciliation import reconcile
from interlock.errors import ConnectorUnavailable, InputError
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.schema import effect
from reviews import a_finding, finding_rows, measured, review_workflow
from servers.smtp_server import SmtpServer

LEA = Identity("lea", "lea", ("user",))


@pytest.fixture
def server():
    with SmtpServer() as running:
        yield running


@pytest.fixture
def signed(tmp_path, sqlite_ledger):
    """A review that is signed off and ready to be sent."""
    flow = review_workflow(tmp_path, sqlite_ledger)
    flow.up_to("report", finding_rows(a_finding(measured())))
    seen = review_action.see(sqlite_ledger, "R1")
    review_action.vote(sqlite_ledger, "R1", person=LEA, answer="approve", seen_digest=seen["digest"])
    assert flow.states() == {"R1": "authorised"}
    return flow


def send(flow: Any, server: SmtpServer, *, run: str = "r1") -> dict[str, int]:
    connection = ConnectionFields(
        conn_id="payout",
        host="127.0.0.1",
        port=server.port,
        extra={"from_email": "i@example.com", "disable_ssl": True, "disable_tls": True},
    )
    declared = MailConnector(kind="mail", conn_id="payout", timeout_seconds=1.0)
    return flow.execute("send_signed", connector=MailServer("payout", declared, connection), run=run)


def effects(flow: Any) -> list[str]:
    return [row["state"] for row in flow.table(effect)]


def resumed(flow: Any, server: SmtpServer, run: str) -> dict[str, int]:
    """Resubmit the case and let a resume run take it up, as far as the sending."""
    resubmit(flow.ledger, "R1", person="lea", changes={}, include=flow.include)
    take_up(flow.session("intake", run=run, is_resume=True))
    return send(flow, server, run=run)


def test_a_mail_goes_out_once_to_the_owner(signed, server):
    assert send(signed, server)["sent"] == 1
    assert [to for to, _ in server.messages] == [["ann@example.com"]]
    assert signed.states() == {"R1": "executed"}


def test_a_lost_answer_is_never_repeated_by_itself(signed, server):
    server.loses_answer = True
    send(signed, server)

    assert signed.states() == {"R1": "dead"}
    assert "cases reconcile" in signed.cases()["R1"]["reason"]
    assert effects(signed) == ["intended"]
    server.loses_answer = False
    resumed(signed, server, "r2")
    assert len(server.messages) == 1
    assert signed.states() == {"R1": "dead"}
    assert effects(signed) == ["intended"]


def test_a_person_s_word_that_it_took_place_ends_the_matter(signed, server):
    server.loses_answer = True
    send(signed, server)
    with pytest.raises(InputError, match="say how you know"):
        reconcile(signed.ledger, "R1", person="lea", took_place=True, reason=" ")

    said = reconcile(signed.ledger, "R1", person="lea", took_place=True, reason="Ann has it")

    assert said["state"] == "executed"
    assert effects(signed) == ["committed"]
    assert verify(signed.ledger).is_sound
    with pytest.raises(InputError, match="no effect of it is in doubt"):
        reconcile(signed.ledger, "R1", person="lea", took_place=False, reason="oh")


def test_after_a_no_it_is_sent_again_once(signed, server):
    server.loses_answer = True
    send(signed, server)
    reconcile(signed.ledger, "R1", person="lea", took_place=False, reason="Ann has nothing")
    server.loses_answer = False

    resumed(signed, server, "r2")

    assert len(server.messages) == 2
    assert len({message["Message-ID"] for _, message in server.messages}) == 1
    assert signed.states() == {"R1": "executed"}
    assert effects(signed) == ["committed"]


def test_what_was_surely_not_sent_is_sent_by_a_retry_without_a_look(signed, server):
    server.says_later = True
    with pytest.raises(ConnectorUnavailable):
        send(signed, server)
    assert effects(signed) == ["unsent"]
    server.says_later = False

    send(signed, server)

    assert len(server.messages) == 1
    assert effects(signed) == ["committed"]


def test_a_process_that_died_while_it_sent_leaves_it_in_doubt(signed, server, monkeypatch):
    """The claim is there, and nobody knows how far the sending came."""

    def dies(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(MailServer, "send", dies)
    with pytest.raises(KeyboardInterrupt):
        send(signed, server)
    monkeypatch.undo()

    now = signed.ledger.clock()
    object.__setattr__(signed.ledger, "clock", lambda: now + timedelta(minutes=5))
    send(signed, server)

    assert server.messages == []
    assert signed.states() == {"R1": "dead"}
    assert "EffectInDoubt" in signed.cases()["R1"]["reason"]
