"""What a role and an agent may use, and what is withheld from them."""

from __future__ import annotations

import pytest
from interlock.domain.agents.agent import parse_agents
from interlock.domain.agents.usage_right import Use, data_classes, is_allowed, read_in_vain, withheld
from interlock.domain.approvals.access import parse_access
from interlock.domain.base.contract import Contract
from interlock.errors import ConfigurationError, NotAuthorised
from pydantic import BaseModel, Field


class Inner(BaseModel):
    number: str = Field(json_schema_extra={"data_class": "account"})


class Ticket(Contract):
    key: str
    text: str = Field(json_schema_extra={"data_class": "message"})
    inner: list[Inner] = Field(default_factory=list)


SCHEMA = Ticket.model_json_schema()


def test_a_field_has_the_classes_of_what_is_inside_it():
    assert data_classes(SCHEMA) == {"text": {"message"}, "inner": {"account"}}


def test_everything_is_refused_that_is_not_listed():
    assert not is_allowed((), "connections", "llm", agent="flow/judge", role="reasoning")


@pytest.mark.parametrize(
    ("use", "allowed"),
    [
        ({"agents": ["flow/judge"]}, True),
        ({"agents": ["flow/*"]}, True),
        ({"agents": ["other/*"]}, False),
        ({"agents": ["flow/writer"]}, False),
        ({"roles": ["reasoning"]}, True),
        ({"roles": ["drafting"]}, False),
        ({"agents": ["flow/judge"], "roles": ["drafting"]}, False),
        ({"agents": ["flow/judge"], "roles": ["drafting", "reasoning"]}, True),
    ],
)
def test_a_row_is_for_the_agents_and_the_roles_that_it_names(use, allowed):
    row = Use(**use, connections=("llm",))

    assert is_allowed([row], "connections", "llm", agent="flow/judge", role="reasoning") is allowed
    assert not is_allowed([row], "tools", "llm", agent="flow/judge", role="reasoning")


def test_a_row_that_names_nobody_is_refused():
    with pytest.raises(ConfigurationError, match="names neither agents nor roles"):
        parse_access({"uses": [{"connections": ["llm"]}]})


def test_a_refusal_says_who_may():
    access = parse_access({"uses": [{"agents": ["flow/writer"], "connections": ["llm"]}]})

    with pytest.raises(NotAuthorised, match=r"'flow/judge' in role 'reasoning' may not use 'llm'.*flow/writer"):
        access.demand_use("connections", "llm", agent="flow/judge", role="reasoning")


def test_fields_of_a_class_that_is_not_allowed_are_withheld():
    uses = [Use(agents=("flow/judge",), data=("message",))]

    assert withheld(SCHEMA, uses, agent="flow/judge", role=None) == {"inner": {"account"}}
    assert set(withheld(SCHEMA, uses, agent="flow/writer", role=None)) == {"text", "inner"}


@pytest.mark.parametrize(
    "declared",
    [
        {"kind": "model", "conn_id": "llm", "prompt": "ask.j2"},
        {"kind": "template", "fields": {"text": "file:ask.j2"}},
        {"kind": "template", "fields": {"text": "{{ case.text }}"}},
        {"kind": "retrieval", "documents": "d.yaml", "query": "{{ case.text }}"},
        {"kind": "classifier", "examples": "e.csv", "label_field": "label"},
    ],
)
def test_an_agent_whose_texts_name_a_withheld_field_is_told(declared):
    agent = parse_agents({"a": declared})["a"]

    assert read_in_vain(agent, {"ask.j2": "Read {{ case.text }}"}, {"case": {"text": frozenset({"message"})}}) == [
        "case.text (message)"
    ]
    assert read_in_vain(agent, {"ask.j2": "Read {{ case.text }}"}, {"case": {"key": frozenset({"x"})}}) == []
