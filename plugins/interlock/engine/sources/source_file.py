"""
A file as a source: found, opened, and explained when it is not there or is not whole.

A file that changes while it is read is refused, because nobody knows which part of it was read. A relative path is
looked for in the project's root first, because a Dag that names ``data/tickets.csv`` must not depend on the directory
that a worker was started in.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any, cast

from interlock.domain.data.source import SUFFIXES, FileSource, SourceRow, file_format, is_object
from interlock.engine.sources.source_connection import unavailable
from interlock.engine.sources.source_format import read_stream
from interlock.errors import InterlockError, SourceError


def read_file(
    spec: FileSource, base: Path | None = None, *, storage: Callable[[str, str | None], Any] | None = None
) -> Iterator[SourceRow]:
    """
    Yield the rows of the file.

    :param storage: gives the path-like object of an address in object storage.
    :raises SourceError: it is missing, a folder, not readable, damaged, not whole, or not in the stated encoding.
    """
    path = place_of(spec, base, storage)
    chosen = file_format(spec)
    if chosen is None:  # parse_source refuses it; a spec that is built by hand comes here
        raise SourceError(f"{str(path)!r} has no known ending, and no 'format' is stated.")
    label = f"file {str(path)!r}"
    with reading(path, label), _open(path) as stream:
        yield from read_stream(
            stream,
            chosen,
            encoding=spec.encoding,
            delimiter=spec.delimiter,
            items=spec.items,
            label=label,
        )


def place_of(spec: FileSource, base: Path | None, storage: Callable[[str, str | None], Any] | None) -> Any:
    """
    Return the file, or the object, that *spec* names.

    :raises SourceError: there is none.
    """
    if not is_object(spec):
        return find_file(spec.path, base)
    if storage is None:
        raise SourceError(f"{spec.path!r} is in object storage, which is not to be had here")
    with reading(None, repr(spec.path)):
        found = storage(spec.path, spec.conn_id)
        if not found.is_file():
            raise SourceError(f"there is no object {spec.path!r}.")
    return found


@contextmanager
def reading(path: Any, label: str) -> Iterator[None]:
    """
    Read *path*, and tell what goes wrong.

    :raises SourceError: it cannot be read, or is not at the end what it was at the beginning.
    """
    try:
        before = None if path is None else _look(path)
        yield
        after = None if path is None else _look(path)
    except InterlockError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{label} cannot be read: {error}.") from error
    except Exception as error:
        if isinstance(path, Path):
            raise
        raise unavailable(
            f"{label} cannot be read: {type(error).__name__}: {error}"
        ) from error  # each store has its own
    if before != after:
        raise SourceError(f"{label} changed while it was read. Was it still being written? Read it when it is whole.")


def _look(path: Any) -> tuple[Any, Any]:
    found = path.stat()
    return found.st_size, getattr(found, "st_mtime_ns", None) or getattr(found, "st_mtime", None)


def _open(path: Any) -> IO[bytes]:
    if path.name.lower().endswith(".gz"):
        return cast(IO[bytes], gzip.open(path.open("rb"), "rb"))
    return cast(IO[bytes], path.open("rb"))


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
        nearest = next((parent for parent in folder.parents if parent.is_dir()), None)
        return f" There is not even a folder {str(folder)!r}" + (f"; {str(nearest)!r} is there." if nearest else ".")
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
