from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import pytest
from interlock.agents.template import TemplateWriterAgent
from interlock.domain.agents.agent import TemplateAgent
from interlock.domain.agents.agent_protocol import Answer, Failure, Work
from interlock.domain.base.contract import Contract
from interlock.errors import AgentError, ConfigurationError, InputError, UnknownName


class Reply(Contract):
    subject: str
    body: str
    amount: float | None = None


class Texts:
    def __init__(self, **texts: str) -> None:
        self.texts = texts

    def text(self, path: str) -> str:
        if path not in self.texts:
            raise UnknownName("file", path, self.texts)
        return self.texts[path]

    def data(self, path: str) -> Path:
        raise UnknownName("file", path, ())

    def data_digest(self, path: str) -> str:
        raise UnknownName("file", path, ())


def an_agent(fields: dict[str, str], **texts: str) -> TemplateWriterAgent:
    return TemplateWriterAgent("writer", TemplateAgent(kind="template", fields=fields), Texts(**texts))


def written(fields: dict[str, str], case: dict, **handoffs) -> dict:
    (answer,) = an_agent(fields).answer([Work(case_id="c", case=case, handoffs=handoffs)], Reply)
    assert isinstance(answer, Answer), answer
    return dict(answer.payload)


def failed(fields: dict[str, str], case: dict, **texts: str) -> Failure:
    (failure,) = an_agent(fields, **texts).answer([Work(case_id="c", case=case)], Reply)
    assert isinstance(failure, Failure), failure
    return failure


def test_each_field_is_written_from_case_and_handoffs():
    payload = written(
        {"subject": "Re: {{ case.subject }}", "body": "{% for p in context.passages %}{{ p.title }};{% endfor %}"},
        {"subject": "My card"},
        Context={"passages": [{"title": "Late"}, {"title": "Lost"}]},
    )

    assert payload == {"subject": "Re: My card", "body": "Late;Lost;"}


def test_a_file_is_read_as_it_was_published_and_its_last_newline_is_dropped():
    agent = an_agent({"body": "file:prompts/reply.md.j2"}, **{"prompts/reply.md.j2": "Dear {{ case.name }},\n"})

    (answer,) = agent.answer([Work(case_id="c", case={"name": "Ada"})], Reply)

    assert answer.payload == {"body": "Dear Ada,"}
    assert answer.confidence is None
    assert (answer.usage[0].model, answer.usage[0].outcome) == ("template", "ok")


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ case.amount | tojson }}", 12.5),
        ("{{ case.lines|tojson }}", [{"text": "<b> & 'x'"}]),
        ("{{ (case.amount * 2) | tojson -}}\n", 25.0),
        ("{{ case.missing | default(none) | tojson }}", None),
        ('{"a": 1, "b": {{ case.amount | tojson }}}', '{"a": 1, "b": 12.5}'),
        ("{{ case.lines | length }}", "1"),
    ],
)
def test_what_ends_in_tojson_is_json_and_all_else_is_text(template, value):
    case = {"amount": 12.5, "lines": [{"text": "<b> & 'x'"}]}

    assert written({"body": template}, case) == {"body": value}


def test_json_may_be_put_together_by_several_parts():
    template = '{% set all = {"sum": case.amount} %}\n{{ all | tojson }}'

    assert written({"body": template}, {"amount": 3}) == {"body": {"sum": 3}}


def test_text_is_not_escaped_as_if_it_were_a_page():
    assert written({"body": "{{ case.text }}"}, {"text": "<b>R&D</b>"}) == {"body": "<b>R&D</b>"}


def test_a_field_called_items_is_the_field_not_the_method():
    template = {"body": "{% for i in case.items %}{{ i }}{% endfor %} {{ case.rest.items() | list | length }}"}

    assert written(template, {"items": ["a", "b"], "rest": {"x": 1}}) == {"body": "ab 1"}


def test_a_read_only_case_is_written_like_any_other():
    payload = written({"body": "{{ case.inner | tojson }}"}, MappingProxyType({"inner": MappingProxyType({"a": 1})}))

    assert payload == {"body": {"a": 1}}


def test_an_undefined_variable_is_named_with_template_field_and_what_there_is():
    failure = failed({"body": "file:r.j2"}, {"first_name": "Ada"}, **{"r.j2": "Dear {{ case.name }}"})

    assert isinstance(failure.error, InputError)
    message = str(failure.error)
    assert "field 'body' (r.j2) of agent 'writer'" in message
    assert "'name' is undefined; there is 'first_name'" in message
    assert "Ada" not in message


def test_an_undefined_handoff_is_named_with_what_the_template_may_use():
    message = str(failed({"body": "{{ triage.intent }}"}, {}).error)

    assert "'triage' is undefined" in message
    assert "may use 'case'" in message


def test_an_undefined_variable_may_be_asked_for():
    template = {"body": "{{ case.name if case.name is defined else 'customer' }}, {{ case.city | default('?') }}"}

    assert written(template, {}) == {"body": "customer, ?"}


def test_an_expression_that_fails_names_the_error_and_not_the_value():
    message = str(failed({"body": "{{ case.amount / case.count }}"}, {"amount": 77123, "count": 0}).error)

    assert "ZeroDivisionError" in message
    assert "77123" not in message


def test_json_that_is_none_names_the_place():
    failure = failed({"amount": "about {{ case.n | tojson }}"}, {"n": 1})

    assert isinstance(failure.error, AgentError)
    assert "field 'amount'" in str(failure.error)
    assert "not JSON" in str(failure.error)


def test_one_case_that_fails_leaves_the_others():
    agent = an_agent({"body": "{{ case.x }}"})

    results = list(agent.answer([Work(case_id=str(n), case={"x": n} if n % 2 else {}) for n in range(6)], Reply))

    assert [(r.case_id, type(r)) for r in results] == [(str(n), Answer if n % 2 else Failure) for n in range(6)]


@pytest.mark.parametrize(
    "escape",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ case.__class__ }}",
        "{{ case.update({'x': 1}) }}",
        "{{ case.list.append(1) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% for i in range(999999999) %}{% endfor %}",
    ],
)
def test_a_template_cannot_leave_its_sandbox_or_change_the_case(escape):
    case = {"list": []}

    failed({"body": escape}, case)

    assert case == {"list": []}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("line\n{{ case.x", "field 'body' of agent 'writer' is not a template: line 2"),
        ("{% include 'other.j2' %}", "takes in another template"),
        ("{{ x | no_such_filter }}", "no_such_filter"),
    ],
)
def test_what_is_no_template_is_refused_before_any_case(template, message):
    with pytest.raises(ConfigurationError, match=message):
        an_agent({"body": template})


def test_a_file_that_is_not_there_is_refused_before_any_case():
    with pytest.raises(UnknownName, match=r"Did you mean 'reply\.j2'"):
        an_agent({"body": "file:replay.j2"}, **{"reply.j2": ""})


def test_the_digest_moves_with_the_text_of_a_file():
    one = an_agent({"body": "file:r.j2"}, **{"r.j2": "a"}).digest
    other = an_agent({"body": "file:r.j2"}, **{"r.j2": "b"}).digest

    assert one != other
    assert one == an_agent({"body": "file:r.j2"}, **{"r.j2": "a", "unused": "c"}).digest
