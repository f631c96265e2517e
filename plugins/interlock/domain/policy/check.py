"""
Whether a policy can work at all: asked before anyone publishes it, and again when a run pins it.

All problems are found at once, each with its place and what was meant, so that a policy author need not fix one to see
the next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from cel_expr_python import cel

from interlock.domain.agents.agent import ModelAgent
from interlock.domain.agents.usage_right import is_allowed, needs, read_in_vain, withheld
from interlock.domain.approvals.access import Access
from interlock.domain.approvals.approval import stage_problems
from interlock.domain.base.expression import Expression
from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.domain.cost.budget import contradictions
from interlock.domain.cost.price import format_dollars, to_nano
from interlock.domain.policy.autonomy import autonomy_problems
from interlock.domain.policy.company import Company
from interlock.domain.policy.policy import BUILT_IN_ROUTES, Policy
from interlock.domain.policy.suite_check import suite_problems
from interlock.domain.policy.version import Bundle
from interlock.domain.reports.kpi import kpi_problems
from interlock.errors import ConfigurationError, PolicyError


def check_bundle(
    bundle: Bundle, company: Company, *, environment: str, wiring: Wiring | None = None, today: date | None = None
) -> list[str]:
    """
    Return every problem that *bundle* has with the company's files that are in force.

    :param wiring: the Dag; default: routes are not compared with tasks.
    :param today: default: neither the policy's review date nor what a call costs is checked.
    """
    policy, settings = bundle.policy, bundle.settings
    problems = check_policy(policy, bundle.types, groups=company.access.groups, agents=bundle.agents, wiring=wiring)
    schemas = {name: contract["schema"] for name, contract in bundle.contracts.items()}
    problems += autonomy_problems(policy.autonomy, company.connectors, schemas, wiring)
    for name, gate in policy.gates.items():
        if early := gate.ladder.out_of_order(company.calendar):
            problems.append(f"gate {name!r}: in the hours of calendar.yaml, {early} on its ladder")
    problems += _answerable(bundle)
    problems += _usable(bundle, company.access)
    problems += _affordable(bundle, company)
    problems += _too_small(bundle, company, today) if today is not None else []
    problems += kpi_problems(settings.kpis)
    problems += suite_problems(bundle, wiring)
    problems += [f"policy.yaml, fresh: there is no contract {n!r}" for n in policy.fresh if n not in bundle.contracts]
    of_case = case_types(bundle)
    conditions = [("workflow.yaml, pilot.scope", settings.pilot.scope)]
    conditions += [(f"workflow.yaml, case_owner {rule.owner!r}", rule.when) for rule in settings.case_owner]
    conditions += [(f"workflow.yaml, service level {level.name!r}", level.when) for level in settings.service_levels]
    conditions += [(f"policy.yaml, sampling {sampling.name!r}", sampling.when) for sampling in policy.sampling]
    problems += _uncompiled(conditions, of_case)
    people = {person for members in company.access.groups.values() for person in members}
    for rule in settings.case_owner:
        if rule.owner not in company.access.groups and rule.owner not in people:
            problems.append(f"workflow.yaml: case owner {rule.owner!r} is neither a group of access.yaml nor in one")
    if today is not None and policy.reviewed is not None and policy.reviewed.until < today:
        problems.append(
            f"policy.yaml was reviewed on {policy.reviewed.last} and is valid until {policy.reviewed.until}: review "
            "it and write the day under reviewed.last"
        )
    return problems


def case_types(bundle: Bundle) -> dict[str, Any]:
    """Return the CEL types of what is known of a case before any agent answered."""
    return {n: t for n, t in bundle.types.items() if n.startswith("case.") or n in ("missing", "known")}


def _answerable(bundle: Bundle) -> list[str]:
    settings = bundle.settings
    people = {"owner": settings.owner, "maintainer": settings.maintainer, "approver": settings.approver}
    return [
        f"workflow.yaml: {duty} {person.name!r} has no escalation contact; name one under {duty}.escalation"
        for duty, person in people.items()
        if not person.escalation
    ]


def _usable(bundle: Bundle, access: Access) -> list[str]:
    """What the agents work with or read, and no row of ``uses`` lets them, in whatever role."""
    schemas = {name: contract["schema"] for name, contract in bundle.contracts.items()}
    schemas |= {"case": schemas[bundle.policy.contract]} if bundle.policy.contract in schemas else {}
    problems = []
    for name, declaration in bundle.agents.items():
        who = f"{bundle.workflow}/{name}"
        lacking = [
            f"{kind} {needed!r}"
            for kind, needed in needs(declaration)
            if not is_allowed(access.uses, kind, needed, agent=who, role=None)
        ]
        hidden = {n: withheld(schema, access.uses, agent=who, role=None) for n, schema in schemas.items()}
        lacking += [f"field {field}" for field in read_in_vain(declaration, bundle.files, hidden)]
        if lacking:
            problems.append(
                f"agents.yaml: {name!r} may not use {', '.join(lacking)}: list it under uses in access.yaml"
            )
    return problems


def _affordable(bundle: Bundle, company: Company) -> list[str]:
    """Budgets that cannot hold, and agents that are asked in another's place and are not there."""
    policy, agents = bundle.policy, bundle.agents
    problems = [
        f"policy.yaml: {budget} belongs in company/budgets.yaml"
        for budget in policy.budgets
        if budget.per in ("team", "company")
    ]
    budgets = [*policy.budgets, *(b for b in company.budgets.budgets if b.covers(bundle.workflow))]
    problems += contradictions(budgets, where="budgets")
    for name, declared in agents.items():
        for key, other in (("fallback", declared.fallback), ("cheaper", declared.cheaper)):
            if other is not None and other not in agents:
                known = ", ".join(sorted(agents))
                problems.append(f"agents.yaml: {key} of {name!r} is {other!r}, which is no agent (known: {known})")
        if budgets and isinstance(declared, ModelAgent) and "max_tokens" not in declared.settings:
            problems.append(
                f"agents.yaml: {name!r} has no settings.max_tokens, so nobody knows what a call can cost at most, and "
                f"it fits no budget ({budgets[0]})"
            )
    return problems


