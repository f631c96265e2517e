"""Stopping work and going back to an earlier version, as the API and the commands do it."""

from __future__ import annotations

import json
from argparse import Namespace
from types import SimpleNamespace

import pytest
from interlock.errors import SwitchedOff
from interlock.ledger.audit.verify import verify
from interlock.ledger.policy.version import changes_in_force, in_force
from interlock.ledger.store.schema import kill_switch
from workflows import NAME, POLICY, rows

pytestmark = pytest.mark.airflow


@pytest.fixture
def two_versions(workflow):
    workflow.write("policy.yaml", POLICY.replace("threshold: 0.8", "threshold: 0.6"))
    workflow.publish()
    return workflow


@pytest.fixture
def as_otto(client, monkeypatch):
    """Let the commands talk to the app as otto does, who may edit Dags; what is on the wire is the same."""
    otto = client("otto")

    def call(method: str, path: str, body=None):
        response = otto.request(method, f"/api{path}", json=body)
        assert response.status_code == 200, response.text
        return response.json()

    for module in ("policy", "switch"):
        monkeypatch.setattr(f"interlock.commands.{module}.call", call)
    return SimpleNamespace(call=call)


def test_a_rollback_is_the_persons_who_asked_and_in_force_at_once(two_versions, client):
    response = client("otto").post(f"/api/workflows/{NAME}/rollback", json={"reason": "it let too much go"})

    assert response.status_code == 200, response.text
    assert (response.json()["number"], response.json()["instead_of"], response.json()["set_by"]) == (
        1,
        2,
        "person:otto",
    )
    assert in_force(two_versions.ledger, NAME).number == 1
    assert changes_in_force(two_versions.ledger, NAME)[0].set_by == "person:otto"
    assert verify(two_versions.ledger).problems == []


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"reason": "x", "number": 7}, 404, "Known: '1', '2'"),
        ({"reason": "x", "number": 2}, 409, "in force already"),
        ({"reason": " "}, 409, "needs a reason"),
        ({}, 422, "reason"),
        ({"reason": "x", "person": "leo"}, 422, "person"),
    ],
)
def test_a_rollback_that_cannot_be_is_refused_with_the_reason(two_versions, client, body, status, reason):
    response = client("otto").post(f"/api/workflows/{NAME}/rollback", json=body)

    assert response.status_code == status
    assert reason in response.text
    assert in_force(two_versions.ledger, NAME).number == 2


def test_who_may_only_look_goes_back_to_nothing_and_throws_no_switch(two_versions, client):
    vera = client("vera")
    switch = {"kind": "workflow", "name": NAME, "off": True, "reason": "x"}

    assert vera.post(f"/api/workflows/{NAME}/rollback", json={"reason": "x"}).status_code == 403
    assert vera.post("/api/switches", json=switch).status_code == 403
    assert client(None).post("/api/switches", json=switch).status_code == 401
    assert vera.get("/api/switches").json() == {"switches": []}
    assert in_force(two_versions.ledger, NAME).number == 2
    assert two_versions.table(kill_switch) == []


def test_a_switch_that_a_person_throws_stops_the_next_task(workflow, client):
    workflow.up_to("send", rows("sure=0.95"))
    otto = client("otto")

    response = otto.post("/api/switches", json={"kind": "connector", "name": "payout", "off": True, "reason": "a leak"})

    assert (response.status_code, response.json()["off_by"]) == (200, "person:otto")
    with pytest.raises(SwitchedOff, match=r"by person:otto .*'a leak'"):
        workflow.execute()
    assert workflow.sent() == []
    assert [row["name"] for row in otto.get("/api/switches").json()["switches"]] == ["payout"]

    otto.post("/api/switches", json={"kind": "connector", "name": "payout", "off": False, "reason": "mended"})
    assert workflow.execute() == {"sent": 1}


def test_a_request_from_another_site_throws_nothing(workflow, client):
    response = client("otto").post(
        "/api/switches",
        json={"kind": "workflow", "name": NAME, "off": True, "reason": "x"},
        headers={"Sec-Fetch-Site": "cross-site"},
    )

    assert response.status_code == 403
    assert workflow.table(kill_switch) == []


def test_the_commands_of_a_switch_say_what_holds(workflow, as_otto, capsys):
    from interlock.commands import switch

    given = {"kind": "agent", "name": f"{NAME}/judge", "reason": "nonsense"}
    switch.off(Namespace(**given))
    switch.off(Namespace(**given))
    switch.list_(Namespace(all=False, json=False))
    switch.on(Namespace(**given))
    switch.list_(Namespace(all=False, json=False))
    switch.list_(Namespace(all=True, json=True))

    told = capsys.readouterr().out
    assert "agent refunds/judge is off in test, by person:otto." in told
    assert "is already off, by person:otto: nonsense" in told
    assert "agent  refunds/judge" in told
    assert "is on again in test, by person:otto" in told
    assert "Nothing is switched off" in told
    assert json.loads(told[told.index("[\n") :])[0]["on_reason"] == "nonsense"


def test_the_commands_of_versions_say_what_is_in_force_and_what_differs(two_versions, as_otto, capsys):
    from interlock.commands import policy

    policy.diff(Namespace(workflow=NAME, a=1, b=None, include=None))
    printed = capsys.readouterr().out
    assert printed.splitlines()[:2] == ["--- version 1: policy.yaml", "+++ include: policy.yaml"]
    assert "-threshold: 0.8\n+threshold: 0.6\n" in printed
    policy.diff(Namespace(workflow=NAME, a=None, b=None, include=None))
    assert "version 2 (in force) and include of refunds are the same" in capsys.readouterr().out

    policy.rollback(Namespace(workflow=NAME, to=None, reason="too much"))
    assert "version 1 of refunds is in force again in test instead of 2" in capsys.readouterr().out
    policy.history(Namespace(workflow=NAME, json=False))
    listed = capsys.readouterr().out
    assert "IN FORCE SINCE" in listed
    assert "version 1 was put in force again, replacing 2, by person:otto: too much" in listed
    policy.history(Namespace(workflow=NAME, json=True))
    output = json.loads(capsys.readouterr().out)
    assert [(row["number"], row["in_force_since"] is not None) for row in output["versions"]] == [(2, False), (1, True)]


def test_the_command_of_a_replay_prints_its_page_and_its_json(workflow, as_otto, capsys):
    from interlock.commands import replay

    workflow.up_to("send", rows("sure=0.95", "sure=0.7 surer=0.7", "nothing"))
    workflow.write("policy.yaml", POLICY.replace("threshold: 0.8", "threshold: 0.6"))
    asked = {"workflow": NAME, "last": 100, "include": None, "version": None, "dag": None, "minutes": 30.0}

    replay.replay(Namespace(**asked, json=False))
    told = capsys.readouterr().out
    assert "5 decisions, 4 replayed, 1 would change" in told
    assert "fallback      auto" in told
    assert "2 of 3 cases before (66.7%, 1.0 h), 1 after (33.3%, 0.5 h), 30 minutes each" in told
    assert "1 cases become automatic: 0.30 expected errors" in told
    replay.replay(Namespace(**asked | {"version": 1}, json=True))
    output = json.loads(capsys.readouterr().out)
    assert (output["proposal"], output["replayed"], output["flipped"]) == ("version 1", 5, 0)
    with pytest.raises(SystemExit, match="not both"):
        replay.replay(Namespace(**asked | {"version": 1, "include": "x"}, json=True))
