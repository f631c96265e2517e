"""How commands speak: errors in one line, tables, values given as ``FIELD=VALUE``."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from interlock.errors import InputError, InterlockError

WIDEST = 90
"""Characters of a column of a table, but for its last one."""


def command(function: Callable[[Any], None]) -> Callable[[Any], None]:
    """
    Make *function* a command: an error of ours ends it with one line and exit code 1 instead of a traceback.

    So does a file that cannot be read or written, whose name the person at the terminal gave.
    """

    @functools.wraps(function)
    def run(args: Any) -> None:
        # Connections of the metadata database are found only by a process that says it is a server.
        os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
        try:
            function(args)
        except InterlockError as error:
            raise SystemExit(f"{type(error).__name__}: {error}") from None
        except OSError as error:
            if error.filename is None:
                raise
            raise SystemExit(f"{type(error).__name__}: {str(error.filename)!r}: {error.strerror}") from None

    return run


def print_json(value: Any) -> None:
    """Print *value* as JSON."""
    print(json.dumps(value, indent=2, default=_as_json, ensure_ascii=False))


def _as_json(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def print_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str) -> None:
    """Print *rows*: *columns* is field to heading, whose last is not cut; *empty* is said when there are none."""
    if not rows:
        print(empty)
        return
    heads = list(columns.values())
    cells = [[_cell(row.get(field)) for field in columns] for row in rows]
    for line in cells:
        line[:-1] = [text if len(text) <= WIDEST else text[: WIDEST - 1] + "…" for text in line[:-1]]
    widths = [min(max(len(line[i]) for line in [heads, *cells]), WIDEST) for i in range(len(heads))]
    for line in [heads, ["-" * width for width in widths], *cells]:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, datetime):
        return str(value.isoformat(timespec="seconds"))
    return " ".join(str(value).split())


def read_changes(given: Sequence[str]) -> dict[str, Any]:
    """
    Return ``FIELD=VALUE`` texts as a mapping; a VALUE that is JSON is read as JSON.

    :raises InputError: one has no ``=``.
    """
    changes: dict[str, Any] = {}
    for text in given:
        field, sign, value = text.partition("=")
        if not sign or not field.strip():
            raise InputError(f"{text!r} is not FIELD=VALUE")
        try:
            changes[field.strip()] = json.loads(value)
        except ValueError:
            changes[field.strip()] = value
    return changes
