"""
A service over HTTP as a source of rows, page by page.

A body is written to a temporary file before a row of it is read, so that an attempt can be repeated and no page is
half taken. Links and redirections stay on the host they come from: the login of the connection goes nowhere else.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import IO, Any
from urllib.parse import unquote

import httpx

from interlock.domain.base.backoff import backoff_seconds, retry_after_seconds
from interlock.domain.data.source import SUFFIXES, Format, HttpSource, ReturnedSummary, SourceRow, describe
from interlock.engine.sources.http_page import failure_of, next_address, next_question, refuse_errors, refuse_part
from interlock.engine.sources.source_access import SourceAccess, bounded
from interlock.engine.sources.source_connection import extra_of, look_up, unavailable
from interlock.engine.sources.source_format import (
    MAX_JSON_BYTES,
    Rows,
    items_of,
    read_document,
    read_stream,
    row_of,
)
from interlock.errors import SourceError

ATTEMPTS = 4
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
"""A service that asks for more is left to Airflow's own retry: a worker slot is not for sleeping."""

_IN_MEMORY_BYTES = 1024 * 1024
_REDIRECTIONS = 5
_MEDIA: dict[str, Format] = {
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/x-ndjson": "jsonl",
    "application/ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/x-jsonlines": "jsonl",
    "application/json-lines": "jsonl",
    "application/vnd.apache.parquet": "parquet",
}
_NOT_HEADERS = {
    *("headers", "verify", "cert", "proxies", "proxy", "timeout", "stream", "allow_redirects", "follow_redirects"),
    *("max_redirects", "trust_env", "check_response", "auth_type", "auth_kwargs", "session_conf", "cafile"),
}
"""Keys of a connection's extra that Airflow's own HTTP hook takes as settings; other texts in it are headers."""


def read_http(
    spec: HttpSource,
    connection: Callable[[str], Any],
    *,
    timeout_seconds: float,
    sleep: Callable[[float], None],
    access: SourceAccess,
) -> Rows:
    """
    Yield the rows of all pages, numbered through.

    :raises SourceError: an answer that is none or a part, more pages than ``max_pages``, a link to another host, or a
        host that may not be asked.
    """
    label = describe(spec)
    options: dict[str, Any] = {}
    if spec.url is not None:
        url = spec.url
    else:
        url, options = _of_connection(look_up(connection, spec.conn_id or ""), spec)
    try:
        start = httpx.URL(url)
        if spec.url is not None:
            access.permit_host(start.host, start.port or (443 if start.scheme == "https" else 80))
        client = httpx.Client(timeout=timeout_seconds, follow_redirects=False, **options)
    except (httpx.InvalidURL, ValueError, OSError) as error:
        raise SourceError(f"{label} is no address that can be asked: {error}.") from error
    with client:
        page: httpx.URL | None = start
        seen: set[httpx.URL] = set()
        number, total, columns, size = 0, 0, _Columns(), 0
        summary, before_first = None, None
        while page is not None:
            if page in seen:
                raise SourceError(f"{label} links from page {len(seen)} back to one that was read already.")
            if len(seen) == spec.max_pages:
                raise SourceError(f'{label} has more than {spec.max_pages} pages. Ask for less, or raise "max_pages".')
            seen.add(page)
            place = label if len(seen) == 1 else f"page {len(seen)} of {label}"
            with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as body:
                bound = partial(_check_bytes, access, label, size)
                response = _fetch(client, page, body, place, sleep, bound)
                size += body.seek(0, 2)
                body.seek(0)
                before = number
                chosen = spec.format or _format_of(response, body)
                document, rows = None, 0
                if chosen == "json":
                    document = read_document(
                        bounded(body, access, place, max_line_bytes=MAX_JSON_BYTES), spec.encoding, place
                    )
                    items = _items(document, spec, place)
                    access.check_rows(number + len(items), label)
                    columns.hold((item for item in items if isinstance(item, dict)), place)
                    if spec.count and items and items[0] == before_first:
                        raise SourceError(
                            f"{place} begins with the same row as the page before: the service does not heed "
                            f"{spec.parameter!r}. Name the query parameter that it does."
                        )
                    before_first = items[0] if items else None
                    for item in items:
                        number += 1
                        yield row_of(number, item, spec.notation)
                    rows = len(items)
                else:
                    is_table, first = chosen != "jsonl", True
                    pages_rows = ReturnedSummary(read_stream(body, chosen, spec, label=place, access=access))
                    for row in pages_rows:
                        if is_table and first and row.values is not None:
                            columns.hold((row.values,), place, is_table=True)
                            first = False
                        number, rows = before + row.number, rows + 1
                        yield SourceRow(number=number, values=row.values, problem=row.problem, notation=row.notation)
                    summary = pages_rows.summary or summary
            total += rows
            following = next_address(spec, response, document, place)
            if following:
                page = _follow(response.url, following, place)
            else:
                page = next_question(spec, page, document, rows=total, here_rows=rows)
            if page is None and not spec.whole:
                refuse_part(response, document, rows=total, pages=len(seen), place=place)
    return summary


