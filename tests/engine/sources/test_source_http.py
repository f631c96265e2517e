import base64
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from interlock.domain.data.source import parse_source
from interlock.engine.sources.source import read_rows
from interlock.errors import SourceError
from servers.row_server import Reply, RowServer


@dataclass
class Fields:
    """What an Airflow connection shows of itself."""

    conn_type: str = "http"
    host: str | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = None
    port: int | None = None
    extra: str | None = None


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


class Waits(list):
    """Stands in for sleep and remembers."""

    __call__ = list.append


def rows_of(source, *, connections=None, sleep=None, timeout=10.0):
    spec = parse_source(source)
    given = {
        "connection": (connections or {}).__getitem__,
        "http_timeout_seconds": timeout,
        "sleep": Waits() if sleep is None else sleep,
    }
    return list(read_rows(spec, **given))


def ids(rows):
    assert [row.problem for row in rows] == [None] * len(rows)
    return [row.values["id"] for row in rows]


def refused(source, said, **given):
    with pytest.raises(SourceError, match=said) as caught:
        rows_of(source, **given)
    return caught.value


@pytest.mark.parametrize(
    "body", [[{"id": 1}, {"id": 2}], {"items": [{"id": 1}, {"id": 2}]}, {"data": [{"id": 1}, {"id": 2}], "next": None}]
)
def test_a_json_answer_holds_rows_in_a_list(body):
    with RowServer({"/rows": [Reply(body)]}) as server:
        assert ids(rows_of(server.url("/rows"))) == [1, 2]


@pytest.mark.parametrize(
    ("path", "reply"),
    [
        ("/rows", Reply('{"id": 1}\n{"id": 2}\n', headers={"Content-Type": "application/x-ndjson"})),
        ("/rows", Reply('{"id": 1}\n{"id": 2}\n')),
        ("/rows.jsonl", Reply('{"id": 1}\n{"id": 2}', headers={"Content-Type": "application/octet-stream"})),
    ],
)
def test_json_lines_are_told_from_a_document(path, reply):
    with RowServer({path: [reply]}) as server:
        assert ids(rows_of(server.url(path))) == [1, 2]


def test_csv_and_parquet_are_read_from_a_service_too(tmp_path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"id": [1, 2]}), tmp_path / "t.parquet")
    routes = {
        "/export": [Reply("id;n\n1;a\n2;b\n".encode("utf-16"), headers={"Content-Type": "text/csv"})],
        "/t.parquet": [Reply((tmp_path / "t.parquet").read_bytes(), headers={"Content-Type": "application/x-any"})],
    }
    with RowServer(routes) as server:
        assert ids(rows_of({"url": server.url("/export"), "encoding": "utf-16", "delimiter": ";"})) == ["1", "2"]
        assert ids(rows_of(server.url("/t.parquet"))) == [1, 2]


def test_a_bad_row_is_a_problem_numbered_through_the_pages():
    routes = {
        "/rows": [Reply({"items": [{"id": 1}, 7], "next": "/rows?page=2"})],
        "/rows?page=2": [Reply({"items": ["x", {"id": 4}]})],
    }
    with RowServer(routes) as server:
        rows = rows_of(server.url("/rows"))

    assert [(row.number, row.problem is None) for row in rows] == [(1, True), (2, False), (3, False), (4, True)]


def test_next_links_are_followed_in_every_usual_form():
    with RowServer({}) as server:
        server.routes |= {
            "/a/1": [Reply({"items": [{"id": 1}], "next": "2?x=1"})],
            "/a/2?x=1": [Reply({"items": [{"id": 2}], "next": server.url("/a/3")})],
            "/a/3": [Reply({"items": [{"id": 3}], "links": {"next": "/a/4"}})],
            "/a/4": [Reply({"items": [{"id": 4}], "_links": {"next": {"href": "/a/5"}}})],
            "/a/5": [Reply([{"id": 5}], headers={"Link": '</a/6>; rel="next", </a/1>; rel="first"'})],
            "/a/6": [Reply({"items": [], "next": ""})],
        }

        assert ids(rows_of(server.url("/a/1"))) == [1, 2, 3, 4, 5]
        assert server.paths() == ["/a/1", "/a/2?x=1", "/a/3", "/a/4", "/a/5", "/a/6"]


