"""No request ends in 500, whatever is in its address or its body; every case can be addressed; HEAD works."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from fuzz import inputs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interlock.engine.policy.bundle import read_bundle
from workflows import NAME, SourceRow, rows

pytestmark = pytest.mark.airflow

KEYS = ("2026/03/17", "A?b=c", "#7", "50 %", "a&b", "Ä/ö ü", "x/vote", "tail/")
HOSTILE = (
    '{"changes": {"amount": 1e999}, "digest": "d"}',
    '{"changes": {"amount": NaN}, "digest": "d"}',
    '{"changes": {"text": "\\ud800"}, "digest": "d"}',
    '{"changes": {"text": "a\\u0000b"}, "digest": "d"}',
    '{"changes": {"text": "a", "text": "b"}, "digest": "d"}',
    '{"changes": {"\\udfff": 1}, "digest": "d"}',
    '{"changes": {"amount": 123456789012345678901234567890}, "digest": "d"}',
    '{"changes": ' + '{"a":' * 200 + "1" + "}" * 200 + ', "digest": "d"}',
    "[" * 100_000,
    '{"changes": {"amount": ' + "9" * 5000 + '}, "digest": "d"}',
    "\xff\xfe",
    "nothing",
)


@pytest.fixture
def parked(workflow):
    """Refunds that wait at the gate, with keys that an address must quote."""
    given_rows = [
        SourceRow(number=number, values={"refund_id": key, "text": "one"}) for number, key in enumerate(KEYS, 1)
    ]
    workflow.up_to("send", [*given_rows, *rows("one")])
    workflow.gate()
    return workflow


def test_a_case_is_found_by_whatever_key_it_has(parked, client):
    lea = client("lea")
    for key in KEYS:
        name = quote(key, safe="")

        seen = lea.get(f"/api/reviews/{name}").json()
        assert seen["business_key"] == key
        assert lea.get(f"/api/cases/{name}").json()["case"]["business_key"] == key
        assert lea.get(f"/case/{name}").status_code == 200
        assert lea.get(f"/review/{name}").status_code == 200
        answer = lea.post(f"/api/cases/{name}/vote", json={"answer": "approve", "digest": seen["digest"]})
        assert (answer.status_code, answer.json()["case"]) == (200, key)


def test_a_body_that_nothing_can_be_made_of_is_refused_in_words(parked, client):
    lea = client("lea")
    paths = ("cases/R1/edit", "cases/R1/resubmit", "votes", "versions", "versions/import", "outcomes")
    for body in HOSTILE:
        for path in paths:
            head = {"Content-Type": "application/json"}
            answer = lea.post(f"/api/{path}", content=body.encode("latin-1"), headers=head)

            assert answer.status_code == 422, (path, answer.text)
            assert "the body" in answer.json()["detail"]
    large = lea.post("/api/votes", content=b" " * 9_000_000, headers={"Content-Type": "application/json"})
    assert large.status_code == 413
    assert parked.states()["R1"] == "waiting"


def test_an_address_that_names_nothing_possible_is_refused_in_words(parked, client):
    otto = client("otto")
    for path in (
        "reviews?limit=0",
        "reviews?limit=-1",
        f"reviews?limit={10**30}",
        f"outcomes?limit={2**63}",
        "outcomes?workflow=%00",
        "cases/a%00b",
        "reviews/%00",
        f"versions/{NAME}/{10**30}/approval",
        f"versions/{NAME}/export?number={10**30}",
    ):
        vote = {"answer": "approve", "digest": "d"}
        is_act = "approval" in path or "export" in path
        answer = otto.post(f"/api/{path}", json=vote) if is_act else otto.get(f"/api/{path}")

        assert answer.status_code == 422, path
        assert answer.json()["detail"]


def test_an_instant_that_is_none_is_refused(workflow, client):
    lea = client("lea")
    for until in (253402300799, "20270301", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"):
        body = {"taker": "leo", "until": until, "reason": "away"}

        assert lea.post("/api/delegations", json=body).status_code == 422, until


def test_a_bundle_that_is_none_is_refused_in_words(workflow, client):
    bundle, otto = read_bundle(workflow.include, NAME).to_json(), client("otto")
    for change in (
        {"files": {"policy.yaml": 5}},
        {"files": {"policy.yaml": "[" * 5000}},
        {"files": {"policy.yaml": "a: &a [*a, *a]"}},
        {"files": {"workflow.yaml": "phase: 2026-99-99"}},
        {"files": {"agents.yaml": "x: " + "1" * 5000}},
        {"files": ["policy.yaml"]},
        {"contracts": {"Refund": 5}},
        {"contracts": {"Refund": {"ref": "Refund@1", "digest": "d", "schema": {"properties": 5}}}},
        {"contracts": {"Refund": {"ref": 5, "digest": [], "schema": {"$defs": [], "properties": {"a": {"$ref": 5}}}}}},
        {"data": {"data/train.csv": None}},
        {"workflow": 5},
        {"workflow": "x" * 5000},
    ):
        broken = {
            name: {**bundle[name], **part} if isinstance(part, dict) and isinstance(bundle[name], dict) else part
            for name, part in change.items()
        }
        answer = otto.post("/api/versions/propose", json={"bundle": {**bundle, **broken}, "reason": "a test"})

        assert 400 <= answer.status_code < 500, (change, answer.text)
        assert answer.json()["detail"]


def test_an_edit_may_not_hold_what_the_contract_cannot_write(parked, client):
    lea = client("lea")
    seen = lea.get("/api/reviews/R1").json()

    answer = lea.post("/api/cases/R1/edit", json={"changes": {"amount": "1e999"}, "digest": seen["digest"]})

    assert (answer.status_code, answer.json()["error"]) == (409, "ContractViolation")
    assert "amount: is not a finite number" in answer.json()["detail"]


def test_head_has_the_head_of_get_and_no_body(parked, client):
    lea = client("lea")
    for path in ("/api/me", "/api/reviews", "/", "/case/R1", "/static/console.css"):
        head, get = lea.head(path), lea.get(path)

        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        assert head.headers["content-length"] == get.headers["content-length"]
    assert client(None).head("/api/me").status_code == 401


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(["R1", NAME, "approve", "1e999", "2026-03-01", "[", "{{", "\0"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=inputs(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_request_ends_in_500_whatever_its_fields_hold(parked, client, all_routes, data):
    otto = client("otto")
    method, path = data.draw(st.sampled_from(sorted(all_routes)))
    route = all_routes[method, path]
    for name in route.param_convertors:
        value = data.draw(st.sampled_from(["R1", NAME, "1", "0", "%00", "é", "a/b", "9" * 40]), label=name)
        path = path.replace(f"{{{name}:path}}", quote(value, safe="%")).replace(f"{{{name}}}", quote(value, safe="%"))
    query = {
        field.name: data.draw(st.sampled_from(["", "R1", NAME, "-1", "9" * 30, "é", "\0"]) | st.text(max_size=6))
        for field in route.dependant.query_params
        if data.draw(st.booleans())
    }
    body = None
    if route.body_field is not None:
        fields = getattr(route.body_field.field_info.annotation, "model_fields", {"bundle": None, "reason": None})
        body = {name: data.draw(_JSON, label=name) for name in fields if data.draw(st.integers(0, 9))}
    sent = {"content": json.dumps(body).encode(), "headers": {"Content-Type": "application/json"}} if body else {}

    answer = otto.request(method, path, params=query, **sent)

    assert answer.status_code != 500, (method, path, query, body, answer.text)