def _items(document: Any, spec: HttpSource, place: str) -> list[Any]:
    try:
        rows, _ = items_of(document, spec.items, place)
    except SourceError as error:
        if (said := failure_of(document)) is None:
            raise
        raise SourceError(f"{error} It says: {said}.") from None
    refuse_errors(document, place)
    return rows


class _Columns:
    """
    The columns of the pages so far: a service that changes while it is read has others from some page on.

    Without a word, the values of a column that is called otherwise from there on would be read as empty.
    """

    def __init__(self) -> None:
        self._some: set[str] = set()
        self._all: set[str] = set()
        self._begun = False

    def hold(self, rows: Iterable[Mapping[str, Any]], place: str, *, is_table: bool = False) -> None:
        """
        Hold a page against those before.

        In a table, each page has the same columns. Objects may leave a field out where it is empty, so only a field of
        all rows before that no row here has, beside one of all rows here that no row before had, is another name.

        :raises SourceError: it has other columns.
        """
        some: set[str] = set()
        each: set[str] | None = None
        for row in rows:
            some |= row.keys()
            each = set(row) if each is None else each & row.keys()
        if each is None:
            return
        if self._begun:
            gone, new = sorted(self._all - some), sorted(each - self._some)
            if (gone or new) if is_table else (gone and new):
                changes = [f"no {name!r}" for name in gone[:5]] + [f"a new {name!r}" for name in new[:5]]
                raise SourceError(
                    f"{place} has other columns than the pages before: {', '.join(changes)}. Did the service change "
                    "while it was read? Read it again."
                )
        self._all = self._all & each if self._begun else each
        self._some |= some
        self._begun = True


def _of_connection(fields: Any, spec: HttpSource) -> tuple[str, dict[str, Any]]:
    extra = extra_of(fields)
    host = str(fields.host or "").rstrip("/")
    if not host:
        raise SourceError(f"connection {spec.conn_id!r} has no host, so {spec.http!r} is below nothing. Set its host.")
    if "://" not in host:
        host = f"{fields.schema if fields.schema in ('http', 'https') else 'http'}://{host}"
    address = httpx.URL(host)
    if fields.port and address.port is None:
        address = address.copy_with(port=int(fields.port))
    given = extra.get("headers") if isinstance(extra.get("headers"), dict) else {}
    headers = {key: value for key, value in extra.items() if isinstance(value, str) and key not in _NOT_HEADERS}
    options: dict[str, Any] = {"headers": headers | {key: str(value) for key, value in (given or {}).items()}}
    if fields.login:
        options["auth"] = (str(fields.login), str(fields.password or ""))
    elif fields.password:
        options["headers"]["Authorization"] = f"Bearer {fields.password}"
    if extra.get("verify") in (False, "false", "False"):
        options["verify"] = False
    elif extra.get("cafile"):
        options["verify"] = ssl.create_default_context(cafile=str(extra["cafile"]))
    path = (spec.http or "").lstrip("/")
    if ".." in unquote(path.partition("?")[0]).replace("\\", "/").split("/"):
        raise SourceError(
            f"{spec.http!r} leads out of the address of connection {spec.conn_id!r}. Name a path below it."
        )
    return f"{str(address).rstrip('/')}/{path}", options


def _check_bytes(access: SourceAccess, label: str, before: int, count: int, packed: int) -> None:
    """Refuse a page when it and those *before* are more bytes than a source may have."""
    access.check_bytes(before + count, label, packed=packed)


