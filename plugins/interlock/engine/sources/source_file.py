"""
A file as a source: found, opened, and explained when it is not there or is not whole.

A file that changes while it is read is refused, because nobody knows which part of it was read. A relative path is
looked for in the project's root first, because a Dag that names ``data/tickets.csv`` must not depend on the directory
that a worker was started in.
"""

from __future__ import annotations

import gzip
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, cast

from interlock.domain.data.source import SUFFIXES, FileSource, file_format, is_object
from interlock.engine.sources.source_access import OWN_ACCESS, SourceAccess, bounded
from interlock.engine.sources.source_connection import unavailable
from interlock.engine.sources.source_format import Rows, read_stream
from interlock.errors import InterlockError, SourceError


def read_file(
    spec: FileSource,
    base: Path | None = None,
    *,
    storage: Callable[[str, str | None], Any] | None = None,
    access: SourceAccess,
) -> Rows:
    """
    Yield the rows of the file.

    :param storage: gives the path-like object of an address in object storage.
    :param access: where files may be, and how large.
    :raises SourceError: it is missing, a folder, not readable, damaged, not whole, or not in the stated encoding.
    """
    path = place_of(spec, base, storage, access)
    chosen = file_format(spec)
    if chosen is None:  # parse_source refuses it; a spec that is built by hand comes here
        raise SourceError(f"{str(path)!r} has no known ending, and no 'format' is stated.")
    label = f"file {str(path)!r}"
    with reading(path, label), _open(path) as stream:
        if chosen == "parquet" and path.name.lower().endswith(".gz"):  # its end is read first
            with TemporaryFile() as unpacked:
                shutil.copyfileobj(bounded(stream, access, label, max_line_bytes=access.max_bytes), unpacked, 1 << 20)
                unpacked.seek(0)
                return (yield from read_stream(cast(IO[bytes], unpacked), chosen, spec, label=label, access=access))
        return (yield from read_stream(stream, chosen, spec, label=label, access=access))


def place_of(
    spec: FileSource,
    base: Path | None,
    storage: Callable[[str, str | None], Any] | None,
    access: SourceAccess = OWN_ACCESS,
) -> Any:
    """
    Return the file, or the object, that *spec* names.

    :raises SourceError: there is none, or it may not be read.
    """
    if not is_object(spec):
        return find_file(spec.path, base, access)
    access.permit_object(spec.path, spec.conn_id)
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
        unpacked: Any = gzip.open(path.open("rb"), "rb")  # noqa: SIM115  # whoever asked for it closes it
        unpacked.packed_bytes = path.stat().st_size  # for BoundedStream
        return cast(IO[bytes], unpacked)
    return cast(IO[bytes], path.open("rb"))


def find_file(path: str, base: Path | None = None, access: SourceAccess = OWN_ACCESS) -> Path:
    """
    Return the absolute path of the file *path*, looked for in *base* and then in the working directory.

    :raises SourceError: there is none, with where it was looked for and names that come near; or it may not be read.
    """
    asked = Path(path).expanduser()
    places = [asked] if asked.is_absolute() else [folder / asked for folder in (base, Path.cwd()) if folder]
    try:
        places = _permitted(list(dict.fromkeys(place.absolute() for place in places)), path, access)
        for place in places:
            if place.is_dir():
                raise SourceError(f"{str(place)!r} is a folder, and a file is needed.{_inside(place)}")
            if place.is_file():
                return place
            if place.exists():
                raise SourceError(f"{str(place)!r} is no file, but a pipe, a socket or a device.")
    except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL
        raise SourceError(f"there can be no file of this name: {getattr(error, 'strerror', None) or error}.") from error
    looked = " and ".join(repr(str(place)) for place in places)
    raise SourceError(f"there is no file {looked}.{''.join(dict.fromkeys(_near(place) for place in places))}")


def _permitted(places: list[Path], asked: str, access: SourceAccess) -> list[Path]:
    """Return those of *places* that may be read, so that nothing is said of what lies elsewhere."""
    found, refused = [], None
    for place in places:
        try:
            found.append(access.permit_file(place, asked))
        except SourceError as error:
            refused = refused or error
    if refused is not None and not found:
        raise refused
    return found


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
