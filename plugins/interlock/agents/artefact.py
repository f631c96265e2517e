"""
Trained artefacts on disk: one file for each digest, written whole or not at all, trained by the first that needs it.

A file carries the SHA-256 of its content and is checked before it is unpickled, so a half-written or damaged file is
trained again instead of crashing a task. That is integrity, not authenticity: anyone who can write to the cache can
run code in the workers, so the cache belongs to the workers' user alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

HEADER = b"interlock artefact 1\n"

log = logging.getLogger(__name__)


def load_or_make(cache: Path, digest: str, kind: type[T], make: Callable[[], T]) -> tuple[T, bool]:
    """
    Return the artefact *digest* from *cache*, or make and keep it, and whether it came from the cache.

    Processes that need the same artefact at once wait for the first one. Where the cache can't be written to, the
    artefact is made and used without being kept, and a warning says so.
    """
    path = cache / f"{digest}.joblib"
    if (found := read_artefact(path, kind)) is not None:
        return found, True
    with _alone(path.with_suffix(".lock")):
        if (found := read_artefact(path, kind)) is not None:
            return found, True
        made = make()
        try:
            write_artefact(path, made)
        except OSError as error:
            log.warning("artefact %s is not kept, so the next task makes it again: %s", path, error)
        return made, False


def write_artefact(path: Path, artefact: object) -> None:
    """Write *artefact* to *path* in one step: a reader sees the old file or the new one."""
    import joblib

    buffer = io.BytesIO()
    joblib.dump(artefact, buffer)
    content = buffer.getbuffer()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(HEADER + hashlib.sha256(content).hexdigest().encode() + b"\n")
            file.write(content)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def read_artefact(path: Path, kind: type[T]) -> T | None:
    """Return the *kind* kept at *path*, or None when there is none that is whole."""
    import joblib

    try:
        raw = path.read_bytes()
    except OSError:
        return None
    start = len(HEADER) + 65
    content = memoryview(raw)[start:]
    if not raw.startswith(HEADER) or raw[len(HEADER) : start - 1] != hashlib.sha256(content).hexdigest().encode():
        log.warning("artefact %s is damaged and is made again", path)
        return None
    try:
        found = joblib.load(io.BytesIO(content))
    except Exception as error:  # whole, but of other library versions: any error can come out of unpickling
        log.warning("artefact %s cannot be loaded and is made again: %s: %s", path, type(error).__name__, error)
        return None
    return found if isinstance(found, kind) else None


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold *lock* while others wait; go on without it where the file system has no locks."""
    try:
        import fcntl

        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a")
    except (ImportError, OSError):
        yield
        return
    with file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
