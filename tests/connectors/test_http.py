"""The HTTP connector against a real server on loopback that misbehaves on purpose."""

from __future__ import annotations

import base64
import socket
import threading
from datetime import UTC, datetime

import pytest
from interlock.connectors.http_connection import base_url
from interlock.connectors.load import open_connector
from interlock.domain.effects.connector import (
    ConnectionFields,
    EffectRequest,
    HttpConnector,
    effect_key,
    parse_ecosystem,
    pick_connector,
)
from interlock.errors import ConfigurationError, ConnectorUnavailable, EffectRefused, UnknownName
from servers.effect_target import (
    CLOSE_BEFORE,
    FAIL_AFTER,
    FAIL_BEFORE,
    HANG_AFTER,
    HANG_BEFORE,
    LOSE_ANSWER,
    EffectTarget,
    rate_limited,
    redirect,
    refuse,
)


@pytest.fixture
def target():
    with EffectTarget() as running:
        yield running


@pytest.fixture
def opened():
    """Opens connectors that are closed at the end of the test."""
    connectors = []

    def open_to(address: str, fields: dict | None = None, **declared):
        declaration = HttpConnector(
            **{"kind": "http", "conn_id": "crm", "path": "/effects", "look_path": "/effects/{key}"} | declared
        )
        connectors.append(
            open_connector("crm", declaration, ConnectionFields(**{"conn_id": "crm", "host": address} | (fields or {})))
        )
        return connectors[-1]

    yield open_to
    for connector in connectors:
        connector.close()


def an_effect(business_key: str = "T-1", **payload) -> EffectRequest:
    said = payload or {"to": "ann@example.com", "text": "You get 40 EUR back."}
    return EffectRequest(
        key=effect_key("test", "support", business_key, "reply", str(sorted(said.items()))),
        business_key=business_key,
        action="reply",
        payload=said,
        environment="test",
    )


def carry_out(connector, request: EffectRequest):
    """As the engine does: look before each attempt after the first."""
    for attempt in range(5):
        if attempt and (receipt := connector.look(request)) is not None:
            return receipt
        try:
            return connector.send(request)
        except ConnectorUnavailable:
            continue
    raise AssertionError("five attempts without an answer")


def test_an_effect_is_sent_with_its_key_and_its_payload_and_nothing_else(target, opened):
    request = an_effect()

    receipt = opened(target.base_url).send(request)

    [stored] = target.stored
    assert (stored.key, stored.body, stored.method) == (request.key, request.payload, "POST")
    assert receipt.reference == f"effect-{request.key[:12]}"
    assert receipt.detail == {"status": 201, "location": f"/effects/{request.key}"}


def test_an_effect_that_was_never_sent_is_surely_not_there(target, opened):
    assert opened(target.base_url).look(an_effect()) is None


def test_looking_finds_what_was_sent_under_the_same_reference(target, opened):
    connector = opened(target.base_url)

    assert connector.look(an_effect("T-2")) is None
    assert connector.send(an_effect()).reference == connector.look(an_effect()).reference


@pytest.mark.parametrize("step", [LOSE_ANSWER, HANG_AFTER, FAIL_AFTER], ids=["lost", "hangs", "500 after"])
@pytest.mark.parametrize("on_repeat", ["replay", "conflict", "store"])
def test_an_effect_whose_answer_was_lost_is_found_by_a_look_and_not_repeated(opened, step, on_repeat):
    """With on_repeat="store" the target has no detection of its own: one repeat would be a second effect."""
    with EffectTarget(on_repeat) as target:
        target.script(step)

        receipt = carry_out(opened(target.base_url, timeout_seconds=0.3), an_effect())

        assert len(target.stored) == 1
        assert target.received == 1
        assert receipt.reference == f"effect-{an_effect().key[:12]}"


@pytest.mark.parametrize("step", [CLOSE_BEFORE, HANG_BEFORE, FAIL_BEFORE, rate_limited("1")])
def test_an_effect_that_did_not_arrive_is_sent_again_after_a_look(target, opened, step):
    target.script(step)

    carry_out(opened(target.base_url, timeout_seconds=0.3), an_effect())

    assert (target.received, target.looked, len(target.stored)) == (2, 1, 1)


@pytest.mark.parametrize("step", [CLOSE_BEFORE, HANG_BEFORE, FAIL_BEFORE], ids=["closed", "hangs", "500"])
def test_without_an_answer_the_connector_itself_does_not_repeat(target, opened, step):
    target.script(step)

    with pytest.raises(ConnectorUnavailable, match="'crm'") as caught:
        opened(target.base_url, timeout_seconds=0.3).send(an_effect())

    assert caught.value.retryable
    assert target.received == 1


