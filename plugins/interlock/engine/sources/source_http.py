"""
A service over HTTP as a source of rows, page by page.

A body is written to a temporary file before a row of it is read, so that an attempt can be repeated and no page is
half taken. Links and redirections stay on the host they come from: the login of the connection goes nowhere else.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import httpx

from interlock.domain.base.backoff import backoff_seconds, retry_after_seconds
from interlock.domain.data.source import SUFFIXES, Format, HttpSource, SourceRow, describe
from interlock.engine.sources.source_connection import extra_of, look_up, unavailable
from interlock.engine.sources.source_format import items_of, read_document, read_stream, row_of
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
    spec: HttpSource, connection: Callable[[str], Any], *, timeout_seconds: float, sleep: Callable[[float], None]
) -> Iterator[SourceRow]:
    """
    Yield the rows of all pages, numbered through.

    :raises SourceError: an answer that is none, more pages than ``max_pages``, or a link to another host.
    """
    label = describe(spec)
    options: dict[str, Any] = {}
    if spec.url is not None:
        url = spec.url
    else:
        url, options = _of_connection(look_up(connection, spec.conn_id or ""), spec)
    try:
        start = httpx.URL(url)
        client = httpx.Client(timeout=timeout_seconds, follow_redirects=False, **options)
    except (httpx.InvalidURL, ValueError, OSError) as error:
        raise SourceError(f"{label} is no address that can be asked: {error}.") from error
    with client:
        page: httpx.URL | None = start
        seen: set[httpx.URL] = set()
        number, columns = 0, _Columns()
        while page is not None:
            if page in seen:
                raise SourceError(f"{label} links from page {len(seen)} back to one that was read already.")
            if len(seen) == spec.max_pages:
                raise SourceError(f'{label} has more than {spec.max_pages} pages. Ask for less, or raise "max_pages".')
            seen.add(page)
            place = label if len(seen) == 1 else f"page {len(seen)} of {label}"
            with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as body:
                response = _fetch(client, page, body, place, sleep)
                following = response.links.get("next", {}).get("url")
                before = number
                chosen = spec.format or _format_of(response, body)
                if chosen == "json":
                    document = read_document(body, spec.encoding, place)
                    rows, _ = items_of(document, spec.items, place)
                    following = _next_link(document, place) or following
                    columns.hold((item for item in rows if isinstance(item, dict)), place)
                    for item in rows:
                        number += 1
                        yield row_of(number, item)
                else:
                    is_table, first = chosen != "jsonl", True
                    for row in _read_page(body, chosen, spec, place):
                        if is_table and first and row.values is not None:
                            columns.hold((row.values,), place, is_table=True)
                            first = False
                        number = before + row.number
                        yield SourceRow(number=number, values=row.values, problem=row.problem)
            page = _follow(response.url, str(following), place) if following else None


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


def _read_page(body: IO[bytes], chosen: Format, spec: HttpSource, place: str) -> Iterator[SourceRow]:
    return read_stream(body, chosen, encoding=spec.encoding, delimiter=spec.delimiter, items=spec.items, label=place)


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
    return f"{str(address).rstrip('/')}/{(spec.http or '').lstrip('/')}", options


def _fetch(
    client: httpx.Client, url: httpx.URL, body: IO[bytes], place: str, sleep: Callable[[float], None]
) -> httpx.Response:
    problem = ""
    for attempt in range(1, ATTEMPTS + 1):
        body.seek(0)
        body.truncate()
        wait = backoff_seconds(attempt, first=FIRST_WAIT_SECONDS)
        try:
            response = _get(client, url, body, place)
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


def _get(client: httpx.Client, url: httpx.URL, body: IO[bytes], place: str) -> httpx.Response:
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
            for chunk in response.iter_bytes():
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


def _next_link(document: Any, place: str) -> str | None:
    """Return ``next``, ``links.next`` or ``_links.next`` of *document*, as text or as ``{"href": …}``."""
    if not isinstance(document, dict):
        return None
    nested = [document[key] for key in ("links", "_links") if isinstance(document.get(key), dict)]
    for holder in (document, *nested):
        link = holder.get("next")
        if isinstance(link, dict):
            link = link.get("href")
        if link and not isinstance(link, str):
            raise SourceError(f"the 'next' of {place} is no link, so it is unclear whether there is more.")
        if link:
            return str(link)
    return None


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
