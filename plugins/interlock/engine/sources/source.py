"""
Reading a source: a file, a query, a service, or rows given inline.

A source is read once, in order, and never held as a whole. A row that cannot be parsed comes out as a problem with its
number and reading goes on. A source that cannot be read is a :class:`~interlock.errors.SourceError`, possibly after
some rows have come out, so whoever takes them up must be able to take them up twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.domain.data.source import (
    FactsSource,
    FileSource,
    HttpSource,
    RowsSource,
    SourceSpec,
    SqlSource,
)
from interlock.engine.sources.source_access import OWN_ACCESS, SourceAccess
from interlock.errors import SourceError

if TYPE_CHECKING:
    from interlock.engine.sources.source_format import Rows


def read_rows(
    spec: SourceSpec,
    *,
    connection: Callable[[str], Any],
    base: Path | None = None,
    storage: Callable[[str, str | None], Any] | None = None,
    http_timeout_seconds: float = 30.0,
    sleep: Callable[[float], None] = time.sleep,
    access: SourceAccess = OWN_ACCESS,
) -> Rows:
    """
    Yield the rows of *spec* in order, opening it at the first one.

    :param connection: returns the Airflow connection of an id, or anything with its attributes.
    :param base: folder that a relative path is looked for in, before the working directory.
    :param storage: returns the path-like object of an address in object storage and the id of its connection.
    :param http_timeout_seconds: for each connect and each read, not for the whole.
    :param sleep: waits between attempts at a service that cannot answer now.
    :param access: where it may read, and how much. Default: with the rights of this process, for a person's command.
    :raises SourceError: the source cannot be read, or may not be. ``retryable`` is set when it may be readable later.
    """
    match spec:
        case FileSource():
            from interlock.engine.sources.source_file import read_file

            return (yield from read_file(spec, base, storage=storage, access=access))
        case SqlSource():
            from interlock.engine.sources.source_sql import read_sql

            return (yield from read_sql(spec, connection, access=access))
        case HttpSource():
            from interlock.engine.sources.source_http import read_http

            return (
                yield from read_http(spec, connection, timeout_seconds=http_timeout_seconds, sleep=sleep, access=access)
            )
        case FactsSource():
            raise SourceError("the facts of a run are there in a task of the run alone: give them to its intake")
        case RowsSource():
            from interlock.engine.sources.source_format import row_of

            access.check_rows(len(spec.rows), "the source")
            for number, item in enumerate(spec.rows, start=1):
                yield row_of(number, item)
    return None


def located(source: str, base: Path) -> str:
    """Return *source* as one name, whichever way a file is written: below *base*, or from the working directory."""
    for path in (base / source, Path(source)):
        try:
            if path.is_file():
                return str(path.resolve())[-500:]
        except (OSError, ValueError):  # it is a query, or longer than a path can be
            continue
    return source