def _fetch(
    client: httpx.Client,
    url: httpx.URL,
    body: IO[bytes],
    place: str,
    sleep: Callable[[float], None],
    check_bytes: Callable[[int, int | None], None],
) -> httpx.Response:
    problem = ""
    for attempt in range(1, ATTEMPTS + 1):
        body.seek(0)
        body.truncate()
        wait = backoff_seconds(attempt, first=FIRST_WAIT_SECONDS)
        try:
            response = _get(client, url, body, place, check_bytes)
        except httpx.RequestError as error:
            problem = f"gave no whole answer: {str(error) or type(error).__name__}"
        else:
            if response.status_code != 429 and response.status_code < 500:
                body.seek(0)
                return response
            problem = f"answered {response.status_code} {response.reason_phrase}".rstrip()
            asked = _asked_wait(response)
            if asked is not None and asked > LONGEST_WAIT_SECONDS:
                raise unavailable(f"{place} {problem} and asks to be left alone for {asked:.0f} seconds.")
            wait = wait if asked is None else asked
        if attempt < ATTEMPTS:
            sleep(wait)
    raise unavailable(f"{place} {problem}, {ATTEMPTS} times.")


def _get(
    client: httpx.Client, url: httpx.URL, body: IO[bytes], place: str, check_bytes: Callable[[int, int | None], None]
) -> httpx.Response:
    """Write the answer into *body*, after redirections; raise for an answer that another attempt does not change."""
    for _ in range(_REDIRECTIONS):
        with client.stream("GET", url) as response:
            if response.has_redirect_location:
                url = _follow(url, response.headers["Location"], place)
                continue
            if response.status_code == 429 or response.status_code >= 500:
                return response
            if response.status_code != 200:
                raise SourceError(
                    f"{place} answered {response.status_code} {response.reason_phrase}. {_advice(response)}"
                )
            count, is_packed = 0, "Content-Encoding" in response.headers
            for chunk in response.iter_bytes():
                count += len(chunk)
                check_bytes(count, response.num_bytes_downloaded if is_packed else None)
                body.write(chunk)
            return response
    raise SourceError(f"{place} redirects more than {_REDIRECTIONS} times.")


def _advice(response: httpx.Response) -> str:
    if response.status_code in (401, 403):
        return "Check the login, password and headers of its connection."
    if response.status_code in (404, 410):
        return "Check the path."
    return "A source answers 200."


def _asked_wait(response: httpx.Response) -> float | None:
    """Return the seconds of ``Retry-After``; a date is held against the service's own clock where it tells it."""
    try:
        now = parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError):
        now = datetime.now(UTC)
    return retry_after_seconds(response.headers.get("Retry-After"), now.replace(tzinfo=now.tzinfo or UTC))


def _format_of(response: httpx.Response, body: IO[bytes]) -> Format:
    media = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media in _MEDIA:
        return _MEDIA[media]
    if media == "text/html":
        raise SourceError(f"{response.url.host!r} answered with a web page (text/html). Is a login missing?")
    by_name = SUFFIXES.get(PurePosixPath(response.url.path.lower()).suffix)
    if by_name not in (None, "json"):
        return by_name
    lines = [line for line in (body.readline(), body.readline()) if line.strip()]
    body.seek(0)
    is_lines = len(lines) == 2 and lines[0].strip().endswith(b"}") and lines[0].lstrip().startswith(b"{")
    return "jsonl" if is_lines else "json"


def _follow(here: httpx.URL, link: str, place: str) -> httpx.URL:
    try:
        target = here.join(link)
    except httpx.InvalidURL as error:
        raise SourceError(f"{place} links to what is no address: {error}.") from error
    same = (target.scheme, target.host, target.port) == (here.scheme, here.host, here.port)
    secured = (here.scheme, target.scheme, target.host) == (
        "http",
        "https",
        here.host,
    ) and here.port is target.port is None
    if not same and not secured:
        raise SourceError(
            f"{place} leads to {target.scheme}://{target.netloc.decode()}, another host than {here.netloc.decode()!r}. "
            "It is not followed, because the login would go along. Give that address itself."
        )
    return target
