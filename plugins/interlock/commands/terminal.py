"""
How commands speak: errors in one line, tables, values given as ``FIELD=VALUE``.

A table fits the terminal that it is printed on. Anywhere else a row is one line, however long, so that ``grep`` and
``cut`` find what they look for.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interlock.errors import InputError, InterlockError

_UNBOUNDED = 1_000_000
"""Characters of a line where there is no terminal: no row is wrapped or cut."""

# Headings are underlined, and nothing else is drawn. The lines are: top, head, below the head, rows, …
_UNDERLINED = Box("    \n    \n -  \n    \n    \n    \n    \n    \n", ascii=True)

_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that let a text read otherwise than it is stored."""


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
    """Print *rows*: *columns* maps a field to its heading; *empty* is printed when there are no rows."""
    if not rows:
        print(empty)
        return
    table = Table(box=_UNDERLINED, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in columns.values():
        table.add_column(Text(heading), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(field))) for field in columns))
    print(_rendered(table))


def format_fields(fields: Iterable[tuple[str, str]], *, indent: int = 0, width: int = 0) -> str:
    """Return a line for each name and its text; the names take *width* characters, or as many as the longest has."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True, min_width=indent + width)
    grid.add_column(overflow="fold")
    for name, text in fields:
        grid.add_row(Text(" " * indent + name), Text(visible(text)))
    return _rendered(grid)


def print_text(text: str) -> None:
    """Print a page of *text*, which may hold what came from outside."""
    print("\n".join(map(visible, text.splitlines())))


def visible(text: str) -> str:
    """Return *text* with what a terminal would obey instead of show written out: an escape character as ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(repr(one)[1:-1] if _is_obeyed(one) else one for one in text)


def _is_obeyed(character: str) -> bool:
    # Ends of lines among them: a text of one line stays one.
    return character in _DIRECTIONS or (unicodedata.category(character) in _CONTROLS and character != "\t")


def _rendered(table: Table) -> str:
    # Not rich's own guess, which FORCE_COLOR changes: a pipe gets neither colours nor a width.
    is_terminal = sys.stdout.isatty()
    console = Console(
        file=sys.stdout,
        force_terminal=is_terminal,
        color_system="auto" if is_terminal else None,
        width=None if is_terminal else _UNBOUNDED,
    )
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return visible(", ".join(map(str, value)))
    if isinstance(value, datetime):
        return str(value.isoformat(timespec="seconds"))
    return visible(" ".join(str(value).split()))


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