def test_pages_are_asked_for_one_at_a_time_as_rows_are_taken():
    routes = {"/1": [Reply({"items": [{"id": 1}], "next": "/2"})], "/2": [Reply([{"id": 2}])]}
    with RowServer(routes) as server:
        rows = read_rows(parse_source(server.url("/1")), connection={}.__getitem__)
        next(rows)

        assert server.paths() == ["/1"]


def test_more_pages_than_allowed_is_an_error_and_not_a_part():
    with RowServer({}) as server:
        server.routes |= {f"/{n}": [Reply({"items": [{"id": n}], "next": f"/{n + 1}"})] for n in range(1, 6)}
        refused({"url": server.url("/1"), "max_pages": 3}, "has more than 3 pages")

        assert len(server.asked) == 3


def test_a_link_back_is_an_error_and_no_endless_run():
    routes = {"/1": [Reply({"items": [], "next": "/2"})], "/2": [Reply({"items": [], "next": "/1"})]}
    with RowServer(routes) as server:
        refused(server.url("/1"), "links from page 2 back")


def test_a_next_that_is_no_link_is_an_error():
    with RowServer({"/1": [Reply({"items": [], "next": 2})]}) as server:
        refused(server.url("/1"), "'next' of .* is no link")


def test_a_link_or_redirection_to_another_host_is_not_followed():
    with RowServer({}) as server, RowServer({"/rows": [Reply([{"id": 9}])]}) as other:
        server.routes |= {
            "/link": [Reply({"items": [], "next": other.url("/rows")})],
            "/away": [Reply(status=302, headers={"Location": other.url("/rows")})],
        }
        refused(server.url("/link"), "another host")
        refused(server.url("/away"), "another host")

        assert other.asked == []


def test_a_redirection_on_the_same_host_is_followed_but_not_for_ever():
    routes = {
        "/old": [Reply(status=301, headers={"Location": "/new/rows"})],
        "/new/rows": [Reply({"items": [{"id": 1}], "next": "more"})],
        "/new/more": [Reply([{"id": 2}])],
        "/loop": [Reply(status=302, headers={"Location": "/loop"})],
    }
    with RowServer(routes) as server:
        assert ids(rows_of(server.url("/old"))) == [1, 2]
        refused(server.url("/loop"), "redirects more than 5 times")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_service_that_cannot_answer_now_is_asked_again_after_what_it_says(status):
    waits = Waits()
    routes = {"/rows": [Reply(status=status, headers={"Retry-After": "7"}), Reply(status=status), Reply([{"id": 1}])]}
    with RowServer(routes) as server:
        assert ids(rows_of(server.url("/rows"), sleep=waits)) == [1]

    assert waits == [7.0, 1.0]


def test_a_retry_after_that_is_a_date_is_held_against_the_clock_of_the_service():
    now = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    headers = {
        "Date": format_datetime(now, usegmt=True),
        "Retry-After": format_datetime(now + timedelta(seconds=20), usegmt=True),
    }
    waits = Waits()
    with RowServer({"/rows": [Reply(status=503, headers=headers), Reply([{"id": 1}])]}) as server:
        rows_of(server.url("/rows"), sleep=waits)

    assert waits == [20.0]


def test_a_service_that_never_answers_is_an_error_that_a_later_attempt_may_get_past():
    with RowServer({"/rows": [Reply(status=503)]}) as server:
        error = refused(server.url("/rows"), "answered 503 Service Unavailable, 4 times")

        assert len(server.asked) == 4
    assert error.retryable


