"""A part is never taken for the whole: what services say of more is followed where declared, and refused elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from interlock.domain.data.source import parse_source
from interlock.engine.sources.source import read_rows
from interlock.errors import ConfigurationError, SourceError
from servers.row_server import Reply, RowServer

ROW = [{"id": 1}]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def ids(url: str, **spec: Any) -> list[Any]:
    rows = read_rows(parse_source({"url": url, **spec}), connection=lambda name: None, sleep=lambda seconds: None)
    return [(row.values or {})["id"] for row in rows]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"results": ROW, "has_more": True, "next_cursor": "c2"}, {}),
        ({"data": ROW, "has_more": True}, {}),
        ({"data": ROW, "hasMore": "true"}, {}),
        ({"items": ROW, "total": 250, "limit": 1, "offset": 0}, {}),
        ({"items": ROW, "count": 250}, {}),
        ({"items": ROW, "meta": {"pagination": {"total_count": 2}}}, {}),
        ({"items": ROW, "page": 1, "pages": 3}, {}),
        ({"items": ROW, "current_page": 1, "last_page": 5}, {}),
        ({"items": ROW, "totalSize": 2, "done": False}, {}),
        ({"data": ROW, "last": False}, {}),
        ({"items": ROW, "nextPageToken": "t2"}, {}),
        ({"items": ROW, "response_metadata": {"next_cursor": "dXNlcj="}}, {}),
        ({"items": ROW, "paging": {"next": {"after": "2"}}}, {}),
        ({"items": ROW, "pageInfo": {"hasNextPage": True, "endCursor": "e"}}, {}),
        ({"items": ROW, "IsTruncated": True}, {}),
        ({"items": ROW, "@odata.count": 9}, {}),
        ({"items": ROW, "hits": {"total": {"value": 10, "relation": "eq"}}}, {}),
        (ROW, {"X-Total-Count": "2"}),
        (ROW, {"X-Total-Pages": "2"}),
        (ROW, {"X-Next-Page": "2"}),
        (ROW, {"Content-Range": "items 0-0/7"}),
        ({"items": [], "total": 3}, {}),
    ],
)
def test_what_says_that_there_is_more_is_refused_unless_it_is_declared_whole(body, headers):
    with RowServer({"/rows": [Reply(body, headers=headers)]}) as server:
        with pytest.raises(SourceError, match=r"says that there is more than the \d rows.*\"cursor\""):
            ids(server.url("/rows"))
        assert len(ids(server.url("/rows"), whole=True)) <= 1


@pytest.mark.parametrize(
    "body",
    [
        {"items": ROW, "has_more": False, "next_cursor": "unused"},
        {"items": ROW, "total": 1, "count": 1, "page": 1, "pages": 1, "done": True, "next": None},
        {"items": ROW, "pageInfo": {"hasNextPage": False, "endCursor": "e"}},
        {"items": ROW, "nextPageToken": "", "next_page": None, "nextOffset": -1},
        {"items": [{"id": 1, "has_more": True, "total": 99}], "total_amount": 5000, "invoice": {"total": 300}},
        {"items": ROW, "total": 99.5, "errors": [], "error": None, "status": "ok", "success": True},
    ],
)
def test_what_is_whole_is_taken(body):
    with RowServer({"/rows": [Reply(body)]}) as server:
        assert ids(server.url("/rows")) == [1]


@pytest.mark.parametrize(
    ("field", "holder"),
    [
        ("next_page", None),
        ("@odata.nextLink", None),
        ("nextRecordsUrl", None),
        ("next", "paging"),
        ("next", "meta"),
        ("next_url", "pagination"),
    ],
)
def test_an_address_in_a_usual_field_is_followed(field, holder):
    with RowServer({}) as server:
        link = {field: server.url("/b") if field != "nextRecordsUrl" else "/b"}
        server.routes |= {
            "/a": [Reply({"items": ROW, "count": 2, **({holder: link} if holder else link)})],
            "/b": [Reply({"items": [{"id": 2}], "count": 2, field: None})],
        }
        assert ids(server.url("/a")) == [1, 2]


def test_declared_ways_are_followed_to_their_end():
    with RowServer({}) as server:
        server.routes |= {
            "/n": [Reply({"items": ROW, "way": {"on": "/n?2"}})],
            "/n?2": [Reply({"items": [{"id": 2}], "way": {"on": None}})],
            "/c?size=1": [Reply({"data": {"list": ROW}, "info": {"has_more": True, "end": "x/y="}})],
            "/c?size=1&after=x%2Fy%3D": [
                Reply({"data": {"list": [{"id": 2}]}, "info": {"has_more": False, "end": "z"}})
            ],
            "/o": [Reply({"items": ROW * 2, "total": 3})],
            "/o?offset=2": [Reply({"items": [{"id": 3}], "total": 3})],
            "/p": [Reply(ROW)],
            "/p?page=2": [Reply([{"id": 2}])],
            "/p?page=3": [Reply([])],
        }
        assert ids(server.url("/n"), next="way.on") == [1, 2]
        assert ids(server.url("/c?size=1"), items="data.list", cursor="info.end", parameter="after") == [1, 2]
        assert ids(server.url("/o"), count="rows", parameter="offset") == [1, 1, 3]
        assert ids(server.url("/p"), count="pages", parameter="page") == [1, 2]


def test_a_service_that_does_not_heed_the_parameter_is_no_endless_run():
    routes = {"/p": [Reply(ROW)], "/p?page=2": [Reply(ROW)]}
    with RowServer(routes) as server, pytest.raises(SourceError, match="does not heed 'page'"):
        ids(server.url("/p"), count="pages", parameter="page")


@pytest.mark.parametrize(
    "body",
    [
        {"errors": [{"message": "throttled"}], "data": []},
        {"errors": [{"message": "throttled"}], "data": None},
        {"errors": [{"message": "throttled"}], "data": ROW},
        {"ok": False, "items": [], "why": "throttled"},
        {"success": False, "items": [], "why": "throttled"},
        {"status": "error", "items": []},
    ],
)
def test_an_answer_that_says_that_it_failed_is_no_empty_source(body):
    said = r"says that it failed|It says: errors"
    with RowServer({"/rows": [Reply(body)]}) as server, pytest.raises(SourceError, match=said):
        ids(server.url("/rows"))


@pytest.mark.parametrize(
    "spec",
    [
        {"cursor": "c"},
        {"parameter": "p"},
        {"count": "rows"},
        {"next": "n", "cursor": "c", "parameter": "p"},
        {"count": "rows", "cursor": "c", "parameter": "p"},
    ],
)
def test_half_a_way_to_the_next_page_is_refused(spec):
    with pytest.raises(ConfigurationError, match="next page"):
        parse_source({"url": "http://x/", **spec})
