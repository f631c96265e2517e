"""A dataset behind an HTTP connection: it is read whole or not at all, and what rests on it says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from interlock.errors import SourceError, Stopped
from interlock.ledger.store.record import Reading
from interlock.ledger.store.schema import reading, workflow_run
from servers.row_server import Reply, RowServer
from shop import AS_OF, COLUMNS, FILES, Shop, weeks
from sqlalchemy import select
from workflows import put_in_force

ROWS = weeks(*({"Ada": 10 + week, "Bo": 5} for week in range(8)))
PAGE = 6
TOTAL = sum(row["amount"] for row in ROWS if row["day"] == ROWS[-1]["day"])
DATASET = FILES["datasets.yaml"].replace("source: sales.csv", "source: conn://till/sales")
OPTIONAL = DATASET.replace("key: [id]", "required: false\n          key: [id]")
CSV = {"Content-Type": "text/csv"}


def numbered(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "id": number, "day": row["day"].isoformat()} for number, row in enumerate(rows, 1)]


def pages(rows: Iterable[dict[str, Any]] = ROWS) -> dict[str, list[Reply]]:
    """Return *rows* as JSON, page by page, the first at ``/sales``."""
    every = numbered(rows)
    parts = [every[start : start + PAGE] for start in range(0, len(every), PAGE)]
    return {
        path_of(index): [Reply({"items": part} | ({"next": path_of(index + 1)} if index + 1 < len(parts) else {}))]
        for index, part in enumerate(parts)
    }


def path_of(index: int) -> str:
    return f"/sales?page={index}" if index else "/sales"


def csv_of(rows: Iterable[dict[str, Any]], columns: Iterable[str] = COLUMNS) -> str:
    lines = [",".join(columns), *(",".join(str(row[name]) for name in COLUMNS) for row in rows)]
    return "\n".join(lines) + "\n"


class Till:
    """A shop whose sales come from a service."""

    def __init__(self, folder: Any, ledger: Any, *, datasets: str = DATASET) -> None:
        self.shop = Shop(folder, ledger, (), datasets=datasets)
        access = "groups: {leads: [lee, kim], ops: [ann]}\nrights: {propose: [ops]}\n"
        access += "connections: {till: {environments: [test]}}\nuses: [{roles: [intake], connections: [till]}]\n"
        self.shop.write("../company/access.yaml", access)
        put_in_force(ledger, self.shop.include, "shop")

    def read(self, server: RowServer, **how: Any) -> Reading:
        fields = SimpleNamespace(
            host="127.0.0.1", port=server.port, schema="http", login=None, password="s3cret", extra=None
        )
        return self.shop.read(connection={"till": fields}.__getitem__, **how)

    def readings(self) -> list[str]:
        with self.shop.ledger.read() as connection:
            return list(connection.execute(select(reading.c.state)).scalars())


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def till(tmp_path, sqlite_ledger) -> Iterator[Till]:
    return Till(tmp_path, sqlite_ledger)


@pytest.fixture
def optional(tmp_path, sqlite_ledger) -> Till:
    """The run goes on without the sales."""
    return Till(tmp_path, sqlite_ledger, datasets=OPTIONAL)


@pytest.mark.parametrize(
    "stumble",
    [
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(status=500),
        Reply({"items": numbered(ROWS)[:PAGE]}, cut_after=40),
    ],
    ids=["too many requests", "an error", "a body that breaks off"],
)
def test_a_service_that_stumbles_on_a_page_is_read_whole(till: Till, stumble: Reply):
    routes = pages()
    routes[path_of(1)].insert(0, stumble)
    with RowServer(routes) as server:
        read = till.read(server)

    assert (read.state, read.row_count, read.quarantined) == ("fit", len(ROWS), 0)
    assert server.paths().count(path_of(1)) == 2
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer s3cret"}
    assert "s3cret" not in read.source
    [sales] = [fact for fact in till.shop.state() if fact.name == "sales"]
    assert sales.value == TOTAL


@pytest.mark.parametrize("status", [429, 503])
def test_a_service_that_is_down_leaves_no_reading_for_the_next_attempt(optional: Till, status: int):
    routes = pages()
    whole, routes[path_of(1)] = routes[path_of(1)], [Reply(status=status, headers={"Retry-After": "0"})]
    with RowServer(routes) as server:
        with pytest.raises(SourceError, match=f"page 2 of .*{status}.*4 times") as caught:
            optional.read(server)
        assert caught.value.retryable
        assert optional.readings() == []

        server.routes[path_of(1)] = whole
        assert optional.read(server).row_count == len(ROWS)


def test_at_the_last_attempt_the_run_goes_on_without_what_it_does_not_need(optional: Till):
    with RowServer({"/sales": [Reply(status=503, headers={"Retry-After": "0"})]}) as server:
        read = optional.read(server, may_try_again=False)

    assert (read.state, read.row_count) == ("withheld", 0)
    assert [(fact.name, fact.value) for fact in optional.shop.state()] == [("sales", None)]
    assert "503" in (optional.shop.facts()[0].withheld or "")
    assert [(one.kind, one.quality) for one in optional.shop.find()] == [("review", "withheld")]


def test_at_the_last_attempt_what_the_run_needs_still_fails_it(till: Till):
    with (
        RowServer({"/sales": [Reply(status=503, headers={"Retry-After": "0"})]}) as server,
        pytest.raises(SourceError, match="503"),
    ):
        till.read(server, may_try_again=False)


def test_a_page_that_is_gone_withholds_all_and_not_the_rest(optional: Till):
    routes = pages()
    del routes[path_of(2)]
    with RowServer(routes) as server:
        read = optional.read(server)

    assert (read.state, read.row_count, read.quarantined) == ("withheld", 0, 0)
    assert "page 3 of" in read.reasons["critical"][0]
    assert "404" in read.reasons["critical"][0]
    [sales] = optional.shop.state()
    assert (sales.value, sales.rows) == (None, 0)


def test_what_could_not_be_read_does_not_say_as_of_when_the_rest_is_read(optional: Till):
    """Otherwise other data of the run, up to last week, would be read as of now."""
    with RowServer({}) as server:
        optional.read(server, as_of=None)

    with optional.shop.ledger.read() as connection:
        assert connection.execute(select(workflow_run.c.as_of)).scalar_one() is None


def test_what_could_not_be_read_is_not_what_the_next_reading_is_held_against(optional: Till):
    with RowServer(pages()) as server:
        optional.read(server, run="monday", as_of=AS_OF)
    with RowServer({"/sales": [Reply({"items": numbered(ROWS)[:PAGE], "next": "/gone"})]}) as server:
        assert optional.read(server, run="tuesday", as_of=AS_OF.replace(day=4)).state == "withheld"
    with RowServer(pages()) as server:
        read = optional.read(server, run="wednesday", as_of=AS_OF.replace(day=5))

    assert (read.state, read.reasons["warning"]) == ("fit", [])


def test_a_service_with_other_columns_than_yesterday_stops_the_run(till: Till):
    with RowServer(pages()) as server:
        till.read(server, run="monday")
    renamed = [{("seller" if key == "vendor" else key): value for key, value in row.items()} for row in ROWS]
    with RowServer(pages(renamed)) as server, pytest.raises(Stopped, match="column 'vendor' is gone"):
        till.read(server, run="tuesday")


def test_columns_that_change_from_one_page_to_the_next_are_not_read_as_empty(till: Till):
    every = numbered(ROWS)
    first = Reply(csv_of(every[:PAGE]), headers=CSV | {"Link": '</sales?page=1>; rel="next"'})
    second = Reply(csv_of(every[PAGE:], columns=("id", "day", "vendor", "total", "currency")), headers=CSV)
    with (
        RowServer({"/sales": [first], path_of(1): [second]}) as server,
        pytest.raises(Stopped, match=r"page 2 of .* has other columns"),
    ):
        till.read(server)


def test_a_field_that_later_pages_call_otherwise_is_not_read_as_empty(till: Till):
    every = numbered(ROWS)
    renamed = [{("total" if key == "amount" else key): value for key, value in row.items()} for row in every[PAGE:]]
    routes = {
        "/sales": [Reply({"items": every[:PAGE], "next": path_of(1)})],
        path_of(1): [Reply({"items": renamed})],
    }
    with RowServer(routes) as server, pytest.raises(Stopped, match="'amount'"):
        till.read(server)


def test_a_field_that_is_left_out_where_it_is_empty_is_empty(till: Till):
    """Many services do: the last page may be one row without it."""
    every = numbered(ROWS)
    last = {key: value for key, value in every[-1].items() if key != "currency"}
    routes = {
        "/sales": [Reply({"items": every[:-1], "next": path_of(1)})],
        path_of(1): [Reply({"items": [last]})],
    }
    with RowServer(routes) as server:
        assert till.read(server).row_count == len(ROWS)