def test_an_answer_that_drips_in_is_given_up_after_the_timeout(opened):
    """Each piece arrives in time; only the whole does not."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            line, _ = listener.accept()
            with line:
                line.recv(65536)
                line.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 100000\r\n\r\n")
                try:
                    while not stop.wait(0.05):
                        line.sendall(b" ")
                except OSError:
                    stop.set()

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(ConnectorUnavailable, match=r"within 0.3 s"):
            opened(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_seconds=0.3).send(an_effect())
        stop.set()
        thread.join(10)


def test_a_system_that_is_not_there_is_unavailable(opened):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectorUnavailable, match="ConnectError"):
            opened(f"http://127.0.0.1:{free.getsockname()[1]}").send(an_effect())


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("Mon, 23 Nov 2026 12:01:00 GMT", 60.0), ("soon", None), ("-3", None)]
)
def test_the_wait_that_is_asked_for_is_passed_on_in_seconds(target, header, seconds):
    from interlock.connectors.http import HttpTarget

    target.script(rate_limited(header))
    declaration = HttpConnector(kind="http", conn_id="crm", path="/effects", look_path="/effects/{key}")
    fields = ConnectionFields(conn_id="crm", host=target.base_url)
    connector = HttpTarget("crm", declaration, fields, now=lambda: datetime(2026, 11, 23, 12, tzinfo=UTC))

    with pytest.raises(ConnectorUnavailable, match="HTTP 429 \\(slow down\\)") as caught:
        connector.send(an_effect())

    connector.close()
    assert caught.value.retry_after_seconds == seconds


def test_a_used_key_is_looked_up_and_its_effect_is_the_receipt(opened):
    with EffectTarget("conflict") as target:
        connector = opened(target.base_url)

        assert connector.send(an_effect()).reference == connector.send(an_effect()).reference
        assert len(target.stored) == 1


def test_a_conflict_over_an_effect_that_is_not_there_is_looked_at_again(target, opened):
    target.script(refuse(409, {"message": "a request with this key is running"}))

    with pytest.raises(ConnectorUnavailable, match="is running"):
        opened(target.base_url).send(an_effect())


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_a_refusal_carries_the_servers_words_without_what_it_was_sent(target, opened, status):
    target.script(refuse(status, {"error": {"message": "no customer ann@example.com; owed: 40", "code": "x"}}))

    with pytest.raises(EffectRefused) as caught:
        opened(target.base_url).send(an_effect(to="ann@example.com", note="Please tell Bob", amount=40))

    assert f"HTTP {status} (no customer …; owed: 40)" in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize("body", [b"<html>long page</html>", b"", {"code": 4}, ["no"], {"message": 3}])
def test_a_refusal_without_a_message_is_told_by_its_status_alone(target, opened, body):
    target.script(refuse(422, body))

    with pytest.raises(EffectRefused, match=r"HTTP 422$"):
        opened(target.base_url).send(an_effect())


def test_refused_credentials_are_no_fault_of_the_case(target, opened):
    target.script(refuse(401))

    with pytest.raises(ConfigurationError, match="connection 'crm'"):
        opened(target.base_url).send(an_effect())


@pytest.mark.parametrize("status", [401, 403, 301, 400])
def test_a_look_that_is_not_answered_is_not_a_no(target, opened, status):
    target.look_status = status

    with pytest.raises(ConfigurationError, match=f"HTTP {status}"):
        opened(target.base_url).look(an_effect())


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_look_at_a_broken_system_can_be_tried_again(target, opened, status):
    target.look_status = status

    with pytest.raises(ConnectorUnavailable, match=f"HTTP {status}"):
        opened(target.base_url).look(an_effect())


def test_a_redirect_is_a_receipt_when_the_effect_is_there_and_a_wrong_address_when_not(target, opened):
    connector = opened(target.base_url)
    target.script(redirect("/thanks", stores=True), redirect("/login"))

    assert connector.send(an_effect("T-1")).reference.startswith("effect-")
    with pytest.raises(ConfigurationError, match="HTTP 303"):
        connector.send(an_effect("T-2"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"password": "token"}, "Bearer token"),
        ({"login": "bot", "password": "pw"}, "Basic " + base64.b64encode(b"bot:pw").decode()),
        ({}, None),
    ],
)
def test_the_connection_says_who_we_are(target, opened, fields, expected):
    opened(
        target.base_url, fields | {"extra": {"headers": {"X-Tenant": "north"}, "X-Team": "support", "timeout": "9"}}
    ).send(an_effect())

    headers = target.stored[0].headers
    assert headers.get("Authorization") == expected
    assert (headers["X-Tenant"], headers["X-Team"]) == ("north", "support")
    assert "timeout" not in headers


def test_a_secret_is_not_in_the_text_of_a_connection():
    fields = ConnectionFields(conn_id="crm", password="topsecret", extra={"headers": {"X-Key": "topsecret"}})

    assert "topsecret" not in repr(fields)


def test_a_path_takes_the_business_key_as_one_step(target, opened):
    connector = opened(target.base_url + "/api", path="/tickets/{business_key}/replies", method="PUT")

    connector.send(an_effect("../A 1"))

    assert (target.stored[0].path, target.stored[0].method) == ("/api/tickets/..%2FA%201/replies", "PUT")


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "https://a.example/api/"}, "https://a.example/api"),
        ({"host": "a.example"}, "http://a.example"),
        ({"host": "a.example", "schema": "https"}, "https://a.example"),
        ({"host": "a.example", "schema": "http", "port": 8080}, "http://a.example:8080"),
        ({"host": "http://a.example/api", "port": 81}, "http://a.example:81/api"),
        ({"host": "http://a.example:80", "port": 81}, "http://a.example:80"),
        ({"host": "http://[::1]", "port": 81}, "http://[::1]:81"),
    ],
)
def test_the_address_comes_from_host_schema_and_port(fields, url):
    assert base_url("crm", ConnectionFields(conn_id="crm", **fields)) == url


def test_a_connection_without_a_host_says_what_to_set(opened):
    with pytest.raises(ConfigurationError, match="connection 'crm' has no host"):
        opened("")


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "ftp://a.example"},
        {"host": "http://a.example:port"},
        {"extra": {"cafile": "/no/such/file.pem"}},
        {"extra": {"headers": {"X-Name": "Grüße €"}}},
    ],
)
def test_a_connection_that_cannot_be_used_is_told_before_anything_is_sent(opened, fields):
    with pytest.raises(ConfigurationError, match="connection 'crm'"):
        opened("http://a.example", fields)


def test_a_header_that_cannot_be_sent_is_no_reason_for_another_attempt(target, opened):
    connector = opened(target.base_url, {"extra": {"headers": {"X-Name": "two\nlines"}}})

    with pytest.raises(ConfigurationError, match="connection 'crm'"):
        connector.send(an_effect())
    assert target.received == 0


def test_headers_that_are_no_mapping_are_refused(opened):
    with pytest.raises(ConfigurationError, match="must be a JSON object"):
        opened("http://a.example", {"extra": {"headers": "X: 1"}})


def test_a_connector_is_not_opened_with_another_connection():
    declaration = HttpConnector(kind="http", conn_id="crm", path="/e", look_path="/e/{key}")

    with pytest.raises(ConfigurationError, match="'crm' and was given 'other'"):
        open_connector("crm", declaration, ConnectionFields(conn_id="other", host="http://a.example"))


def test_an_ecosystem_is_parsed_by_kind_and_its_other_parts_are_left_alone():
    connectors = parse_ecosystem(
        {
            "systems": ["anything"],
            "connectors": {
                "outbox": {"kind": "outbox", "conn_id": "interlock_outbox"},
                "crm": {
                    "kind": "http",
                    "conn_id": "crm",
                    "path": "/e",
                    "look_path": "/e/{key}",
                    "undo_path": "/e/{key}",
                },
            },
        }
    )

    assert pick_connector(connectors, "outbox").timeout_seconds == 30.0
    assert pick_connector(connectors, "crm").can_be_undone
    with pytest.raises(UnknownName, match="Did you mean 'crm'"):
        pick_connector(connectors, "cmr")


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"look_path": "/effects"}, r"crm\.http\.look_path: .*must hold \{key\}"),
        ({"path": "/x/{ticket}"}, r"crm\.http\.path: .*holds \{ticket\}"),
        ({"path": "/x/{key.__class__}"}, r"holds \{key\.__class__\}"),
        ({"path": "/x/{key"}, r"crm\.http\.path"),
        ({"path": "https://a.example/x"}, "whole address"),
        ({"method": "GET"}, r"crm\.http\.method"),
        ({"idempotency_header": "a b"}, r"idempotency_header"),
        ({"kind": "ftp"}, "crm: "),
        ({"speed": 1}, r"crm\.http\.speed"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_with_its_place(declared, said):
    document = {"kind": "http", "conn_id": "crm", "path": "/e", "look_path": "/e/{key}"} | declared

    with pytest.raises(ConfigurationError, match=said):
        parse_ecosystem({"connectors": {"crm": document}})


@pytest.mark.parametrize("document", [None, {}, {"connectors": None}])
def test_an_ecosystem_without_connectors_has_none(document):
    assert parse_ecosystem(document) == {}


def test_an_effect_has_one_key_whatever_the_attempt_and_another_for_any_difference():
    asked = ("test", "support", "T-1", "reply", "0" * 64)
    others = {effect_key(*asked[:place], "x", *asked[place + 1 :]) for place in range(5)}

    assert effect_key(*asked) == effect_key(*asked)
    assert len(others | {effect_key(*asked)}) == 6


@pytest.mark.parametrize("key", ["../x", "", "a/b", ".hidden", "x" * 201, "a b"])
def test_a_key_that_could_leave_its_folder_is_refused(key):
    with pytest.raises(ConfigurationError, match="effect_key"):
        EffectRequest(key=key, business_key="T-1", action="reply", payload={}, environment="test")