def _too_small(bundle: Bundle, company: Company, today: date) -> list[str]:
    """Budgets that no call of an agent fits into, whatever it is asked: each of its cases would wait for ever."""
    budgets = [*bundle.policy.budgets, *(b for b in company.budgets.budgets if b.covers(bundle.workflow))]
    if not budgets:
        return []
    least, problems = min(budgets, key=lambda budget: budget.limit), []
    for name, declared in bundle.agents.items():
        if not isinstance(declared, ModelAgent) or not declared.model or declared.cheaper or declared.fallback:
            continue
        model, tokens = declared.model.rpartition(":")[2], declared.settings.get("max_tokens")
        price = company.prices.of((declared.model, model), today)
        if price is None or not isinstance(tokens, int):
            continue
        answer = price.cost(input_tokens=0, output_tokens=tokens) * price.batch
        if answer > least.limit:
            problems.append(
                f"agents.yaml: an answer of {name!r} can cost {format_dollars(to_nano(answer))} by its max_tokens of "
                f"{tokens}, and the budget is {least}: no call fits into it. Raise the limit or lower max_tokens"
            )
    return problems


def _uncompiled(
    conditions: Iterable[tuple[str, str]], types: Mapping[str, Any], *, gives: Any = cel.Type.BOOL
) -> list[str]:
    problems = []
    for place, text in conditions:
        try:
            Expression(text, types, gives=gives)
        except PolicyError as error:
            problems.append(f"{place}: {error}")
    return problems


def check_policy(
    policy: Policy,
    types: Mapping[str, Any],
    *,
    groups: Mapping[str, Sequence[str]],
    agents: Collection[str] = (),
    wiring: Wiring | None = None,
) -> list[str]:
    """
    Return every problem of *policy*; an empty list means that it can work.

    :param types: CEL types of the variables, of :func:`interlock.domain.base.expression.variable_types`.
    :param groups: groups of people of ``access.yaml``, with their members.
    :param agents: agents that ``agents.yaml`` declares.
    :param wiring: the Dag; default: routes are not compared with tasks.
    """
    problems = _unevaluable(policy, types)
    problems += _unreachable(policy)
    problems += _ungated(policy)
    problems += _unanswered(policy, groups)
    if wiring is not None:
        problems += _against_wiring(policy, wiring, agents)
    return problems


def _unevaluable(policy: Policy, types: Mapping[str, Any]) -> list[str]:
    """Return the problems of the policy's expressions, and of checks of numbers where there are none to check."""
    conditions = [(f"rule {r.name!r}", r.when) for r in policy.rules]
    conditions += [(f"check {c.name!r}", c.that) for c in policy.checks if c.that is not None]
    problems = _uncompiled(conditions, types)
    for check in policy.checks:
        if check.numbers is not None and f"{check.numbers}.sections" not in types:
            reviews = ", ".join(sorted(n.partition(".")[0] for n in types if n.endswith(".sections"))) or "none"
            problems.append(
                f"check {check.name!r}: {check.numbers!r} is no contract with sections (there is: {reviews})"
            )
        elif check.numbers is not None and "case.facts" not in types:
            problems.append(f"check {check.name!r}: the case has no facts that numbers could be compared with")
    exposure = policy.exposure
    for name, text, gives in (
        ("amount", exposure.amount, cel.Type.DOUBLE),
        ("risk", exposure.risk, cel.Type.STRING),
        ("kind", exposure.kind, cel.Type.STRING),
    ):
        if text is not None:
            problems += _uncompiled([(f"exposure.{name}", text)], types, gives=gives)
    return problems


