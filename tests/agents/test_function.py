from __future__ import annotations

import sys
from pathlib import Path

import pytest
from interlock.agents.function import PythonFunctionAgent
from interlock.domain.agents.agent import FunctionAgent
from interlock.domain.agents.agent_protocol import Answer, Failure, Work
from interlock.domain.base.contract import Contract
from interlock.errors import AgentError, AgentUnavailable, ConfigurationError, UnknownName

MODULE = """
from interlock.domain.agents.agent_protocol import Answer
from interlock.errors import AgentUnavailable

def total(case, handoffs):
    return {"total": sum(case["lines"]) - handoffs.get("Discount", {}).get("amount", 0)}

def sure(case, handoffs):
    return Answer(case_id="whoever", payload={"total": 1}, confidence=0.8, provenance={"rule": "one"})

def spoils(case, handoffs):
    case["lines"].clear()
    handoffs["Discount"]["amount"] = 99
    return {"total": 0}

def fails_on_odd(case, handoffs):
    if case["n"] % 2:
        raise KeyError("vat")
    return {"total": case["n"]}

def is_down(case, handoffs):
    raise AgentUnavailable("the price list does not answer")

def says_nothing(case, handoffs):
    return None

async def later(case, handoffs):
    return {}

RATE = 0.2
"""


class Sum(Contract):
    total: float


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sums_of_a_test.py").write_text(MODULE)
    (tmp_path / "broken_sums_of_a_test.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("sums_of_a_test", None)


def an_agent(function: str, **settings) -> PythonFunctionAgent:
    return PythonFunctionAgent("adder", FunctionAgent(kind="function", function=function, **settings))


def asked(function: str, *work: Work) -> list[Answer | Failure]:
    return list(an_agent(f"sums_of_a_test:{function}").answer(work, Sum))


@pytest.mark.parametrize("path", ["sums_of_a_test:total", "sums_of_a_test.total"])
def test_a_function_is_called_with_case_and_handoffs_by_contract(path):
    work = Work(case_id="c", case={"lines": [3, 4]}, handoffs={"Discount": {"amount": 2}})

    (answer,) = an_agent(path).answer([work], Sum)

    assert (answer.case_id, answer.payload, answer.confidence) == ("c", {"total": 5}, None)
    assert (answer.usage[0].model, answer.usage[0].outcome) == ("function", "ok")


def test_a_function_may_say_how_sure_it_is_but_not_for_whom():
    (answer,) = asked("sure", Work(case_id="c", case={}))

    assert (answer.case_id, answer.confidence, answer.provenance) == ("c", 0.8, {"rule": "one"})
    assert len(answer.usage) == 1


def test_a_function_cannot_spoil_what_others_read():
    work = Work(case_id="c", case={"lines": [1]}, handoffs={"Discount": {"amount": 2}})

    asked("spoils", work)

    assert work.case == {"lines": [1]}
    assert work.handoffs == {"Discount": {"amount": 2}}


def test_an_exception_is_the_failure_of_its_case_alone():
    results = asked("fails_on_odd", *(Work(case_id=str(n), case={"n": n}) for n in range(4)))

    assert [type(r) for r in results] == [Answer, Failure, Answer, Failure]
    assert isinstance(results[1].error, AgentError)
    assert not results[1].error.retryable
    assert "raised KeyError: 'vat'" in str(results[1].error)
    assert isinstance(results[1].error.__cause__, KeyError)
    assert results[1].usage[0].outcome == "AgentError"


def test_an_error_of_ours_keeps_its_class_so_that_a_retry_can_help():
    (failure,) = asked("is_down", Work(case_id="c", case={}))

    assert type(failure.error) is AgentUnavailable
    assert failure.error.retryable


def test_what_is_neither_dict_nor_answer_is_a_failure():
    (failure,) = asked("says_nothing", Work(case_id="c", case={}))

    assert "returned a NoneType. Return a dict" in str(failure.error)


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("sums_of_a_test:totel", UnknownName, "Did you mean 'total'"),
        ("sums_of_a_test:later", ConfigurationError, "is asynchronous"),
        ("sums_of_a_test:RATE", ConfigurationError, "is a float"),
        ("no_such_module_of_a_test:f", ConfigurationError, "cannot be imported: ModuleNotFoundError"),
        ("broken_sums_of_a_test:f", ConfigurationError, "cannot be imported: ZeroDivisionError"),
        ("total", ConfigurationError, "not a dotted path"),
        ("sums_of_a_test:", ConfigurationError, "not a dotted path"),
    ],
)
def test_a_path_that_leads_to_no_function_is_refused_when_the_agent_is_prepared(path, kind, message):
    with pytest.raises(kind, match=message):
        an_agent(path).prepare()


def test_the_digest_is_known_without_the_module_and_moves_with_the_version():
    base = an_agent("no_such_module_of_a_test:f").digest

    assert an_agent("no_such_module_of_a_test:f", description="other words").digest == base
    assert an_agent("no_such_module_of_a_test:f", version="2").digest != base
