"""
The next page of a service, and whether there is one: a part is never taken for the whole.

Services say in many ways that there is more. A link is followed wherever services usually put one; a token or a number
is sent back only where the source declares how. What says that there is more, and cannot be followed, is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from interlock.domain.data.source import HttpSource
from interlock.engine.sources.source_format import at_path
from interlock.errors import SourceError

_LINKS = ("next", "links.next", "_links.next")
"""A text here is an address, also a relative one."""
_USUAL_LINKS = (
    *("next_page", "next_page_url", "nextPage", "nextPageUrl", "next_url", "nextUrl", "nextLink", "@odata.nextLink"),
    *("odata.nextLink", "nextRecordsUrl", "paging.next", "pagination.next", "pagination.next_url", "meta.next"),
    *("meta.next_page_url", "pagination.links.next", "meta.pagination.links.next", "paging.next.link", "d.__next"),
)
"""A text here is an address if it looks like one."""
_ADDRESS = ("http://", "https://", "/", "?")

_MORE = {
    *("hasmore", "hasnext", "hasnextpage", "more", "moreresults", "moreavailable", "hasmoreresults", "hasmoreitems"),
    *("hasmorepages", "hasmorerecords", "hasmoredata", "morerecords", "morepages", "istruncated", "truncated"),
    *("incompleteresults", "partial", "ispartial", "xhasmore"),
}
_DONE = {"done", "islast", "islastpage", "lastpage", "last", "complete", "iscomplete", "endofrecords", "endoflist"}
_TOKENS = {
    *("next", "nextcursor", "nextpagetoken", "nexttoken", "nextpage", "nextpageurl", "nexturl", "nextlink"),
    *("odatanextlink", "nextrecordsurl", "nextoffset", "nextstart", "nextmarker", "nextcontinuationtoken"),
    *("continuationtoken", "nextpageid", "nextkey", "lastevaluatedkey", "cursornext", "nextpartitionkey"),
    *("xnextpage", "xnextcursor", "xnexttoken", "xcontinuationtoken", "xmscontinuation"),
}
_TOTALS = {
    *("total", "totalcount", "totalitems", "totalresults", "totalrecords", "totalrows", "totalelements", "totalhits"),
    *("totalsize", "totalnumber", "recordstotal", "recordcount", "numfound", "hitcount", "count", "odatacount"),
    *("totalentries", "itemcount", "itemstotal", "xtotalcount", "xtotal", "xwptotal", "resultcount"),
}
_PAGES = {"totalpages", "pagecount", "pages", "numpages", "lastpage", "numberofpages", "xtotalpages", "xwptotalpages"}
_HOLDERS = {
    *("meta", "metadata", "paging", "pagination", "page", "pageinfo", "hits", "responsemetadata", "links", "data"),
    *("result", "results", "response", "d", "cursor", "cursors", "list", "search"),
}
"""Objects in which a number of all rows is one, and not one of something else."""


def next_address(spec: HttpSource, response: httpx.Response, document: Any, place: str) -> str | None:
    """
    Return the address of the next page as the answer gives it; None: it gives none.

    :raises SourceError: it says where the next page is, and that is no address.
    """
    if spec.next is not None:
        return _link(at_path(document, spec.next), spec.next, place)
    if isinstance(document, dict):
        for path in _LINKS:
            if link := _link(at_path(document, path), "next", place):
                return link
        for path in _USUAL_LINKS:
            found = at_path(document, path)
            if isinstance(found, str) and found.startswith(_ADDRESS):
                return found
    for relation, link_of in response.links.items():
        if relation and "next" in str(relation).lower().split():
            return link_of.get("url")
    return None


def _link(found: Any, name: str, place: str) -> str | None:
    if isinstance(found, dict):
        found = next((found[key] for key in ("href", "url", "link") if found.get(key)), None)
    if found and not isinstance(found, str):
        raise SourceError(
            f"the {name!r} of {place} is no link, so it is unclear whether there is more. If it is a number or a "
            'token, declare it: {"cursor": …, "parameter": …}.'
        )
    return found or None


def next_question(spec: HttpSource, here: httpx.URL, document: Any, *, rows: int, here_rows: int) -> httpx.URL | None:
    """
    Return the address that asks for the next page by the declared ``parameter``; None: this was the last.

    :param rows: how many rows came so far, with the *here_rows* of this page.
    """
    if spec.parameter is None or _says_end(document):
        return None
    if spec.cursor is not None:
        token = at_path(document, spec.cursor)
        return here.copy_set_param(spec.parameter, str(token)) if _is_token(token) else None
    if not here_rows or any(rows >= total for total in _totals(document)):
        return None
    if spec.count == "rows":
        return here.copy_set_param(spec.parameter, str(_number(here, spec.parameter, 0) + here_rows))
    return here.copy_set_param(spec.parameter, str(_number(here, spec.parameter, 1) + 1))


def _number(here: httpx.URL, parameter: str, default: int) -> int:
    text = here.params.get(parameter, "")
    return int(text) if text.isdecimal() else default


def refuse_errors(document: Any, place: str) -> None:
    """
    Refuse an answer that says that it failed: what data stand beside are a part, or none.

    :raises SourceError: with what it says.
    """
    if problem := failure_of(document):
        raise SourceError(f"{place} answered 200 and says that it failed: {problem}. Nothing of it is taken.")


def failure_of(document: Any) -> str | None:
    """Return what an answer says of its own failing; None: it does not."""
    if not isinstance(document, dict):
        return None
    for name in ("errors", "error"):
        if document.get(name):
            return f"{name} {str(document[name])[:300]}"
    for name in ("ok", "success"):
        if document.get(name) is False:
            return f"{name} is false"
    status = document.get("status")
    return f"status {status!r}" if isinstance(status, str) and status.lower() in ("error", "fail", "failed") else None


def refuse_part(response: httpx.Response, document: Any, *, rows: int, pages: int, place: str) -> None:
    """
    Refuse what looks like a part of the rows.

    :param rows: how many came, on all *pages*.
    :raises SourceError: with what says that there is more, and how to declare the way to it.
    """
    if sign := _sign_of_more(response.headers, document, rows=rows, pages=pages):
        raise SourceError(
            f"{place} says that there is more than the {rows} rows that came ({sign}), and a part is not taken for the "
            'whole. Say how to ask for the rest: {"next": FIELD} where a field holds the address, {"cursor": FIELD, '
            '"parameter": NAME} where it holds a token, {"count": "rows" or "pages", "parameter": NAME} where the '
            'service counts; or {"whole": true}, if this is all.'
        )


def _sign_of_more(headers: httpx.Headers, document: Any, *, rows: int, pages: int) -> str | None:
    found = list(_facts(document)) + [(name, _plain(name), _value(text), True) for name, text in headers.items()]
    for path, name, value, _ in found:
        if (name in _MORE and _is(value, True)) or (name in _DONE and _is(value, False)):
            return f"{path} is {str(value).lower()}"
    for path, name, value, holds in found:
        if not holds or isinstance(value, bool) or not isinstance(value, int):
            continue
        if name in _TOTALS and value > rows:
            return f"{path} is {value}"
        if name in _PAGES and value > pages:
            return f"{path} is {value}, and {pages} came"
    ranged = re.fullmatch(r"\w+ .*/(\d+)", headers.get("Content-Range", ""))
    if ranged and int(ranged[1]) > rows:
        return f"Content-Range is {ranged[0]}"
    if not _says_end(document):
        for path, name, value, _ in found:
            if name in _TOKENS and _is_token(value):
                return f"{path} is there"
    return None


def _says_end(document: Any) -> bool:
    """Return whether the answer says in so many words that nothing follows, whatever token stands beside."""
    return any(
        (name in _MORE and _is(value, False)) or (name in _DONE and _is(value, True))
        for _, name, value, _ in _facts(document)
    )


def _totals(document: Any) -> list[int]:
    return [
        value
        for _, name, value, holds in _facts(document)
        if holds and name in _TOTALS - {"count"} and isinstance(value, int) and not isinstance(value, bool)
    ]


def _facts(node: Any, path: str = "", depth: int = 0, holds: bool = True) -> Iterator[tuple[str, str, Any, bool]]:
    """Yield each field outside of lists: its way, plain name and value, and whether it may say how many there are."""
    if not isinstance(node, Mapping) or depth > 4:
        return
    for key, value in node.items():
        name, way = _plain(str(key)), f"{path}{key}"
        if isinstance(value, Mapping):
            if name == "total" and "value" in value:
                yield way, name, value["value"], holds
            if name == "next":
                yield way, name, next((value[k] for k in ("href", "url", "link", "after") if value.get(k)), None), holds
            yield from _facts(value, f"{way}.", depth + 1, holds and name in _HOLDERS)
        elif not isinstance(value, list):
            yield way, name, value, holds


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _value(text: str) -> Any:
    return int(text) if text.isdecimal() else {"true": True, "false": False}.get(text.lower(), text)


def _is(value: Any, wanted: bool) -> bool:
    return value is wanted or (isinstance(value, str) and value.lower() == str(wanted).lower())


def _is_token(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return bool(value) and value != -1 if isinstance(value, (str, int)) else False
