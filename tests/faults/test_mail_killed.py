"""
``kill -9`` of a task that sends mail, before and after the server took a message, under a real LocalExecutor.

A mail server cannot be asked what it has taken, so the message of which that is not known is not sent again by itself:
it waits for a person's word. Every other one is sent once.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
from faults.bench import Bench, settled
from faults.refund_desk import inbox, write_workflow
from faults.sabotage import Kill, marks
from servers.smtp_server import SmtpServer

pytestmark = pytest.mark.live

NAME, RUN, TASK = "mailed", "killed", "send_signed"
ECOSYSTEM = """
connectors:
  payout: {kind: outbox, conn_id: payout, undo: withdraw}
  letters: {kind: mail, conn_id: mail_server, timeout_seconds: 1.0}
"""
KILLS = [
    Kill("before commit", 1, "effect"),  # nothing is claimed
    Kill("after send", 2),  # the server has the second, and nobody noted it
    Kill("before send", 1),  # the third is claimed and not handed over
]
SABOTAGE = f"""
from datetime import timedelta
from faults.sabotage import Kill, sabotage

DAG.get_task("{TASK}").retries = {len(KILLS)}
sabotage(DAG, {{"{TASK}": {KILLS!r}}})
"""
KEYS = ["M1", "M2", "M3", "M4", "M5"]


@pytest.fixture(scope="module")
def server():
    with SmtpServer() as running:
        yield running


def sent(server: SmtpServer) -> Counter[str]:
    """Return how many messages about each case the server took."""
    return Counter(str(message["X-Interlock-Case"]) for _, message in server.messages)


def seen(bench: Bench, server: SmtpServer) -> dict[str, Any]:
    """Return where each case and its effect stand, and what the server has."""
    keys = {row["id"]: key for key, row in bench.cases(NAME).items()}
    return {
        "states": bench.states(NAME),
        "reasons": {key: row["reason"] for key, row in bench.cases(NAME).items()},
        "effects": {keys[row["case_id"]]: row["state"] for row in bench.effects(NAME)},
        "sent": sent(server),
    }


def command(bench: Bench, *arguments: str) -> str:
    """Run a command as the administrator."""
    environment = {"INTERLOCK_TOKEN": bench.airflow.token("admin"), "INTERLOCK_URL": bench.airflow.url}
    return bench.airflow.run(arguments[0], "airflow", "interlock", *arguments, environment=environment)


@pytest.fixture(scope="module")
def killed(bench, server):
    """What there was at the end of a run whose signed letters met the kills."""
    connection = {
        "connection_id": "mail_server",
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": server.port,
        "extra": json.dumps({"from_email": "i@example.com", "disable_ssl": True, "disable_tls": True}),
    }
    bench.airflow.client.call("POST", "/api/v2/connections", connection)
    rows = [f"{key},sure=0.95,10,private" for key in KEYS]
    write_workflow(bench, NAME, publish=False, inbox=inbox(*rows), ecosystem=ECOSYSTEM, more=SABOTAGE)
    policy, dag = bench.include / NAME / "policy.yaml", bench.project / "dags" / f"{NAME}.py"
    automatic, signed = "{payout: automatic}", f'task_id="{TASK}", connector="payout"'
    assert automatic in policy.read_text()
    assert signed in dag.read_text()
    policy.write_text(policy.read_text().replace(automatic, "{payout: automatic, letters: with_approval}"))
    bench.publish(NAME)
    dag.write_text(dag.read_text().replace(signed, signed.replace("payout", "letters")))
    bench.airflow.trigger(NAME, run_id=RUN)
    settled(bench.airflow, NAME, RUN, "sign_off")
    bench.airflow.answer_gate(NAME, RUN, "sign_off", "Approve", person="lea")
    state = bench.airflow.wait_for_run(NAME, RUN)
    in_order = sorted(KEYS, key=lambda key: bench.cases(NAME)[key]["id"])
    first, taken, not_sent, *rest = in_order
    return {"run": state, "taken": taken, "not sent": not_sent, "others": [first, *rest], **seen(bench, server)}


@pytest.fixture(scope="module")
def settled_by_people(bench, killed, server):
    """What there was after people had said what came of both, and what was not sent had been put back to work."""
    taken, not_sent = killed["taken"], killed["not sent"]
    command(bench, "cases", "reconcile", taken, "--took-place", "yes", "--reason", "Ann has it")
    command(bench, "cases", "reconcile", not_sent, "--took-place", "no", "--reason", "Ann has nothing")
    command(bench, "cases", "resubmit", not_sent)
    run = re.search(r"run (\S+) resumes", command(bench, "resume", NAME))
    assert run
    return {"run": bench.airflow.wait_for_run(NAME, run[1]), **seen(bench, server)}


def test_every_kill_took_place_and_the_run_succeeded(bench, killed):
    assert [mark["at"] for mark in marks(bench.airflow.home, RUN, TASK, "killed")] == [kill.at for kill in KILLS]
    assert bench.tries(NAME, RUN, TASK) == len(KILLS) + 1
    assert killed["run"] == "success"


def test_nobody_got_anything_twice(killed):
    assert killed["sent"] == dict.fromkeys([*killed["others"], killed["taken"]], 1)


def test_what_no_process_was_about_to_hand_over_is_sent_once_by_the_retries(killed):
    for key in killed["others"]:
        assert (killed["states"][key], killed["effects"][key]) == ("executed", "committed")


def test_what_may_have_been_taken_waits_for_a_person(killed):
    for key in (killed["taken"], killed["not sent"]):
        assert (killed["states"][key], killed["effects"][key]) == ("dead", "intended")
        assert killed["reasons"][key].startswith("EffectInDoubt")
        assert "cases reconcile" in killed["reasons"][key]


def test_a_person_s_word_settles_both_and_what_was_not_sent_is_sent_once(settled_by_people):
    assert settled_by_people["run"] == "success"
    assert settled_by_people["states"] == dict.fromkeys(KEYS, "executed")
    assert settled_by_people["effects"] == dict.fromkeys(KEYS, "committed")
    assert settled_by_people["sent"] == dict.fromkeys(KEYS, 1)


def test_the_ledger_is_sound(bench, settled_by_people):
    assert not bench.problems()
