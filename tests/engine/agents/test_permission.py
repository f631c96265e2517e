"""What an agent may not use or see does not reach it, and what must be masked does not leave: seen at a real server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from interlock.agents.load import load_agent
from interlock.domain.base.redaction import FindNames
from interlock.engine.agents.permission import declared_agent, demand_source
from interlock.engine.runs.kill_switch import switches, throw
from interlock.errors import ConfigurationError, NotAuthorised, PolicyError
from interlock.ledger.cases.case import load_files
from interlock.ledger.store.schema import audit_event, handoff
from servers.openai_like import OpenAILike, ok
from sqlalchemy import select
from workflows import ACCESS, AGENTS, CONTRACTS, NAME, POLICY, Workflow, rows

MODEL_AGENTS = AGENTS.replace(
    'judge: {kind: function, function: "workflows:judge"}',
    "judge: {kind: model, conn_id: llm, model: 'openai-chat:gpt-4o-mini', prompt: prompts/judge.md.j2}",
    1,
)
CLASSED = CONTRACTS.replace(
    "    text: str = Field(min_length=1)",
    '    text: str = Field(min_length=1, json_schema_extra={"data_class": "message"})',
    1,
)


@pytest.fixture
def server():
    with OpenAILike({"kind": "refund"}) as server:
        yield server


def modelled(tmp_path, open_ledger, prompt: str = "What is this about? {{ case.text }}", **files: str) -> Workflow:
    workflow = Workflow(tmp_path, open_ledger("sqlite"), agents=MODEL_AGENTS, **files)
    workflow.write("prompts/judge.md.j2", prompt)
    workflow.version = workflow.publish()
    return workflow


def judge(workflow: Workflow, server: OpenAILike, find_names: FindNames | None = None) -> dict[str, int]:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    def resolve(conn_id: str, model: str | None) -> Any:
        return OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(base_url=server.base_url, api_key="none"))

    session = workflow.session("judge")
    agent = load_agent(
        "judge",
        declared_agent(session, "reasoning"),
        session.files,
        cache=workflow.include,
        resolve_model=resolve,
        redaction=session.version.bundle.policy.redaction,
        find_names=find_names,
    )
    return workflow.role("judge", agent=agent, session=session)


def test_personal_data_and_secrets_do_not_reach_the_model_and_come_back_in_the_answer(tmp_path, open_ledger, server):
    workflow = modelled(tmp_path, open_ledger)
    server.answer = ok({"kind": "refund for [EMAIL_1]"})
    workflow.intake(rows("I am ann@example.com, card 4111 1111 1111 1111, password: hunter2!x"))

    judge(workflow, server)

    (request,) = server.requests
    asked = json.dumps(request)
    assert "[EMAIL_1], card [CARD_1], [SECRET_1]" in asked
    for secret in ("ann@example.com", "4111", "hunter2"):
        assert secret not in asked
    with workflow.ledger.read() as connection:
        said = connection.execute(select(handoff)).mappings().one()
        (found,) = workflow.case_records().values()
        (file,) = load_files(connection, [found])
    assert file.context["Verdict"]["kind"] == "refund for ann@example.com"
    assert said["provenance"]["masked"] == {"EMAIL": 1, "CARD": 1, "SECRET": 1}


def test_nothing_is_sent_where_names_must_be_masked_and_nobody_can_find_them(tmp_path, open_ledger, server):
    workflow = modelled(tmp_path, open_ledger, policy=POLICY + "redaction: {names: required}\n")
    workflow.intake(rows("Ann Smith wants her money"))

    with pytest.raises(ConfigurationError, match="nothing was sent"):
        judge(workflow, server)

    assert server.requests == []
    assert {row["task"] for row in workflow.cases().values()} == {"judge"}


def test_names_are_masked_where_the_policy_requires_it(tmp_path, open_ledger, server):
    workflow = modelled(tmp_path, open_ledger, policy=POLICY + "redaction: {names: required}\n")
    workflow.intake(rows("Ann Smith wants her money"))

    def find(text: str):
        at = text.index("Ann Smith")
        return [(at, at + 9, "PERSON")]

    judge(workflow, server, find_names=find)

    assert "[PERSON_1] wants her money" in json.dumps(server.requests)
    assert "Ann Smith" not in json.dumps(server.requests)


def test_nothing_is_sent_when_looking_for_names_fails(tmp_path, open_ledger, server):
    workflow = modelled(tmp_path, open_ledger, policy=POLICY + "redaction: {names: required}\n")
    workflow.intake(rows("Ann Smith wants her money", "Bob too"))

    def broken(text: str):
        raise RuntimeError("the model of names did not load")

    with pytest.raises(ConfigurationError, match="find_names"):
        judge(workflow, server, find_names=broken)

    assert server.requests == []


def test_a_connection_that_is_not_listed_for_an_agent_lets_no_run_begin(tmp_path, open_ledger):
    workflow = modelled(tmp_path, open_ledger, access=ACCESS.replace("connections: [llm]", "connections: [other]"))

    with pytest.raises(PolicyError, match=r"'judge' may not use connections 'llm': list it under uses"):
        workflow.session("intake")


def test_a_connection_that_another_role_may_use_is_refused_at_run_time(tmp_path, open_ledger, server):
    access = ACCESS.replace("roles: [enrichment, reasoning, drafting]", "roles: [drafting]")
    workflow = modelled(tmp_path, open_ledger, access=access)
    workflow.intake(rows("fine"))

    with pytest.raises(NotAuthorised, match="'refunds/judge' in role 'reasoning' may not use 'llm'"):
        judge(workflow, server)

    assert server.requests == []


def test_a_models_connection_is_for_its_environments_alone(tmp_path, open_ledger, server):
    access = ACCESS.replace("llm: {environments: [test]}", "llm: {environments: [production]}")
    workflow = modelled(tmp_path, open_ledger, access=access)
    workflow.intake(rows("fine"))

    with pytest.raises(NotAuthorised, match="it is for production"):
        judge(workflow, server)

    assert server.requests == []


def test_a_prompt_that_names_a_withheld_field_lets_no_run_begin(tmp_path, open_ledger):
    workflow = modelled(tmp_path, open_ledger, contracts=CLASSED)

    with pytest.raises(PolicyError, match=r"'judge' may not use field case.text \(message\)"):
        workflow.session("intake")


def test_a_withheld_field_does_not_reach_the_model_by_a_detour(tmp_path, open_ledger, server):
    writer = "  - {agents: [refunds/writer], data: [message]}\n"
    prompt = "What is this about? {{ case | tojson }}"
    workflow = modelled(tmp_path, open_ledger, prompt, contracts=CLASSED, access=ACCESS + writer)
    workflow.intake(rows("a private matter"))

    judge(workflow, server)

    asked = json.dumps(server.requests)
    assert "refund_id" in asked
    assert "a private matter" not in asked


def test_a_source_may_be_read_through_a_listed_connection_only(tmp_path, open_ledger):
    access = ACCESS + "  - {roles: [intake], connections: [nowhere]}\n"
    session = Workflow(tmp_path, open_ledger("sqlite"), access=access).session("intake")

    demand_source(session, "nowhere")
    demand_source(session, None)
    with pytest.raises(NotAuthorised, match="role 'intake' may not use 'llm'"):
        demand_source(session, "llm")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_people_type_as_a_reason_is_masked_in_the_row_and_in_the_audit(tmp_path, open_ledger, database):
    workflow = Workflow(tmp_path, open_ledger(database))
    typed = "as ann@example.com asked on the phone, +44 20 7946 0958"

    throw(workflow.ledger, kind="workflow", name=NAME, off=True, person="otto", reason=typed)

    (switch,) = switches(workflow.ledger)
    assert switch["off_reason"] == "as [EMAIL] asked on the phone, [PHONE]"
    with workflow.ledger.read() as connection:
        told = "".join(connection.execute(select(audit_event.c.body)).scalars())
    assert "ann@example.com" not in told
    assert "7946" not in told