def _ungated(policy: Policy) -> list[str]:
    """Return the routes that lead to people, and no gate asks any."""
    problems = []
    routes = policy.routes()
    if "retry" in {rule.route for rule in policy.rules} | {policy.default}:
        problems.append("a rule uses route 'retry'; retries belong in the runbook, inside the task")
    gated = {route for gate in policy.gates.values() for route in gate.routes}
    for route in sorted(routes - gated - set(BUILT_IN_ROUTES)):
        problems.append(f"route {route!r} is used, but no gate lists it, and only 'auto' proceeds without people")
    if "review" in routes and "review" not in gated:
        problems.append("route 'review' is used, but no gate lists it: nobody would be asked")
    return problems


def _unanswered(policy: Policy, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the gates that ask groups which cannot answer."""
    problems = []
    for name, gate in policy.gates.items():
        for stage in gate.asked():
            problems += [f"gate {name!r}: {problem}" for problem in stage_problems(stage, groups)]
        for group in gate.ladder.groups():
            if not groups.get(group):
                why = "has nobody in it" if group in groups else f"is no group (known: {', '.join(sorted(groups))})"
                problems.append(f"gate {name!r}: its ladder names {group!r}, which {why}")
    return problems


def _unreachable(policy: Policy) -> list[str]:
    problems: list[str] = []
    seen: dict[str, str] = {}
    for index, rule in enumerate(policy.rules):
        condition = " ".join(rule.when.split())
        if condition in seen:
            problems.append(f"rule {rule.name!r} can never match: {seen[condition]!r} before it asks the same")
        seen.setdefault(condition, rule.name)
        if condition == "true" and index + 1 < len(policy.rules):
            problems.append(f"rule {policy.rules[index + 1].name!r} can never match: {rule.name!r} takes every case")
    return problems


def _against_wiring(policy: Policy, wiring: Wiring, agents: Collection[str]) -> list[str]:
    problems = []
    branches = wiring.of_kind("branch")
    served = wiring.served_routes()
    for route in sorted({rule.route for rule in policy.rules} | {policy.default}):
        if branches and route not in served and route not in ("stop", "retry"):
            known = ", ".join(sorted(served)) or "none"
            problems.append(f"route {route!r} is used, but no branch of the Dag sends it to a task (served: {known})")
    for task in wiring.tasks.values():
        if task.agent is not None and task.agent not in agents:
            known = ", ".join(sorted(agents)) or "none"
            problems.append(f"task {task.task_id!r}: there is no agent {task.agent!r} in agents.yaml (known: {known})")
        if task.kind == "gate" and task.gate not in policy.gates:
            known = ", ".join(sorted(policy.gates)) or "none"
            problems.append(f"task {task.task_id!r}: the policy has no gate {task.gate!r} (known: {known})")
        if task.kind == "branch":
            for route, target in task.branches.items():
                if target not in wiring.tasks:
                    problems.append(f"branch {task.task_id!r} sends {route!r} to {target!r}, which is no task of ours")
    return problems + _unguarded(policy, wiring)


def _unguarded(policy: Policy, wiring: Wiring) -> list[str]:
    """Follow every route to its end: what executes must have been validated, and without a gate be ``auto``."""
    problems: set[str] = set()
    for branch in wiring.of_kind("branch"):
        for route, target in branch.branches.items():
            if target in wiring.tasks and route != "fallback":
                _follow(policy, wiring, wiring.tasks[target], route, set(), problems)
    if any(check.on_failure == "review" for check in policy.checks):
        for validation in wiring.of_kind("validation"):
            _follow(policy, wiring, validation, "review", set(), problems)
    return sorted(problems)


def _follow(policy: Policy, wiring: Wiring, task: WiredTask, route: str, passed: set[str], problems: set[str]) -> None:
    if task.kind == "branch" or task.task_id in passed:
        return
    if task.kind == "execution":
        if not any(wiring.tasks[name].kind in ("validation", "gate") for name in passed):
            problems.add(f"route {route!r} reaches execution {task.task_id!r} without a validation or a gate before it")
        if route != "auto" and not any(wiring.tasks[name].kind == "gate" for name in passed):
            problems.add(f"route {route!r} reaches execution {task.task_id!r} without a gate; only 'auto' may")
        return
    if task.kind == "gate" and task.gate in policy.gates and route not in policy.gates[task.gate].routes:
        problems.add(f"route {route!r} waits at task {task.task_id!r}, but gate {task.gate!r} does not list it")
    try:
        following = wiring.next_task(task.task_id, route)
    except ConfigurationError as error:
        problems.add(str(error))
        return
    if following is not None:
        _follow(policy, wiring, following, route, passed | {task.task_id}, problems)
