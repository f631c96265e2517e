"""What holds a role back, and who is asked instead: budgets, breaker, fallback, crashes, age, off-peak hours."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from interlock.agents.load import load_agent
from interlock.domain.agents.agent_protocol import Planned
from interlock.domain.agents.rate_limit import Breaker, Limit
from interlock.domain.cost.price import to_nano
from interlock.domain.data.source import SourceRow
from interlock.engine.agents.budget_reservation import Purse
from interlock.engine.agents.permission import declared_agent
from interlock.engine.agents.rate_limiter import Throttle
from interlock.engine.agents.role import Role, run_role
from interlock.engine.cases.intake import take_in_rows
from interlock.engine.runs.kill_switch import throw
from interlock.errors import AgentUnavailable, CircuitOpen, ConfigurationError, PolicyError, SwitchedOff
from interlock.ledger.agents.rate_limit import renew_permit
from interlock.ledger.store.schema import budget_account, connection_state, incident, notice, permit, reservation
from interlock.ledger.store.transaction import Actor
from servers.openai_like import OpenAILike, error, ok, prose
from workflows import ACCESS, AGENTS, ECOSYSTEM, POLICY, Workflow, rows

PRICES = "models: [{model: gpt-4o-mini, from: 2020-01-01, input: 10, output: 100}]\n"
LIMITS = "limits: {llm: {requests_per_minute: 60000, in_flight: 3, breaker: {failures: 3, cool_down: 0.2s, "
MODEL = (
    "judge: {kind: model, conn_id: llm, model: 'openai-chat:gpt-4o-mini', prompt: prompts/judge.md.j2, "
    "settings: {max_tokens: 50}, timeout_seconds: 5, concurrency: 4MORE}"
)


class Desk:
    """The tiny workflow with a model as its judge behind a loopback server."""

    def __init__(
        self,
        folder: Any,
        ledger: Any,
        server: OpenAILike,
        *,
        budgets: str = "",
        more: str = "",
    ) -> None:
        agents = AGENTS.replace('judge: {kind: function, function: "workflows:judge"}', MODEL.replace("MORE", more), 1)
        policy = POLICY.replace("stop_when:", f"{budgets}\nstop_when:").replace(
            "  default: {retries: 2", "  default: {retries: 0"
        )
        limits = LIMITS + "give_up_after: 2s}}}\n"
        self.flow = Workflow(folder, ledger, agents=agents, policy=policy, ecosystem=ECOSYSTEM + limits, access=ACCESS)
        self.flow.write("../company/prices.yaml", PRICES)
        self.flow.write("prompts/judge.md.j2", "What is this about? {{ case.text }}")
        self.flow.version = self.flow.publish()
        self.server = server
        self.model = "gpt-4o-mini"

    def resolve(self, conn_id: str, model: str | None) -> Any:
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        return OpenAIChatModel(self.model, provider=OpenAIProvider(base_url=self.server.base_url, api_key="none"))

    def judge(self, run: str = "r1") -> dict[str, int]:
        session = self.flow.session("judge", run=run)

        def make(name: str) -> Any:
            declared = declared_agent(session, "reasoning", name)
            prices = session.company.prices
            return load_agent(
                name, declared, session.files, cache=self.flow.include, resolve_model=self.resolve, prices=prices
            )

        return run_role(session, make("judge"), Role("reasoning", self.flow.contract("Verdict")), make=make)

    def states(self) -> Counter[str]:
        return Counter(row["state"] for row in self.flow.cases().values())


@pytest.fixture
def server():
    with OpenAILike({"kind": "refund"}) as one:
        yield one


def test_a_budget_holds_and_what_it_has_no_room_for_waits_and_is_taken_up(tmp_path, ledger, server):
    desk = Desk(tmp_path, ledger, server, budgets="budgets: [{per: run, limit: 0.06}]")
    desk.flow.intake(rows(*[f"message {number}" for number in range(30)]))

    counts = desk.judge()

    calls = desk.flow.calls()
    assert 0 < counts["done"] == len(calls) == server.total < 30
    assert counts["waiting"] == 30 - counts["done"]
    assert desk.states() == {"open": counts["done"], "waiting": counts["waiting"]}
    [account] = desk.flow.table(budget_account)
    assert account["spent"] == sum(to_nano(call["cost"]) for call in calls) <= to_nano(Decimal("0.06"))
    assert account["reserved"] == sum(row["amount"] for row in desk.flow.table(reservation)) == 0
    assert {row["price"] for row in calls} == {"prices.yaml 2020-01-01"}
    assert len(desk.flow.table(notice)) == len(desk.flow.table(incident)) == 1

    desk.flow.intake([], run="r2")
    assert desk.judge(run="r2")["done"] > 0


def test_past_its_soft_limit_the_cheaper_agent_is_asked(tmp_path, ledger, server):
    desk = Desk(
        tmp_path,
        ledger,
        server,
        budgets="budgets: [{per: run, limit: 0.5, soft: 0.3}]",
        more=", cheaper: careful_judge",
    )
    desk.flow.intake(rows(*[f"sure=0.9 {number}" for number in range(60)]))

    counts = desk.judge()

    assert counts["done"] == 60
    assert counts["handed_on"] == 60 - server.total > 0


def test_a_case_has_a_budget_of_its_own(tmp_path, ledger, server):
    desk = Desk(tmp_path, ledger, server, budgets="budgets: [{per: case, limit: 0.0105}]")
    desk.flow.intake(rows("fine", "x" * 1000))

    counts = desk.judge()

    assert counts == {"done": 1, "uncertain": 1}
    assert server.total == 1


def test_a_model_whose_most_is_not_known_fits_no_budget(tmp_path, ledger, server):
    desk = Desk(tmp_path, ledger, server, budgets="budgets: [{per: run, limit: 1}]")
    agents = desk.flow.version.bundle.files["agents.yaml"]
    desk.flow.write("agents.yaml", agents.replace("max_tokens: 50", "top_p: 1.0"))
    desk.flow.publish()
    with pytest.raises(PolicyError, match=r"'judge' has no settings.max_tokens"):
        desk.flow.session("intake")

    desk.flow.write("../company/prices.yaml", "models: []\n")
    desk.flow.write("agents.yaml", agents.replace("openai-chat:gpt-4o-mini", "openai-chat:our-own"))
    desk.flow.publish()
    desk.flow.intake(rows("fine"))
    desk.model = "our-own"
    with pytest.raises(ConfigurationError, match=r"nobody knows what a call of model .* can cost at most"):
        desk.judge()
    assert server.total == 0


def test_a_service_that_is_down_is_not_asked_on_and_its_incident_ends_with_the_first_answer(tmp_path, ledger, server):
    desk = Desk(tmp_path, ledger, server)
    desk.flow.intake(rows(*[f"message {number}" for number in range(40)]))
    server.script(*[error(503)] * 60)

    with pytest.raises(CircuitOpen, match="is down since"):
        desk.judge()

    assert server.total < 20
    assert desk.states()["open"] >= 20
    opened = {row["kind"]: row for row in desk.flow.table(incident)}
    assert opened["CircuitOpen"]["state"] == "open"
    assert [row["subject"] for row in desk.flow.table(notice)].count("refunds: CircuitOpen at connection llm") == 1

    server._steps.clear()
    desk.judge()
    assert desk.states()["open"] >= 20
    assert next(r for r in desk.flow.table(incident) if r["kind"] == "CircuitOpen")["closed_by"] == "recovery"
    assert [row["failures"] for row in desk.flow.table(connection_state)] == [0]
    assert sum(row["granted"] for row in desk.flow.table(permit)) == 0


def test_a_service_that_is_down_for_a_few_cases_is_told_of_once_and_its_recovery_is_recorded(tmp_path, ledger, server):
    """So few cases open no breaker, and the task fails without one of them moved."""
    desk = Desk(tmp_path, ledger, server)
    desk.flow.intake(rows("one"))
    server.script(*[error(503)] * 2)

    for _ in range(2):
        with pytest.raises(AgentUnavailable, match="answered none of 1 cases"):
            desk.judge()

    [opened] = desk.flow.table(incident)
    assert (opened["kind"], opened["subject"], opened["state"]) == ("AgentUnavailable", "judge", "open")
    assert len(desk.flow.table(notice)) == 1

    assert desk.judge()["done"] == 1
    [closed] = desk.flow.table(incident)
    assert closed["closed_by"] == "recovery"
    assert closed["closed_at"] > closed["opened_at"]


def test_a_model_that_answers_twice_as_much_as_allowed_is_an_incident_and_passes_a_budget_by_that_call(
    tmp_path, ledger, server
):
    desk = Desk(tmp_path, ledger, server, budgets="budgets: [{per: run, limit: 0.03}]")
    desk.flow.write("../company/prices.yaml", PRICES.replace("output: 100", "output: 400"))
    desk.flow.version = desk.flow.publish()
    desk.flow.intake(rows("fine", "too much"))
    server.answer = ok({"kind": "refund"}, output_tokens=100)

    counts = desk.judge()

    assert counts == {"done": 1, "waiting": 1}
    [call] = desk.flow.calls()
    assert (call["outcome"], call["output_tokens"]) == ("ok", 100)
    [account] = desk.flow.table(budget_account)
    assert account["spent"] == to_nano(call["cost"]) == to_nano(Decimal("0.041"))
    opened = {row["kind"]: row for row in desk.flow.table(incident)}
    assert set(opened) == {"Overrun", "BudgetExhausted"}
    assert "max_tokens allows 50" in opened["Overrun"]["reason"]

    server.answer = ok({"kind": "refund"})
    desk.flow.intake([], run="r2")
    assert desk.judge(run="r2") == {"done": 1}
    assert {row["closed_by"] for row in desk.flow.table(incident)} == {"recovery"}


def test_what_is_too_old_is_an_incident_of_the_task_until_nothing_is(tmp_path, ledger, server):
    desk = Desk(tmp_path, ledger, server, budgets="fresh: {Refund: 1h}")
    session = desk.flow.session("intake")
    before = ledger.clock() - timedelta(hours=2)
    session.ledger = replace(ledger, clock=lambda: before)
    take_in_rows(session, rows("old"), contract=desk.flow.contract("Refund"), source="inbox.csv")
    desk.flow.intake([SourceRow(number=2, values={"refund_id": "R2", "text": "new"})])

    assert desk.judge() == {"done": 1, "uncertain": 1}
    [opened] = desk.flow.table(incident)
    assert (opened["kind"], opened["subject"], opened["state"]) == ("StaleContext", "judge", "open")

    desk.flow.intake([SourceRow(number=3, values={"refund_id": "R3", "text": "new"})])
    assert desk.judge() == {"done": 1}
    assert [row["closed_by"] for row in desk.flow.table(incident)] == ["recovery"]


def test_what_an_agent_does_not_deliver_its_fallback_does(tmp_path, ledger, server):
    desk = Desk(tmp_path, ledger, server, more=", fallback: careful_judge")
    desk.flow.intake(rows("sure=0.9 fine", "sure=0.9 prose"))
    server.when("prose", prose("Certainly!"))

    counts = desk.judge()

    assert (counts["done"], counts["handed_on"]) == (2, 1)
    assert desk.flow.table(incident) == []


def test_the_calls_in_flight_stay_within_the_connections_limit(tmp_path, ledger, server):
    server.before_answer = lambda body: time.sleep(0.02)
    desk = Desk(tmp_path, ledger, server)
    desk.flow.intake(rows(*[f"message {number}" for number in range(30)]))

    assert desk.judge()["done"] == 30
    assert 1 < server.max_in_flight <= 3


def test_a_case_that_ends_its_process_is_found_and_given_up_and_all_others_are_answered(tmp_path, ledger):
    access = ACCESS.replace("workflows.judge,", "workflows.judge, workflows.ends_its_process,")
    agents = AGENTS.replace('workflows:judge"', 'workflows:ends_its_process"', 1)
    flow = Workflow(tmp_path, ledger, agents=agents, access=access)
    flow.version = flow.publish()
    flow.intake(rows(*[f"message {number}" for number in range(20)], "boom"))
    session = flow.session("judge")
    session.attempt = replace(session.attempt, follows_a_death=True)
    agent = load_agent("judge", session.version.bundle.agents["judge"], session.files, cache=flow.include)

    counts = run_role(session, agent, Role("reasoning", flow.contract("Verdict")))

    assert counts == {"done": 20, "failed": 1}
    [dead] = [row for row in flow.cases().values() if row["state"] == "dead"]
    assert "AgentCrashed" in dead["reason"]
    assert "exit code 13" in dead["reason"]


def test_what_is_too_old_is_not_worked_on(tmp_path, ledger, server):
    desk = Desk(tmp_path, ledger, server, budgets="fresh: {Refund: 0.00001s}")
    desk.flow.intake(rows("fine"))

    assert desk.judge() == {"uncertain": 1}
    assert server.total == 0


def test_work_that_can_wait_waits_for_off_peak_hours(tmp_path, ledger, server):
    desk = Desk(tmp_path, ledger, server, more=", urgency: deferrable")
    days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    from datetime import UTC, datetime, timedelta

    later = datetime.now(UTC) + timedelta(days=2)
    desk.flow.write("../company/calendar.yaml", f"off_peak: {{{days[later.weekday()]}: '00:00-24:00'}}\n")
    desk.flow.version = desk.flow.publish()
    desk.flow.intake(rows("fine"))

    assert desk.judge() == {"waiting": 1}
    [row] = desk.flow.cases().values()
    assert (row["state"], row["wait_for"], row["wait_until"].date()) == ("waiting", "off_peak", later.date())
    desk.flow.intake([], run="r2")
    assert desk.states() == {"waiting": 1}


def test_what_failed_calls_cost_is_settled_before_their_cases_are_asked_again(tmp_path, ledger, server):
    """Else the calls that follow wait for room that only their own task could make, until its blocks expire."""
    desk = Desk(tmp_path, ledger, server, budgets="budgets: [{per: run, limit: 0.07}]")
    policy = desk.flow.version.bundle.files["policy.yaml"]
    desk.flow.write("policy.yaml", policy.replace("MalformedOutput: {retries: 1", "MalformedOutput: {retries: 3"))
    desk.flow.version = desk.flow.publish()
    desk.flow.intake(rows(*[f"message {number}" for number in range(12)]))
    server.answer = prose("Certainly!")
    started = time.monotonic()

    counts = desk.judge()

    assert time.monotonic() - started < 20
    assert counts["waiting"] > 0
    calls = desk.flow.calls()
    [account] = desk.flow.table(budget_account)
    assert account["spent"] == sum(to_nano(call["cost"]) for call in calls) <= to_nano(Decimal("0.07"))
    assert len(calls) == server.total
    assert {call["outcome"] for call in calls} == {"MalformedOutput"}


def test_the_next_attempt_does_not_wait_for_the_permits_of_a_dead_one(tmp_path, ledger, server):
    desk = Desk(tmp_path, ledger, server)
    desk.flow.intake(rows("fine"))
    dead = desk.flow.session("judge")
    with ledger.write(actor=Actor("task", "judge"), chain="connection:llm") as tx:
        renew_permit(tx, "test", "llm", dead.attempt.token, wanted=4, limit=3, lasts=timedelta(seconds=30))
    started = time.monotonic()

    assert desk.judge()["done"] == 1
    assert time.monotonic() - started < 10


def test_calls_that_begin_at_once_share_one_block(tmp_path, ledger, server):
    """A block of each would be set aside and not used, and those that come later would wait for it."""
    desk = Desk(tmp_path, ledger, server, budgets="budgets: [{per: run, limit: 1}]")
    purse = Purse(desk.flow.session("judge"), in_flight=2)
    call = Planned(case_id="1", model="gpt-4o-mini", tokens=100, most=Decimal("0.01"))

    async def begin() -> None:
        await asyncio.gather(*[purse.reserve(call) for _ in range(8)])

    asyncio.run(begin())

    assert len({row["holder"] for row in desk.flow.table(reservation)}) == 1
    [account] = desk.flow.table(budget_account)
    assert to_nano(Decimal("0.08")) <= account["reserved"] <= to_nano(Decimal("0.12"))


def test_calls_that_a_switch_breaks_off_count_as_lost_and_leave_nothing_set_aside(tmp_path, ledger, server):
    desk = Desk(tmp_path, ledger, server, budgets="budgets: [{per: run, limit: 5}]")
    desk.flow.intake(rows(*[f"message {number}" for number in range(30)]))
    off = threading.Event()

    def slow(body: Any) -> None:
        time.sleep(0.3)
        if server.total > 6 and not off.is_set():
            off.set()
            throw(ledger, kind="agent", name="refunds/judge", off=True, person="cleo", reason="it raves")

    server.before_answer = slow
    with pytest.raises(SwitchedOff):
        desk.judge()

    calls = desk.flow.calls()
    [account] = desk.flow.table(budget_account)
    assert account["reserved"] == sum(row["amount"] for row in desk.flow.table(reservation)) == 0
    assert account["spent"] == sum(to_nano(call["cost"]) for call in calls)
    assert {call["outcome"] for call in calls} == {"ok", "lost"}


def test_failures_with_answers_between_them_are_no_row_and_open_no_breaker(tmp_path, ledger, server):
    desk = Desk(tmp_path, ledger, server)
    throttle = Throttle(ledger, "llm", "holder", 4, Limit(breaker=Breaker(failures=3)))
    for _ in range(4):
        throttle.leave(AgentUnavailable("503"))
        throttle.leave(AgentUnavailable("503"))
        throttle.keep()
        throttle.leave(None)

    assert [row["opened_at"] for row in desk.flow.table(connection_state)] == [None]
    for _ in range(2):
        throttle.leave(AgentUnavailable("503"))
        throttle.leave(AgentUnavailable("503"))
        throttle.keep()
    assert [row["opened_at"] is None for row in desk.flow.table(connection_state)] == [False]
