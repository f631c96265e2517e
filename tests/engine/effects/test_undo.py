"""Undoing what was sent: once, on record, and never so that it goes out again by itself."""

from __future__ import annotations

import threading

import pytest
from interlock.connectors.http import HttpTarget
from interlock.connectors.outbox import Outbox
from interlock.domain.effects.connector import ConnectionFields
from interlock.engine.effects.undo import undo
from interlock.errors import ConnectorUnavailable, EffectRefused, InputError, NotAuthorised
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.schema import authorisation, effect
from servers.effect_target import EffectTarget
from sqlalchemy import select
from workflows import ACCESS, ECOSYSTEM, Workflow, rows

HTTP = """
connectors:
  payout: {kind: http, conn_id: payout, path: /effects, look_path: "/effects/{key}", undo_path: "/effects/{key}",
           timeout_seconds: 1.0}
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request, open_ledger):
    return open_ledger(request.param)


@pytest.fixture
def target():
    with EffectTarget() as running:
        yield running


def to_folder(flow: Workflow):
    return lambda name, declared: Outbox(name, declared, flow.outbox_folder)


def to_server(target: EffectTarget):
    fields = ConnectionFields(conn_id="payout", host=target.base_url)
    return lambda name, declared: HttpTarget(name, declared, fields)


def sent_to(target: EffectTarget, tmp_path, ledger) -> Workflow:
    flow = Workflow(tmp_path, ledger, ecosystem=HTTP)
    flow.up_to("send", rows("sure=0.95"))
    with flow.session("send").read():
        declared = flow.session("send").company.connectors["payout"]
    flow.execute(connector=to_server(target)("payout", declared))
    assert len(target.stored) == 1
    return flow


def effects(flow: Workflow) -> list[str]:
    with flow.ledger.read() as connection:
        return list(connection.execute(select(effect.c.state)).scalars())


def test_a_file_in_the_outbox_is_withdrawn_and_the_case_is_a_dead_letter(tmp_path, ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("sign_off", rows("sure=0.95"))
    assert len(flow.sent()) == 1

    said = undo(ledger, "R1", person="otto", reason="wrong customer", open_connector=to_folder(flow))

    assert (said["effect"], said["state"]) == ("undone", "dead")
    assert flow.sent() == []
    (row,) = flow.cases().values()
    assert row["reason"] == "undone by otto: wrong customer"
    with ledger.read() as connection:
        granted = connection.execute(select(authorisation)).mappings().all()
    assert [grant["withdrawn_by"] for grant in granted] == ["person:otto"]
    assert verify(ledger).problems == []


def test_an_effect_is_undone_once(tmp_path, ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("sign_off", rows("sure=0.95"))
    undo(ledger, "R1", person="otto", reason="wrong", open_connector=to_folder(flow))

    with pytest.raises(InputError, match="no effect of it to undo"):
        undo(ledger, "R1", person="otto", reason="again", open_connector=to_folder(flow))


def test_a_file_that_was_collected_stands(tmp_path, ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("sign_off", rows("sure=0.95"))
    flow.sent()[0].unlink()

    with pytest.raises(EffectRefused, match="collected"):
        undo(ledger, "R1", person="otto", reason="wrong", open_connector=to_folder(flow))

    assert (effects(flow), flow.states()) == (["committed"], {"R1": "executed"})


def test_what_has_no_way_back_stands(tmp_path, ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("sign_off", rows("sure=0.95"))
    flow.write("../company/ecosystem.yaml", ECOSYSTEM.replace(", undo: withdraw", ""))
    flow.publish()

    with pytest.raises(EffectRefused, match="does not say how an effect is undone"):
        undo(ledger, "R1", person="otto", reason="wrong", open_connector=to_folder(flow))

    assert (effects(flow), len(flow.sent())) == (["committed"], 1)


def test_a_connection_of_another_environment_undoes_nothing(tmp_path, ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("sign_off", rows("sure=0.95"))
    elsewhere = ACCESS.replace("payout: {environments: [test]}", "payout: {environments: [production]}")
    flow.write("../company/access.yaml", elsewhere)
    flow.publish()

    with pytest.raises(NotAuthorised, match="it is for production"):
        undo(ledger, "R1", person="otto", reason="wrong", open_connector=to_folder(flow))

    assert (effects(flow), len(flow.sent())) == (["committed"], 1)


def test_what_was_not_sent_and_what_has_no_reason_is_refused(tmp_path, ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("send", rows("sure=0.95"))

    with pytest.raises(InputError, match="'authorised': there is no effect"):
        undo(ledger, "R1", person="otto", reason="wrong", open_connector=to_folder(flow))
    with pytest.raises(InputError, match="needs a reason"):
        undo(ledger, "R1", person="otto", reason=" ", open_connector=to_folder(flow))


def test_another_system_is_asked_to_undo_it(tmp_path, ledger, target):
    sent_to(target, tmp_path, ledger)

    said = undo(ledger, "R1", person="otto", reason="wrong", open_connector=to_server(target))

    assert (said["effect"], target.stored, len(target.undone)) == ("undone", [], 1)


def test_a_refusal_of_the_other_system_leaves_the_effect_as_it_is(tmp_path, ledger, target):
    flow = sent_to(target, tmp_path, ledger)
    target.on_undo = (422, "reply")

    with pytest.raises(EffectRefused, match="HTTP 422"):
        undo(ledger, "R1", person="otto", reason="wrong", open_connector=to_server(target))

    assert (effects(flow), flow.states(), len(target.stored)) == (["committed"], {"R1": "executed"}, 1)


def test_an_answer_that_was_lost_is_looked_for_and_not_asked_again(tmp_path, ledger, target):
    flow = sent_to(target, tmp_path, ledger)
    target.on_undo = (200, "lose")

    with pytest.raises(ConnectorUnavailable):
        undo(ledger, "R1", person="otto", reason="wrong", open_connector=to_server(target))
    assert (effects(flow), flow.states()) == (["undoing"], {"R1": "executed"})
    said = undo(ledger, "R1", person="otto", reason="wrong", open_connector=to_server(target))

    assert (said["effect"], flow.states(), len(target.undone)) == ("undone", {"R1": "dead"}, 1)


def test_of_two_at_once_one_undoes_and_the_other_is_told(tmp_path, ledger, target):
    sent_to(target, tmp_path, ledger)
    inside, go_on = threading.Event(), threading.Event()
    came: list[str] = []

    def slow(name, declared):
        inside.set()
        go_on.wait(20)
        return to_server(target)(name, declared)

    def first() -> None:
        came.append(undo(ledger, "R1", person="otto", reason="wrong", open_connector=slow)["effect"])

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(20)
    with pytest.raises(InputError, match="person:otto undoes the effect of 'R1' at this moment"):
        undo(ledger, "R1", person="cleo", reason="wrong", open_connector=to_server(target))
    go_on.set()
    thread.join()

    assert (came, len(target.undone)) == (["undone"], 1)


def test_a_case_that_was_undone_is_decided_anew_before_it_is_sent_again(tmp_path, ledger):
    from interlock.engine.approvals.resubmission import resubmit
    from interlock.engine.cases.intake import take_up

    flow = Workflow(tmp_path, ledger)
    flow.up_to("sign_off", rows("sure=0.95"))
    undo(ledger, "R1", person="otto", reason="wrong amount", open_connector=to_folder(flow))
    resubmit(ledger, "R1", person="otto", changes={"amount": 7.0}, include=flow.include)
    assert flow.states() == {"R1": "open"}

    take_up(flow.session("intake", run="r2", is_resume=True))
    for step in (flow.role, flow.branch):
        step("judge" if step == flow.role else "route", run="r2")
    flow.role("draft", run="r2")
    flow.validate(run="r2")
    assert flow.execute(run="r2") == {"sent": 1}

    assert len(flow.sent()) == 1
    assert effects(flow).count("undone") == 1
