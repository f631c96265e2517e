"""
All failure modes on a loopback server at once, and ``kill -9`` at random: every case is accounted for, and every cent.

A tenth of the model's calls each hangs, drips, is malformed, refused, rate limited, broken, cut off or twice as long as
allowed; cases are stale, end their process, use up budgets; the payouts' system errs, a person switches the agent off
in the middle, and processes of tasks are killed. The seed is printed; ``INTERLOCK_STORM_SEED`` repeats one. The long
form has five storms, each with more kills.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from faults.bench import Bench, wait_for
from faults.storm import MAX_TOKENS, NAME, PRICE_IN, PRICE_OUT, TIMEOUT, Killer, Weather, bad_target, write_project
from form import by_form, is_long
from interlock.domain.cases.wiring import Wiring
from interlock.domain.cost.price import to_nano
from interlock.domain.data.source import SourceRow
from interlock.engine.approvals.resubmission import resubmit
from interlock.engine.cases.intake import take_in_rows
from interlock.engine.reports.run_report import report_run
from interlock.engine.runs.kill_switch import throw
from interlock.engine.runs.session import open_session
from interlock.ledger.reports.summary import unplaced
from interlock.ledger.runs.run import find_run
from interlock.ledger.store.schema import budget_account, incident, notice, reservation, usage, workflow_run
from servers.effect_target import EffectTarget
from servers.openai_like import OpenAILike

pytestmark = pytest.mark.live

CASES, STALE, BOOM = 120, 4, 3
KILLS = by_form({"judge": 3, "draft": 1, "send": 1}, {"judge": 5, "draft": 2, "send": 2})
RESTING = {"executed", "waiting", "dead"}
UNWRITTEN = TIMEOUT + 4.0
"""Seconds before a kill from which an answer may not be written yet: a call's time, a second's answers, a full disk."""


@dataclass
class Storm:
    """What came of it."""

    bench: Bench
    weather: Weather
    target: EffectTarget
    broken_off: list[float]
    """When processes were killed and the agent was switched off, in seconds since the epoch."""
    runs: list[str]

    def calls_of(self, task: str = "judge") -> list[dict]:
        """Return the ledger's calls of the model."""
        ours = {row["id"] for row in self.bench.rows(workflow_run) if row["workflow"] == NAME}
        return [row for row in self.bench.rows(usage) if row["run_id"] in ours and row["task"] == task]

    def incidents(self) -> list[dict]:
        """Return the workflow's incidents in order."""
        rows = [row for row in self.bench.rows(incident) if row["workflow"] == NAME]
        return sorted(rows, key=lambda row: row["opened_at"])

    def may_be_unwritten(self, at: float) -> bool:
        """Tell whether what the server answered then was in flight, or not written yet, when work was broken off."""
        return any(0 <= end - at <= UNWRITTEN for end in self.broken_off)


@pytest.fixture(scope="module", params=range(by_form(1, 5)))
def seed(request):
    given = os.environ.get("INTERLOCK_STORM_SEED")
    number = int(given) + request.param if given else random.SystemRandom().randrange(10_000)
    print(f"INTERLOCK_STORM_SEED={number}")
    return number


@pytest.fixture(scope="module")
def storm(request, seed, bench_of_its_own):
    """The storm, at its end: in the Airflow of the others, or each of several in one of its own."""
    with bench_of_its_own() if is_long() else nullcontext() as alone:
        yield from a_storm(alone or request.getfixturevalue("bench"), seed)


def a_storm(bench, seed):
    """Yield what came of a storm."""
    weather = Weather(seed)
    with OpenAILike() as model, EffectTarget(on_repeat="store") as target:
        model.choose = weather.choose
        target.script(*bad_target(seed, 60))
        connect(bench, model.base_url, target.base_url)
        rows = [f"S{number:03},a refund,10,standard" for number in range(CASES)]
        rows += [f"B{number},boom,10,standard" for number in range(BOOM)]
        random.Random(seed).shuffle(rows)
        write_project(bench, inbox=rows, calm=[f"C{number},a refund,10,standard" for number in range(8)])
        take_in_old_cases(bench)
        killer = Killer(bench.airflow.home, weather, KILLS)
        killer.start()
        broken_off, runs = [], []
        runs.append(bench.airflow.trigger(NAME, run_id="storm-1"))
        wait_for("two kills", lambda: len(killer.killed) >= 2)
        asked = len(weather.calls)
        wait_for("calls of the next process", lambda: len(weather.calls) > asked)
        throw(bench.ledger, kind="agent", name=f"{NAME}/judge", off=True, person="cleo", reason="it raves")
        wait_for("the switch to be met", lambda: bench.airflow.task_states(NAME, "storm-1")["judge"] == "failed")
        broken_off.append(switched_off_at(bench))
        throw(bench.ledger, kind="agent", name=f"{NAME}/judge", off=False, person="cleo", reason="it is calm")
        bench.airflow.wait_for_run(NAME, "storm-1")
        for number in range(2, 5):
            runs.append(resume(bench, f"storm-{number}"))
            if bench.airflow.wait_for_run(NAME, runs[-1]) == "success" and not left(bench):
                break
        killer.stop()
        weather.is_calm = True
        target.behave()
        runs.append(bench.airflow.trigger(NAME, {"source": f"include/{NAME}/data/calm.csv"}, run_id="calm"))
        assert bench.airflow.wait_for_run(NAME, "calm") == "success"
        yield Storm(bench, weather, target, broken_off + [at for _, at in killer.killed], runs)


