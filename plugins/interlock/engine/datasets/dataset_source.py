"""
Taking a dataset's source into its staging: whole columns at once where the format allows it, else row by row.

An object of a store is copied first, so that it is read as a file of this machine is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from interlock.analysis.inspection import check_result
from interlock.analysis.staging import Staging
from interlock.domain.data.dataset import is_own_ledger
from interlock.domain.data.quality import ExpectationResult
from interlock.domain.data.source import FileSource, describe, file_format, is_object, parse_source
from interlock.engine.sources.ledger_source import own_rows
from interlock.engine.sources.source import read_rows
from interlock.engine.sources.source_access import OWN_ACCESS, SourceAccess
from interlock.engine.sources.source_file import place_of, reading
from interlock.engine.sources.source_format import check_parquet, header_of
from interlock.errors import SourceError
from interlock.ledger.store.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How sources are reached."""

    connection: Callable[[str], Any]
    """Gives the Airflow connection of an id."""
    base: Path
    """Folder that a relative path is looked for in."""
    storage: Callable[[str, str | None], Any] | None = None
    """Gives the path-like object of an address in object storage."""
    ledger: Ledger | None = None
    """For ``ledger://``."""
    access: SourceAccess = OWN_ACCESS
    """Where files and addresses may be, and how much a source may bring."""


def take_in(staged: Staging, source: Any, reach: Reach) -> list[ExpectationResult]:
    """
    Read *source* into *staged*; return what is to be said of it.

    :raises SourceError: it cannot be read as a whole. Rows that came before are there.
    """
    if is_own_ledger(source):
        if reach.ledger is None:
            raise SourceError(f"{source!r} is in the ledger, which is not to be had here")
        staged.add(own_rows(reach.ledger, str(source)))
        return []
    spec = parse_source(source)
    if not isinstance(spec, FileSource):
        staged.add(read_rows(spec, connection=reach.connection, base=reach.base, access=reach.access))
        return []
    place = place_of(spec, reach.base, reach.storage, reach.access)
    local = _fetch(place, staged.folder, describe(spec), reach.access) if is_object(spec) else Path(place)
    chosen, is_packed = file_format(spec), local.suffix.lower() == ".gz"
    label = f"file {spec.path!r}"
    if chosen == "parquet" and not is_packed:
        with reading(local, label):
            _check_parquet(local, label, reach.access)
            staged.add_parquet(local)
        return []
    is_plain = chosen in ("csv", "tsv") and not is_packed and spec.notation is None
    if not (is_plain and _add_lines(staged, spec, local, label, reach.access)):
        here = spec.model_copy(update={"path": str(local), "conn_id": None})
        staged.add(read_rows(here, connection=reach.connection, access=replace(reach.access, roots=None)))
    if chosen not in ("csv", "tsv") or is_packed or spec.encoding not in ("utf-8", "cp1252", "iso8859-1", "ascii"):
        return []
    message = (
        "" if _ends_with_a_line(local) else f"{label} has no line end after its last line: was it written to its end?"
    )
    return [check_result(staged.dataset, "ending", message)]


def _fetch(place: Any, folder: Path, label: str, access: SourceAccess) -> Path:
    local = folder / f"source-{place.name}"
    access.check_bytes(place.stat().st_size, repr(label))
    with reading(place, repr(label)), place.open("rb") as stream, local.open("wb") as sink:
        shutil.copyfileobj(stream, sink, 1 << 20)
    return local


def _check_parquet(path: Path, label: str, access: SourceAccess) -> None:
    from pyarrow import ArrowException, parquet

    try:
        metadata = parquet.read_metadata(path)
    except (ArrowException, OSError):  # add_parquet says what is wrong with it
        return
    check_parquet(metadata, label, access)


def _add_lines(staged: Staging, spec: FileSource, path: Path, label: str, access: SourceAccess) -> bool:
    """Take a CSV file in at once, if each of its lines is a row; return whether it was."""
    delimiter = spec.delimiter or ("\t" if file_format(spec) == "tsv" else ",")
    if spec.encoding != "utf-8" or not delimiter.isascii():
        return False
    with reading(path, label):
        access.check_bytes(path.stat().st_size, label)
        counted = _count(path, delimiter)
        if counted is None:
            return False
        access.check_rows(counted[0], label)
        with path.open("rb") as stream:
            header = header_of(stream, encoding=spec.encoding, delimiter=delimiter, label=label)
        if header is None:
            return False
        return staged.add_csv(path, header, delimiter=delimiter, lines=counted[0], delimiters=counted[1])


def _count(path: Path, delimiter: str) -> tuple[int, int] | None:
    """Return how many lines and delimiters there are; None: it holds what only a reader of lines can tell of."""
    lines, delimiters, last = 0, 0, b"\n"
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 22):
            if b"\0" in chunk:
                return None
            if b"\r" in chunk or last == b"\r":
                whole = last + chunk
                if whole.count(b"\r") - whole.endswith(b"\r") != whole.count(b"\r\n"):
                    return None
            lines += chunk.count(b"\n")
            delimiters += chunk.count(delimiter.encode())
            last = chunk[-1:]
    return None if last == b"\r" else (lines + (last != b"\n"), delimiters)


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(size - 1, 0))
        return stream.read(1) in (b"\n", b"\r")
