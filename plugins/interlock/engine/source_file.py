"""
A file as a source: found, opened, and explained when it is not there.

A relative path is looked for in the project's root first, because a Dag that names ``data/tickets.csv`` must not
depend on the directory that a worker was started in.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import IO, cast

from interlock.domain.source import SUFFIXES, FileSource, SourceRow, file_format
from interlock.engine.source_format import read_stream
from interlock.errors import SourceError


def read_file(spec: FileSource, base: Path | None = None) -> Iterator[SourceRow]:
    """
    Yield the rows of the file.

    :raises SourceError: it is missing, a folder, not readable, damaged, or not in the stated encoding.
    """
    path = find_file(spec.path, base)
    chosen = file_format(spec)
    if chosen is None:  # parse_source refuses it; a spec that is built by hand comes here
        raise SourceError(f"{str(path)!r} has no known ending, and no 'format' is stated.")
    label = f"file {str(path)!r}"
    try:
        with _open(path) as stream:
            yield from read_stream(
                stream,
                chosen,
                encoding=spec.encoding,
                delimiter=spec.delimiter,
                items=spec.items,
                label=label,
            )
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{label} cannot be read: {error}.") from error


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def find_file(path: str, base: Path | None = None) -> Path:
    """
    Return the absolute path of the file *path*, looked for in *base* and then in the working directory.

    :raises SourceError: there is none, with where it was looked for and names that come near.
    """
    asked = Path(path).expanduser()
    places = [asked] if asked.is_absolute() else [folder / asked for folder in (base, Path.cwd()) if folder]
    places = list(dict.fromkeys(place.absolute() for place in places))
    for place in places:
        if place.is_dir():
            raise SourceError(f"{str(place)!r} is a folder, and a file is needed.{_inside(place)}")
        if place.exists():
            return place
    looked = " and ".join(repr(str(place)) for place in places)
    raise SourceError(f"there is no file {looked}.{''.join(dict.fromkeys(_near(place) for place in places))}")


def _near(place: Path) -> str:
    folder = place.parent
    if not folder.is_dir():
        there = next((parent for parent in folder.parents if parent.is_dir()), None)
        return f" There is not even a folder {str(folder)!r}" + (f"; {str(there)!r} is there." if there else ".")
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return ""
    near = get_close_matches(place.name, names, n=3, cutoff=0.6)
    return f" In {str(folder)!r} there is {', '.join(map(repr, near))}." if near else _inside(folder)


def _inside(folder: Path) -> str:
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES)
    except OSError:
        return ""
    return f" In {str(folder)!r} there is {', '.join(map(repr, names[:5]))}{', …' * (len(names) > 5)}." if names else ""