def connect(bench, model: str, target: str) -> None:
    """Let Airflow know both services."""
    for connection in (
        {"connection_id": "storm_model", "conn_type": "pydanticai", "host": model, "password": "none"},
        {"connection_id": "storm_target", "conn_type": "http", "host": target},
    ):
        bench.airflow.client.call("POST", "/api/v2/connections", connection)


def take_in_old_cases(bench) -> None:
    """Take in, some days ago, rows that do not fit their contract; and let a person correct them now."""
    import importlib.util

    from interlock.operators.runtime import wiring_of

    spec = importlib.util.spec_from_file_location("storm_dag", bench.project / "dags" / f"{NAME}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    wiring: Wiring = wiring_of(module.DAG)
    sessions = [
        open_session(
            bench.ledger, workflow=NAME, dag_id=NAME, run_id="old", task_id=task, wiring=wiring, include=bench.include
        )
        for task in ("intake", "report")
    ]
    then = bench.ledger.clock() - timedelta(days=3)
    sessions[0].ledger = replace(bench.ledger, clock=lambda: then)
    given = [SourceRow(number=n, values={"refund_id": f"OLD{n}", "text": "", "tier": "standard"}) for n in range(STALE)]
    take_in_rows(sessions[0], given, contract=module.Refund, source="old.csv")
    report_run(sessions[1])
    for number in range(STALE):
        resubmit(bench.ledger, f"OLD{number}", person="lea", changes={"text": "a refund"}, include=bench.include)


def resume(bench, run_id: str) -> str:
    """Start a run that takes up what waits in the ledger."""
    return bench.airflow.trigger(NAME, {"interlock_resume": True}, run_id=run_id)


def left(bench) -> list[str]:
    """Return the cases that a further run would take up."""
    return [
        key
        for key, row in bench.cases(NAME).items()
        if row["state"] not in RESTING or (row["state"] == "waiting" and row["wait_for"])
    ]


def switched_off_at(bench) -> float:
    """Return when the task ended that met the switch."""
    states = bench.airflow.task_instances(NAME, "storm-1")
    ended = next(task["end_date"] for task in states if task["task_id"] == "judge")
    return datetime.fromisoformat(ended).timestamp()


def test_all_of_it_took_place(storm):
    kinds, total = storm.weather.kinds(), len(storm.weather.calls)

    assert set(kinds) == {"good", *Weather.KINDS}
    assert all(0.02 < kinds[kind] / total < 0.25 for kind in Weather.KINDS), kinds
    assert len(storm.broken_off) >= 4
    opened = {row["kind"] for row in storm.incidents()}
    assert opened >= {
        *("MalformedOutput", "AgentRefused", "Overrun", "StaleContext", "BudgetExhausted", "SwitchedOff"),
        *("AgentCrashed", "AgentTimeout", "ConnectorUnavailable", "EffectRefused"),
    }


def test_every_case_is_in_exactly_one_place_and_accounted_for(storm):
    cases = storm.bench.cases(NAME)

    assert len(cases) == CASES + BOOM + STALE + 8
    assert {row["state"] for row in cases.values()} <= RESTING
    assert left(storm.bench) == []
    for name in storm.runs:
        with storm.bench.ledger.read() as connection:
            assert not unplaced(connection, find_run(storm.bench.ledger, NAME, name))
    assert all(row["reason"] for row in cases.values() if row["state"] == "dead")
    booms = {key: row["reason"] for key, row in cases.items() if key.startswith("B") and row["state"] == "dead"}
    assert any(reason.startswith("AgentCrashed at draft: ") for reason in booms.values())
    assert not any(row["state"] == "executed" for key, row in cases.items() if key.startswith("B"))
    refused = [row for row in cases.values() if "AgentRefused at judge: " in (row["reason"] or "")]
    assert {row["state"] for row in refused} == {"waiting"}, "people take over what the agent would not do"
    stale = [row for key, row in cases.items() if key.startswith("OLD")]
    assert {row["state"] for row in stale} == {"waiting"}
    assert all("StaleContext at judge: " in row["reason"] for row in stale), stale


def test_no_answer_is_paid_twice_but_what_was_in_flight(storm):
    for key, calls in storm.weather.by_case().items():
        answered = [call.at for call in calls if call.is_answered]
        if len(answered) > 1:
            lost = answered[:-1]
            assert all(storm.may_be_unwritten(at) for at in lost), (key, answered, storm.broken_off)


def test_each_call_that_the_server_saw_is_in_the_ledger_or_was_lost_to_a_kill(storm):
    keys = {row["id"]: key for key, row in storm.bench.cases(NAME).items()}
    recorded = Counter(keys[row["case_id"]] for row in storm.calls_of() if row["case_id"])
    for key, calls in storm.weather.by_case().items():
        lost = len(calls) - recorded[key]
        near = sum(storm.may_be_unwritten(call.at) for call in calls)
        assert 0 <= lost <= near, (key, lost, calls, storm.broken_off)


def test_the_budgets_held_but_for_the_calls_that_broke_their_own_limit(storm):
    runs = {row["id"] for row in storm.bench.rows(workflow_run) if row["workflow"] == NAME}
    accounts = {
        row["account"]: row
        for row in storm.bench.rows(budget_account)
        if {NAME, *runs} & set(row["account"].split("/"))
    }
    calls = storm.calls_of()
    excess = Decimal(MAX_TOKENS * PRICE_OUT) / 10**6
    limits = {"run": 8, "workflow": 60}
    assert len(accounts) >= 3
    for name, row in accounts.items():
        per = name.split("/")[1]
        ours = [c for c in calls if per == "workflow" or c["run_id"] == name.split("/")[-1]]
        assert row["spent"] == sum(to_nano(c["cost"]) for c in ours if c["cost"] is not None)
        broken = [c for c in ours if c["output_tokens"] > MAX_TOKENS]
        assert row["spent"] <= to_nano(limits[per] + excess * len(broken))
        assert row["reserved"] == 0
    assert not any(row["amount"] for row in storm.bench.rows(reservation))
    bill = sum(
        Decimal(100 * PRICE_IN + (100 if call.kind == "overrun" else 20) * PRICE_OUT) / 10**6
        for call in storm.weather.calls
        if call.kind in ("good", "malformed", "refused", "overrun")
    )
    spent = sum(row["cost"] for row in calls if row["cost"] is not None)
    assert spent >= bill, "what a server billed is never more than what the ledger counts"


def test_a_trouble_is_told_of_once_and_its_recovery_is_recorded(storm):
    rows = storm.incidents()
    told = Counter(row["subject"] for row in storm.bench.rows(notice) if row["kind"] == "incident")

    by_trouble: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        by_trouble.setdefault((row["kind"], row["subject"]), []).append(row)
    for (kind, subject), one_by_one in by_trouble.items():
        assert told[f"{NAME}: {kind} at {subject}"] == len(one_by_one)
        for earlier, later in pairwise(one_by_one):
            assert earlier["closed_at"] <= later["opened_at"]
    assert {row["state"] for row in rows} == {"closed"}, [(r["kind"], r["subject"]) for r in rows if not r["closed_at"]]
    assert {row["closed_by"] for row in rows} == {"recovery"}
    assert all(row["closed_at"] > row["opened_at"] for row in rows)


def test_what_was_sent_was_sent_once(storm):
    keys = Counter(storm.target.keys())
    effects = storm.bench.effects(NAME)

    assert set(keys.values()) == {1}
    committed = {row["key"] for row in effects if row["state"] == "committed"}
    executed = {row["id"] for row in storm.bench.cases(NAME).values() if row["state"] == "executed"}
    assert {row["case_id"] for row in effects if row["state"] == "committed"} == executed
    unknown = {row["key"] for row in effects if row["state"] == "intended"}
    assert committed <= set(keys) <= committed | unknown


def test_the_ledger_is_sound(storm):
    said = storm.bench.airflow.run("verify", "airflow", "interlock", "ledger", "verify")

    assert "the ledger is sound" in said
