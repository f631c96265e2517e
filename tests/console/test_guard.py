"""What each route asks before its handler runs. A route that is not in the table, or asks nothing, is refused here."""

from __future__ import annotations

import pytest
from interlock.console.guard import Guard
from interlock.console.identity import acting_person, current_person

pytestmark = pytest.mark.airflow

SEES_CASES = ["sees Dags: see cases"]
SEES_CASE = ["sees the case's Dag: see cases"]
SETTLES = ["changes Dags: settle an incident", "holds the right switch"]


def on_case(what: str, right: str | None = None) -> list[str]:
    """A case's route: Airflow's permission for its Dag, and a right in its workflow."""
    rights = [f"holds the right {right} in the case's workflow"] if right else []
    return [f"answers for the case's Dag: {what}", *rights]


def engine(right: str) -> list[str]:
    """A route whose right the engine asks for."""
    return [f"the engine asks for the right {right}"]


GUARDS = {
    ("GET", "/"): SEES_CASES,
    ("GET", "/review"): SEES_CASES,
    ("GET", "/review/{name}"): SEES_CASE,
    ("GET", "/case/{name}"): SEES_CASE,
    ("GET", "/task"): ["sees the Dag: see cases"],
    ("GET", "/runs"): ["sees Dags: see runs"],
    ("GET", "/quality"): ["sees the Dag: see data checks"],
    ("GET", "/value"): ["sees Dags: see figures"],
    ("GET", "/fact/{fact_id}"): ["sees Dags: see facts"],
    ("GET", "/api/me"): ["any login"],
    ("GET", "/api/reviews"): SEES_CASES,
    ("GET", "/api/reviews/{name}"): SEES_CASE,
    ("GET", "/api/cases/{name}"): SEES_CASE,
    ("GET", "/api/break-glass"): SEES_CASES,
    ("GET", "/api/switches"): ["sees Dags: see switches"],
    ("GET", "/api/versions/{workflow}"): ["sees the workflow's Dags: see versions"],
    ("GET", "/api/deployments"): ["sees Dags: see deployments"],
    ("GET", "/api/delegations"): ["sees Dags: see delegations"],
    ("GET", "/api/incidents"): ["sees Dags: see incidents"],
    ("GET", "/api/outcomes"): ["sees Dags: see outcomes"],
    ("GET", "/api/workflows/{workflow}/value"): ["sees the workflow's Dags: see figures"],
    ("POST", "/api/cases/{name}/vote"): on_case("vote"),
    ("POST", "/api/votes"): ["answers for each case's Dag: vote"],
    ("POST", "/api/cases/{name}/edit"): on_case("edit a draft"),
    ("POST", "/api/cases/{name}/review-request"): on_case("ask for a review"),
    ("POST", "/api/cases/{name}/override"): on_case("override a decision", "override"),
    ("POST", "/api/cases/{name}/break-glass"): on_case("break the glass", "break_glass"),
    ("POST", "/api/cases/{name}/confirmation"): on_case("review a break-glass"),
    ("POST", "/api/cases/{name}/question"): on_case("ask back"),
    ("POST", "/api/cases/{name}/reply"): on_case("answer a question"),
    ("POST", "/api/cases/{name}/hand-over"): on_case("hand a case over"),
    ("POST", "/api/cases/{name}/resubmit"): on_case("resubmit a case", "correct"),
    ("POST", "/api/cases/{name}/close"): on_case("close a case", "correct"),
    ("POST", "/api/cases/{name}/undo"): on_case("undo an effect", "correct"),
    ("POST", "/api/cases/{name}/reconcile"): on_case("reconcile an effect", "correct"),
    ("POST", "/api/cases/{name}/forget"): ["holds the right forget in the case's workflow"],
    ("POST", "/api/switches"): ["holds the right switch in the switch's workflow"],
    ("POST", "/api/versions"): engine("propose"),
    ("POST", "/api/versions/propose"): engine("propose"),
    ("POST", "/api/versions/import"): engine("propose"),
    ("POST", "/api/versions/{workflow}/bring-over"): engine("propose"),
    ("POST", "/api/versions/{workflow}/export"): ["holds the right propose in the workflow"],
    ("POST", "/api/versions/{workflow}/{number}/approval"): engine("approve"),
    ("POST", "/api/versions/{workflow}/{number}/promotion"): engine("promote"),
    ("POST", "/api/workflows/{workflow}/rollback"): engine("promote"),
    ("POST", "/api/workflows/{workflow}/deployment"): engine("deploy"),
    ("POST", "/api/delegations"): ["answers for Dags: let somebody stand in"],
    ("POST", "/api/delegations/{name}/end"): ["answers for Dags: end a delegation"],
    ("POST", "/api/incidents/{name}/acknowledge"): SETTLES,
    ("POST", "/api/incidents/{name}/close"): SETTLES,
    ("POST", "/api/outcomes"): [
        "answers for Dags: record outcomes",
        "holds the right correct in the outcomes' workflow",
    ],
}
"""Every route and what its guards ask, in their order."""


def asked_by(route):
    """Return everything that a route depends on, its dependencies' own included."""
    waiting, found = list(route.dependant.dependencies), []
    while waiting:
        dependency = waiting.pop(0)
        found.append(dependency.call)
        waiting += dependency.dependencies
    return found


@pytest.fixture
def dependencies(all_routes):
    """What each route depends on."""
    return {name: asked_by(route) for name, route in all_routes.items()}


def test_every_route_has_a_guard(dependencies):
    without = [name for name, asked in dependencies.items() if not any(isinstance(each, Guard) for each in asked)]

    assert without == [], "name a guard of console/guard.py in the route's decorator: dependencies=guards(...)"


def test_every_route_asks_what_the_table_says(dependencies):
    found = {name: [str(each) for each in asked if isinstance(each, Guard)] for name, asked in dependencies.items()}

    assert found == GUARDS


def test_what_changes_something_refuses_other_sites_and_every_guard_knows_the_person(dependencies):
    for (method, path), asked in dependencies.items():
        assert current_person in asked, path
        assert (acting_person in asked) == (method != "GET"), path