def test_a_service_that_asks_for_a_long_wait_is_left_alone():
    waits = Waits()
    with RowServer({"/rows": [Reply(status=429, headers={"Retry-After": "3600"})]}) as server:
        error = refused(server.url("/rows"), "left alone for 3600 seconds", sleep=waits)

        assert len(server.asked) == 1
    assert error.retryable
    assert waits == []


def test_a_body_that_breaks_off_is_asked_for_again_and_gives_no_row_twice():
    body = [{"id": number} for number in range(100)]
    with RowServer({"/rows": [Reply(body, cut_after=400), Reply(body)]}) as server:
        assert ids(rows_of(server.url("/rows"))) == list(range(100))


def test_nobody_there_is_an_error_that_a_later_attempt_may_get_past():
    with socket.socket() as taken:  # bound and not listening: refused, and nobody else can take the port
        taken.bind(("127.0.0.1", 0))
        error = refused(f"http://127.0.0.1:{taken.getsockname()[1]}/rows", "gave no whole answer")

    assert error.retryable


def test_a_service_that_says_nothing_runs_into_the_timeout():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        error = refused(f"http://127.0.0.1:{silent.getsockname()[1]}/rows", "gave no whole answer", timeout=0.05)

    assert error.retryable


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(status=401), "answered 401 Unauthorized. Check the login"),
        (Reply(status=404), "answered 404 Not Found. Check the path"),
        (Reply(status=204), "answered 204"),
        (Reply("<html>", headers={"Content-Type": "text/html"}), "a web page"),
        (Reply('{"items": ['), "is not JSON"),
        (Reply({"error": "no"}), "without a list"),
        (Reply(b"no gzip at all", headers={"Content-Encoding": "gzip"}), "gave no whole answer: .*decompressing"),
    ],
)
def test_an_answer_without_rows_says_what_it_is(reply, said):
    with RowServer({"/rows": [reply]}) as server:
        refused(server.url("/rows"), said)


def test_an_error_does_not_repeat_the_parameters_of_an_address():
    with RowServer({"/rows?token=t0ken": [Reply(status=403)]}) as server:
        error = refused(server.url("/rows?token=t0ken"), "answered 403")

    assert "t0ken" not in str(error)


# --- through a connection ---


def test_a_connection_gives_address_login_and_headers():
    with RowServer({"/v2/leads?open=1": [Reply([{"id": 1}])]}) as server:
        fields = Fields(
            host="http://127.0.0.1/v2/",
            port=server.port,
            login="ann",
            password="s3cret",
            extra='{"X-Team": "sales", "timeout": "30", "headers": {"X-Key": "k"}}',
        )
        assert ids(rows_of("conn://crm/leads?open=1", connections={"crm": fields})) == [1]
        headers = server.asked[0].headers

    assert headers["authorization"] == "Basic " + base64.b64encode(b"ann:s3cret").decode()
    assert (headers["x-team"], headers["x-key"]) == ("sales", "k")
    assert "timeout" not in headers


def test_a_password_without_a_login_is_a_bearer_token_and_goes_on_to_the_next_page():
    routes = {"/1": [Reply({"items": [{"id": 1}], "next": "/2"})], "/2": [Reply([{"id": 2}])]}
    with RowServer(routes) as server:
        fields = Fields(host="127.0.0.1", schema="http", port=server.port, password="t0ken")
        rows_of({"http": "/1", "conn_id": "crm"}, connections={"crm": fields})

        assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer t0ken"] * 2


def test_an_unknown_connection_says_how_to_add_it():
    error = refused("conn://crm/leads", "there is no Airflow connection 'crm'")

    assert "airflow connections add crm" in str(error)
    assert "AIRFLOW_CONN_CRM" in str(error)
    assert not error.retryable


def test_a_connection_without_a_host_is_told():
    refused("conn://crm/leads", "connection 'crm' has no host", connections={"crm": Fields()})
