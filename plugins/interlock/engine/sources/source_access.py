"""
Where the sources of a run may be read from, and how much one may bring.

Who starts a run names its source, and a run reads with the rights of a worker: its files, its keys, its network. So a
file must lie below a declared root after all links are resolved, and an address must be declared. A command that reads
a file for the person who calls it has that person's rights, and needs none of this.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from interlock.errors import SourceError

MAX_RATIO = 250
"""A packed file that unpacks to more times its size is no table; texts come to about a tenth of this."""

_FREE_BYTES = 64 * 2**20
"""So much may come out of a packed file, however small it is."""
_SYSTEM = tuple(map(Path, ("/proc", "/sys", "/dev")))
_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class SourceAccess:
    """What may be read, and how much of it. The defaults are those of a person's own command."""

    roots: tuple[str, ...] | None = None
    """Absolute folders and files, and folders of stores (``s3://bucket/folder``); None: wherever the process may."""
    hosts: tuple[str, ...] | None = None
    """Hosts, or host:port, of open addresses; None: any."""
    closed: tuple[Path, ...] = ()
    """Files and folders that are never read, even below a root."""
    max_bytes: int = 4 * 2**30
    """Of one source, unpacked."""
    max_rows: int = 50_000_000
    max_line_bytes: int = 16 * 2**20

    def permit_file(self, path: Path, asked: str) -> Path:
        """
        Return *path* with its links resolved.

        :param asked: what the source said, for the message.
        :raises SourceError: it is not below a root, or closed. Nothing is said of whether it is there.
        """
        if self.roots is None:
            return path
        real = path.resolve()
        roots = [Path(root).resolve() for root in self.roots if "://" not in root]
        root = next((root for root in roots if real == root or root in real.parents), None)
        if root is None:
            raise SourceError(
                f"file {asked!r} is not in a folder that runs may read. Those are: "
                f"{', '.join(map(repr, map(str, roots))) or 'none'}. Put it there, or name its folder in "
                "[interlock] source_roots."
            )
        hidden = any(part.startswith(".") for part in real.relative_to(root).parts)
        if hidden or self._is_closed(real):
            raise SourceError(
                f"file {asked!r} is never read by a run: it is hidden, or belongs to Airflow or Interlock "
                "(configuration, keys, passwords, databases, logs, ledger, cache, outbox). Give a copy of the data "
                "that has a place of its own."
            )
        return real

    def _is_closed(self, real: Path) -> bool:
        closed = (*_SYSTEM, *(path.resolve() for path in self.closed))
        if any(real == path or path in real.parents for path in closed):
            return True
        return any(_is_same(real, path) for path in closed)

    def permit_object(self, address: str, conn_id: str | None) -> None:
        """
        Let an object of a store be read: through a connection, or below a root.

        :raises SourceError: neither.
        """
        if self.roots is None or conn_id is not None:
            return
        folders = [root.rstrip("/") + "/" for root in self.roots if "://" in root]
        if ".." in address.split("/") or not any(address.startswith(folder) for folder in folders):
            raise SourceError(
                f"object {address!r} would be read with the worker's own rights. Name a connection "
                "('s3://CONN_ID@bucket/key') that company/access.yaml lists, or its folder in [interlock] source_roots."
            )

    def permit_host(self, host: str, port: int | None) -> None:
        """
        Let an open address be asked.

        :raises SourceError: its host is not declared.
        """
        if self.hosts is None:
            return
        names = {host.lower(), f"{host.lower()}:{port}"}
        if not names & {name.lower() for name in self.hosts}:
            raise SourceError(
                f"host {host!r} is not one that runs may ask. Those are: {', '.join(map(repr, self.hosts)) or 'none'}. "
                "Give the service a connection ('conn://CONN_ID/path'), or name its host in [interlock] source_hosts."
            )

    def check_bytes(self, count: int, label: str, *, packed: int | None = None) -> None:
        """
        Let *count* bytes of a source be read.

        :param packed: how many they are while packed.
        :raises SourceError: they are too many.
        """
        if count > self.max_bytes:
            raise SourceError(
                f"{label} is larger than {_size(self.max_bytes)}. Give it in parts, or raise [interlock] "
                "source_max_bytes."
            )
        if packed is not None and count > max(_FREE_BYTES, MAX_RATIO * packed):
            raise SourceError(
                f"{label} unpacks to more than {MAX_RATIO} times its size ({_size(packed)}), so it may be made to fill "
                "this machine. If it is right, give it unpacked."
            )

    def check_rows(self, count: int, label: str) -> None:
        """
        Let so many rows be read.

        :raises SourceError: they are too many.
        """
        if count > self.max_rows:
            raise SourceError(
                f"{label} has more than {self.max_rows} rows. Give it in parts, or raise [interlock] source_max_rows."
            )


OWN_ACCESS = SourceAccess()
"""Of a person who reads a file of their own."""


class BoundedStream(io.RawIOBase):
    """The bytes of a stream, up to the limits for all of them and for a line."""

    def __init__(
        self, stream: IO[bytes], access: SourceAccess, label: str, *, max_line_bytes: int | None = None
    ) -> None:
        super().__init__()
        self._stream, self._access, self._label = stream, access, label
        self._max_line = max_line_bytes or access.max_line_bytes
        self._total = self._line = 0
        self._packed: int | None = getattr(stream, "packed_bytes", None)

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes; :raises SourceError: a limit is passed."""
        chunk = self._stream.read(len(buffer))
        count = len(chunk)
        buffer[:count] = chunk
        self._total += count
        self._access.check_bytes(self._total, self._label, packed=self._packed)
        end = chunk.rfind(b"\n")
        self._line = self._line + count if end < 0 else count - end - 1
        if self._line > self._max_line:
            raise SourceError(
                f"{self._label} has a line of more than {_size(self._max_line)}. Was it written by lines? Then raise "
                "[interlock] source_max_line_bytes."
            )
        return count


def bounded(
    stream: IO[bytes], access: SourceAccess, label: str, *, max_line_bytes: int | None = None
) -> io.BufferedReader:
    """Return *stream* as one that ends with an error where the limits of *access* are passed."""
    return io.BufferedReader(BoundedStream(stream, access, label, max_line_bytes=max_line_bytes), buffer_size=_CHUNK)


def _is_same(one: Path, other: Path) -> bool:
    """Return whether both are one file, by whatever names: a hard link cannot be resolved."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _size(number: int) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= unit and number % unit == 0:
            return f"{number // unit} {name}"
    return f"{number} bytes"


def database_files(paths: Iterable[Path]) -> list[Path]:
    """Return SQLite files with those that stand beside them while they are in use."""
    return [Path(f"{path}{end}") for path in paths for end in ("", "-wal", "-shm", "-journal")]
