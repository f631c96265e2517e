"""Who gets in: every route of the app, whoever adds one."""

from __future__ import annotations

import pytest
from interlock.console.app import create_app
from reviews import stated
from workflows import rows

pytestmark = pytest.mark.airflow

EMPTY = {"workflow": "refunds", "files": {}, "data": {}, "contracts": {}}
BODIES = {
    "/api/cases/{name}/vote": {"answer": "approve", "digest": "0" * 64},
    "/api/votes": {"votes": [{"case": "R1", "answer": "approve", "digest": "0" * 64}]},
    "/api/cases/{name}/edit": {"changes": {}, "digest": "0" * 64},
    "/api/cases/{name}/review-request": {"reason": "look"},
    "/api/cases/{name}/resubmit": {"changes": {}},
    "/api/cases/{name}/close": {"reason": "enough"},
    "/api/cases/{name}/break-glass": {"reason": "urgent", "digest": "0" * 64},
    "/api/cases/{name}/confirmation": {"answer": "approve", "digest": "0" * 64},
    "/api/cases/{name}/question": {"text": "is it paid?"},
    "/api/cases/{name}/reply": {"text": "it is"},
    "/api/cases/{name}/hand-over": {"to": "leo", "text": "yours"},
    "/api/cases/{name}/override": {"route": "stop", "reason": "seen"},
    "/api/cases/{name}/undo": {"reason": "wrong customer"},
    "/api/cases/{name}/reconcile": {"took_place": True, "reason": "they have it"},
    "/api/cases/{name}/forget": {"reason": "asked to"},
    "/api/versions": {"bundle": EMPTY, "reason": "why"},
    "/api/versions/propose": {"bundle": EMPTY, "reason": "why"},
    "/api/versions/import": {"document": {"interlock_version": 1, "bundle": EMPTY}, "reason": "why"},
    "/api/versions/{workflow}/bring-over": {"origin": "test", "reason": "why"},
    "/api/versions/{workflow}/export": {},
    "/api/versions/{workflow}/{number}/approval": {"answer": "approve", "digest": "0" * 64},
    "/api/versions/{workflow}/{number}/promotion": {"reason": "why"},
    "/api/workflows/{workflow}/deployment": {"act": "pause", "reason": "why"},
    "/api/delegations": {"taker": "otto", "until": "2999-01-01T00:00:00Z", "reason": "away"},
    "/api/delegations/{name}/end": {},
    "/api/incidents/{name}/acknowledge": {},
    "/api/incidents/{name}/close": {},
    "/api/outcomes": {
        "workflow": "refunds",
        "source": "paid.csv",
        "rows": [{"number": 2, "values": {"key": "R1", "outcome": "paid", "happened_at": "2026-01-01"}}],
    },
    "/api/workflows/{workflow}/rollback": {"reason": "worse"},
    "/api/switches": {"kind": "workflow", "name": "refunds", "off": True, "reason": "stop"},
}
"""A body that each changing route takes, so that nothing but the login and the right can refuse it."""


@pytest.fixture
def routes(all_routes):
    """(method, path) of every route."""
    assert len(all_routes) >= 14, all_routes
    return list(all_routes)


def ask(client, method, path, key="R1", **more):
    place = path.replace("{name}", key).replace("{workflow}", "refunds").replace("{number}", "1")
    place = place.replace("{fact_id}", more.pop("fact", "f"))
    return client.request(method, place, json=BODIES.get(path), **more)


def test_every_route_that_changes_something_is_tried_here(routes):
    assert {path for method, path in routes if method != "GET"} == set(BODIES)


def test_nobody_gets_in_without_a_login(routes, client):
    nobody = client(None)

    assert {route: ask(nobody, *route).status_code for route in routes} == dict.fromkeys(routes, 401)


def test_a_forged_token_does_not_get_in(routes, client):
    forged = client(None)
    forged.headers["Authorization"] = "Bearer " + client("lea").headers["Authorization"][7:-6] + "AAAAAA"

    assert {ask(forged, *route).status_code for route in routes} == {403}


def test_a_viewer_changes_nothing(routes, client, workflow):
    workflow.up_to("send_signed", rows("please"))
    viewer = client("vera")
    before = workflow.cases()

    statuses = {path: ask(viewer, method, path).status_code for method, path in routes if method != "GET"}

    assert statuses == dict.fromkeys(BODIES, 403)
    assert workflow.cases() == before


def test_a_viewer_sees_every_page(routes, client, workflow, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SNAPSHOT_PATH", str(tmp_path / "snapshots"))
    workflow.up_to("send_signed", rows("please"))
    fact = stated(workflow, tmp_path / "snapshots")[0]
    viewer = client("vera")

    statuses = {path: ask(viewer, method, path, fact=fact.id).status_code for method, path in routes if method == "GET"}

    assert statuses == dict.fromkeys(statuses, 200)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_what_another_site_posts_is_refused(routes, client, workflow, headers):
    workflow.up_to("send_signed", rows("please"))
    voter = client("lea")

    statuses = {
        path: ask(voter, method, path, headers=headers).status_code for method, path in routes if method != "GET"
    }

    assert statuses == dict.fromkeys(BODIES, 403)
    assert workflow.states() == {"R1": "waiting"}


def test_what_this_site_posts_is_taken(client, workflow):
    workflow.up_to("send_signed", rows("please"))
    voter = client("lea")
    digest = voter.get("/api/reviews/R1").json()["digest"]
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"}

    response = voter.post("/api/cases/R1/vote", json={"answer": "approve", "digest": digest}, headers=headers)

    assert (response.status_code, workflow.states()) == (200, {"R1": "authorised"})


def test_where_everybody_is_one_anonymous_admin_nobody_signs_anything_off(client, workflow, monkeypatch):
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    workflow.up_to("send_signed", rows("please"))
    anyone = client(None)
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="Anonymous", role="ADMIN"))
    anyone.headers["Authorization"] = f"Bearer {token}"

    response = anyone.post("/api/cases/R1/close", json={"reason": "mine"})

    assert response.status_code == 403
    assert "simple_auth_manager_all_admins" in response.json()["detail"]
    assert "nobody can sign anything off" in anyone.get("/review/R1").text


def test_every_answer_carries_the_headers(client, workflow):
    answers = [client("vera").get(path) for path in ("/", "/runs", "/api/me", "/static/console.css", "/case/nothing")]

    for answer in [*answers, client(None).get("/")]:
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_browser_without_a_session_gets_a_page_that_leads_to_the_login(client, workflow):
    response = client(None).get("/review", headers={"Accept": "text/html"})

    assert response.status_code == 401
    assert 'href="/auth/login"' in response.text
    assert "lost_session.js" in response.text
    assert "Waiting for people" not in response.text


def test_the_app_shows_no_schema_of_itself(client, workflow):
    admin = client("lea")

    assert {admin.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")} == {404}


def test_an_app_can_be_made_more_than_once(airflow_home):
    assert create_app() is not create_app()
