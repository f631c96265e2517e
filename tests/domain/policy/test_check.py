from __future__ import annotations

from typing import Any

import pytest
import yaml
from interlock.domain.base.contract import Contract
from interlock.domain.base.expression import variable_types
from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.domain.policy.check import check_policy
from interlock.domain.policy.policy import parse_policy
from workflows import POLICY, WIRING, rewired


class Refund(Contract):
    amount: float
    tier: str


class Letter(Contract):
    text: str


TYPES = variable_types({c.__name__: c.model_json_schema() for c in (Refund, Letter)}, "Refund")
ROUTES = {"auto": "draft", "review": "draft", "fallback": "again"}


GROUPS = {"leads": ("lea", "leo")}


def problems(wiring: Wiring | None = WIRING, groups=GROUPS, agents=("judge", "careful_judge", "writer"), **changes):
    document: dict[str, Any] = yaml.safe_load(POLICY) | changes
    return check_policy(parse_policy(document), TYPES, groups=groups, agents=agents, wiring=wiring)


def rules(*written: tuple[str, str]) -> list[dict[str, str]]:
    return [{"name": f"rule {n}", "when": when, "route": route} for n, (when, route) in enumerate(written, 1)]


def test_a_policy_that_can_work_has_no_problem():
    assert problems() == []
    assert problems(wiring=None) == []


LEGAL_GATE = {"leads": {"routes": ["review"], "voters": "leads"}, "law": {"routes": ["legal"], "voters": "leads"}}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rules": rules(("case.amont > 1.0", "review"))}, "rule 'rule 1': .*Did you mean 'case.amount'?"),
        ({"rules": rules(("case.amount > 1", "review"))}, "rule 'rule 1': .*with a decimal point: 1.0"),
        ({"checks": [{"name": "c", "that": "letter.txt == ''"}]}, "check 'c': .*Did you mean 'letter.text'?"),
        ({"rules": rules(("true", "auto"), ("attempt == 1", "review"))}, "'rule 2' can never match: 'rule 1' takes ev"),
        (
            {"rules": rules(("attempt  == 1", "auto"), ("attempt == 1", "review"))},
            "'rule 2' can never match: 'rule 1' before it asks the same",
        ),
        ({"rules": rules(("attempt == 1", "retry"))}, "a rule uses route 'retry'; retries belong in the runbook"),
        ({"default": "retry"}, "a rule uses route 'retry'"),
        ({"rules": rules(("attempt == 1", "legal"))}, "route 'legal' is used, but no gate lists it"),
        ({"gates": {}}, "route 'review' is used, but no gate lists it: nobody would be asked"),
        ({"groups": {"others": ("otto",)}}, "gate 'leads': 'leads' is no group of access.yaml .known: others"),
        ({"groups": {}}, "is no group of access.yaml .known: none"),
        ({"groups": {"leads": ()}}, "gate 'leads': group 'leads' has nobody in it"),
        (
            {"gates": {"leads": {"routes": ["review"], "voters": "leads", "votes": 3}}},
            "gate 'leads': asks for 3 votes, and there are 2 people who could give them",
        ),
        ({"exposure": {"amount": "case.tier"}}, "exposure.amount: .* gives a string, and a double is asked for"),
        ({"exposure": {"risk": "case.teir"}}, "exposure.risk: .*Did you mean 'case.tier'?"),
        (
            {"rules": rules(("attempt == 1", "legal")), "gates": LEGAL_GATE},
            "route 'legal' is used, but no branch of the Dag sends it to a task .served: auto, fallback, review",
        ),
        (
            {"agents": ("judge", "writer")},
            "task 'again': there is no agent 'careful_judge' in agents.yaml .known: judge",
        ),
        (
            {"wiring": rewired(sign_off={"gate": "leeds"})},
            "task 'sign_off': the policy has no gate 'leeds' .known: leads",
        ),
        (
            {"wiring": rewired(route={"branches": {**ROUTES, "auto": "drft"}})},
            "branch 'route' sends 'auto' to 'drft', which is no task of ours",
        ),
        (
            {"wiring": rewired(route={"branches": {**ROUTES, "review": "send"}})},
            "route 'review' reaches execution 'send' without a gate; only 'auto' may",
        ),
        (
            {"wiring": rewired(route={"branches": {**ROUTES, "auto": "send"}})},
            "route 'auto' reaches execution 'send' without a validation or a gate before it",
        ),
        (
            {"wiring": rewired(draft={"downstream": ("send",)}, send={"routes": ()})},
            "route 'auto' reaches execution 'send' without a validation or a gate before it",
        ),
        (
            {"wiring": rewired(send={"routes": ("auto", "review")}, sign_off={"routes": ("other",)})},
            "route 'review' reaches execution 'send' without a gate; only 'auto' may",
        ),
        (
            {"wiring": rewired(validate={"downstream": ("sign_off",)}, send_signed={"routes": ("auto", "review")})},
            "route 'auto' waits at task 'sign_off', but gate 'leads' does not list it",
        ),
        ({"wiring": rewired(send_signed={"routes": ("legal",)})}, "no task below 'sign_off' takes route 'review'"),
        (
            {
                "rules": rules(("true", "auto")),
                "default": "auto",
                "wiring": rewired(
                    route={"branches": {"auto": "draft"}},
                    route_again={"branches": {"auto": "draft"}},
                    validate={"downstream": ("send",)},
                ),
            },
            "no task below 'validate' takes route 'review'",
        ),
    ],
)
def test_each_kind_of_problem_is_found(given: dict[str, Any], told: str):
    found = problems(**given)

    import re

    assert any(re.search(told, problem) for problem in found), found


def test_all_problems_are_found_at_once():
    found = problems(rules=rules(("case.a == 1", "auto"), ("case.b == 1", "legal")), groups={}, agents=())

    assert len(found) >= 6


def test_a_dag_that_runs_in_a_circle_is_walked_once():
    around = rewired(validate={"downstream": ("draft",)})

    assert isinstance(problems(wiring=around), list)


def test_a_dag_without_a_branch_needs_no_route():
    wiring = Wiring(
        {
            "intake": WiredTask(task_id="intake", kind="intake", downstream=("report",)),
            "report": WiredTask(task_id="report", kind="report"),
        }
    )
    assert problems(wiring=wiring) == []
