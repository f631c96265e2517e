"""
Each failure mode of the guide, as its page says: under its runbook, the case stands where it says, for that reason.

A page shows a runbook and, as text, what the case says. Both are taken from the page and held against a real run.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine.agents.test_engine_limits import Desk
from interlock.agents.load import load_agent
from interlock.connectors.http import HttpTarget
from interlock.domain.effects.connector import ConnectionFields, HttpConnector
from interlock.domain.policy.policy import parse_policy
from interlock.engine.agents.role import Role, run_role
from interlock.engine.cases.intake import take_in_rows
from interlock.engine.runs.kill_switch import throw
from interlock.errors import AgentError, BatchRefused, CircuitOpen, ConnectorError, InterlockError, SwitchedOff
from interlock.ledger.store.schema import incident
from servers.effect_target import CLOSE_BEFORE, OK, EffectTarget
from servers.openai_like import HANG, OpenAILike, content_filtered, error, ok, prose, rate_limited
from workflows import ACCESS, AGENTS, POLICY, Workflow, rows

PAGES = Path(__file__).resolve().parents[3] / "include" / "docs" / "guide" / "failures"
NAMES = sorted(path.stem for path in PAGES.glob("*.md"))


def runbook_of(page: str) -> dict[str, Any]:
    """Return the runbook that a page shows."""
    [said] = re.findall(
        r"^```yaml\n(runbook:\n.*?)^```", (PAGES / f"{page}.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    return yaml.safe_load(said)["runbook"]


def told_by(page: str) -> str:
    """Return what the case, or the task, says by a page, as one line."""
    [said] = re.findall(r"^```text\n(.*?)^```", (PAGES / f"{page}.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return " ".join(said.split())


def a_desk(tmp_path, ledger, server, page: str, **more: Any) -> Desk:
    """Return a workflow with a model as its judge and the runbook of *page*, without its pauses."""
    desk = Desk(tmp_path, ledger, server, **more)
    policy = yaml.safe_load(desk.flow.version.bundle.files["policy.yaml"])
    entries = {name: {**entry, "backoff_seconds": 0.0} for name, entry in runbook_of(page).items()}
    desk.flow.write("policy.yaml", yaml.safe_dump({**policy, "runbook": entries}, sort_keys=False))
    desk.flow.version = desk.flow.publish()
    return desk


def reason_of(flow: Workflow) -> str:
    """Return the reason of the one case that has one."""
    [row] = [row for row in flow.cases().values() if row["reason"]]
    return str(row["reason"])


@pytest.fixture
def server():
    with OpenAILike({"kind": "refund"}) as one:
        yield one


@pytest.mark.parametrize(
    ("page", "step", "counts"),
    [
        ("timeout", HANG, {"repeated": 1, "failed": 1}),
        ("malformed_output", prose("Certainly!"), {"repeated": 1, "uncertain": 1}),
        ("refusal", content_filtered(), {"uncertain": 1}),
        ("rate_limit", rate_limited("0"), {"repeated": 4, "waiting": 1}),
    ],
)
def test_a_model_that_does_not_deliver_is_told_of_as_its_page_says(tmp_path, sqlite_ledger, server, page, step, counts):
    desk = a_desk(tmp_path, sqlite_ledger, server, page)
    if page == "timeout":
        agents = desk.flow.version.bundle.files["agents.yaml"]
        desk.flow.write("agents.yaml", agents.replace("timeout_seconds: 5", "timeout_seconds: 0.2"))
        desk.flow.version = desk.flow.publish()
    server.when("bad", step)
    desk.flow.intake(rows("fine", "bad"))

    assert desk.judge() == {"done": 1, **counts}
    assert reason_of(desk.flow).replace("0.2 s", "5 s") == told_by(page)
    [opened] = desk.flow.table(incident)
    assert (opened["kind"], opened["subject"]) == (told_by(page).split()[0], "judge")


def test_what_is_stale_is_told_of_as_its_page_says(tmp_path, sqlite_ledger, server):
    desk = a_desk(tmp_path, sqlite_ledger, server, "stale_context", budgets="fresh: {Refund: 2d}")
    session = desk.flow.session("intake")
    before = sqlite_ledger.clock() - timedelta(days=3)
    session.ledger = replace(sqlite_ledger, clock=lambda: before)
    take_in_rows(session, rows("old"), contract=desk.flow.contract("Refund"), source="inbox.csv")

    assert desk.judge() == {"uncertain": 1}
    assert reason_of(desk.flow) == told_by("stale_context")


def test_a_budget_that_is_used_up_is_told_of_as_its_page_says(tmp_path, sqlite_ledger, server):
    desk = a_desk(tmp_path, sqlite_ledger, server, "exhausted_budget", budgets="budgets: [{per: run, limit: 0.001}]")
    desk.flow.intake(rows("fine"))

    assert desk.judge() == {"waiting": 1}
    assert re.sub(r"cost [0-9.]+", "cost 0.0143", reason_of(desk.flow)) == re.sub(
        r"cost [0-9.]+", "cost 0.0143", told_by("exhausted_budget")
    )


def test_an_agent_that_is_switched_off_is_told_of_as_its_page_says(tmp_path, sqlite_ledger, server):
    desk = a_desk(tmp_path, sqlite_ledger, server, "switched_off")
    desk.flow.intake(rows("fine"))
    throw(sqlite_ledger, kind="agent", name="refunds/judge", off=True, person="cleo", reason="it writes nonsense")

    with pytest.raises(SwitchedOff) as told:
        desk.judge()
    instant = r"\d{4}-\d\d-\d\dT[\d:+]+:"
    assert re.sub(instant, "", f"SwitchedOff: {told.value}") == re.sub(instant, "", told_by("switched_off"))


def test_a_service_that_is_down_is_told_of_as_its_page_says(tmp_path, sqlite_ledger, server):
    desk = a_desk(tmp_path, sqlite_ledger, server, "service_down")
    desk.flow.intake(rows(*[f"message {number}" for number in range(20)]))
    server.answer = error(503)

    with pytest.raises(CircuitOpen) as told:
        desk.judge()
    instant = r"since [\d:]+"
    assert re.sub(instant, "", f"CircuitOpen: {told.value}") == re.sub(instant, "", told_by("service_down"))


def test_a_case_that_ends_its_process_is_told_of_as_its_page_says(tmp_path, sqlite_ledger):
    policy = yaml.safe_load(POLICY) | {"runbook": runbook_of("crashed_case")}
    access = ACCESS.replace("workflows.judge,", "workflows.judge, workflows.ends_its_process,")
    agents = AGENTS.replace('workflows:judge"', 'workflows:ends_its_process"', 1)
    flow = Workflow(
        tmp_path, sqlite_ledger, agents=agents, access=access, policy=yaml.safe_dump(policy, sort_keys=False)
    )
    flow.intake(rows("fine", "boom"))
    session = flow.session("judge")
    session.attempt = replace(session.attempt, follows_a_death=True)
    agent = load_agent("judge", session.version.bundle.agents["judge"], session.files, cache=flow.include)

    assert run_role(session, agent, Role("reasoning", flow.contract("Verdict"))) == {"done": 1, "failed": 1}
    assert reason_of(flow) == told_by("crashed_case")


def test_a_connector_that_errs_is_told_of_as_its_page_says(tmp_path, sqlite_ledger):
    policy = yaml.safe_load(POLICY) | {"runbook": runbook_of("connector_error")}
    policy["runbook"]["ConnectorUnavailable"]["backoff_seconds"] = 0.0
    flow = Workflow(tmp_path, sqlite_ledger, policy=yaml.safe_dump(policy, sort_keys=False))
    flow.up_to("send", rows("sure=0.95 one", "sure=0.95 two"))
    declared = HttpConnector(
        kind="http", conn_id="payout", path="/effects", look_path="/effects/{key}", timeout_seconds=1
    )
    with EffectTarget() as target:
        target.script(OK, *[CLOSE_BEFORE] * 3)
        connector = HttpTarget("payout", declared, ConnectionFields(conn_id="payout", host=target.base_url))
        assert flow.execute(connector=connector) == {"sent": 1, "failed": 1}

    key = r"effect '[0-9a-f…]+'"
    assert re.sub(key, "", reason_of(flow)) == re.sub(key, "", told_by("connector_error"))


@pytest.mark.parametrize("page", NAMES)
def test_the_runbook_of_a_page_can_be_used(page):
    policy = parse_policy({**yaml.safe_load(POLICY), "runbook": runbook_of(page)})

    assert set(policy.runbook) <= {cls.__name__ for cls in subclasses(InterlockError)}


def subclasses(cls: type) -> set[type]:
    """Return *cls* and all classes below it that the plugin defines; a test may define some of its own."""
    ours = [child for child in cls.__subclasses__() if child.__module__.startswith("interlock.")]
    return {cls} | {below for child in ours for below in subclasses(child)}


def test_every_failure_that_a_runbook_helps_with_has_a_page():
    named = {name for page in NAMES for name in runbook_of(page)}
    bases = {AgentError, ConnectorError}
    no_case = {BatchRefused}  # its cases are asked about one by one, or wait for room
    wanted = {cls.__name__ for base in bases for cls in subclasses(base) - bases - no_case}

    assert wanted | {"StaleContext", "BudgetExhausted", "SwitchedOff"} <= named


def test_a_service_that_says_too_much_is_told_of_as_its_page_says(tmp_path, sqlite_ledger, server):
    desk = a_desk(tmp_path, sqlite_ledger, server, "overrun")
    desk.flow.intake(rows("fine"))
    server.answer = ok({"kind": "refund"}, output_tokens=100)

    assert desk.judge() == {"done": 1}
    [opened] = desk.flow.table(incident)
    assert f"{opened['kind']} at {opened['subject']}: {opened['reason']}" == told_by("overrun")
