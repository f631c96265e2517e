"""
Snapshots of what was read: Parquet files, named by their SHA-256, in a folder that all workers share.

A number can be traced to its rows only while the snapshot of its reading is there; what keeps how long is the dataset's
``kept``. The folder may be an object storage path of Airflow: anything that behaves like a :class:`~pathlib.Path`.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from interlock.errors import SourceError, Tampered


class Snapshots:
    """A folder of snapshots."""

    def __init__(self, root: Any) -> None:
        self.root = root

    def put(self, file: Path, digest: str) -> None:
        """Keep *file*, whose SHA-256 is *digest*. One that is there already is left as it is."""
        self.root.mkdir(parents=True, exist_ok=True)
        target = self.root / f"{digest}.parquet"
        if target.exists():
            return
        part = self.root / f"{digest}.{file.parent.name[-8:]}.part"
        with file.open("rb") as source, part.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        part.rename(target)

    def delete(self, digests: Collection[str]) -> int:
        """Delete those of *digests* that are there; return how many."""
        if not digests or not self.root.exists():
            return 0
        gone = [path for path in self.root.iterdir() if path.suffix == ".parquet" and path.stem in digests]
        for path in gone:
            path.unlink()
        return len(gone)

    @contextmanager
    def open(self, digest: str) -> Iterator[Path]:
        """
        Give the snapshot *digest* as a file of this machine.

        :raises SourceError: it is not kept any more.
        :raises Tampered: it is not what was kept.
        """
        target = self.root / f"{digest}.parquet"
        if not target.exists():
            raise SourceError(
                f"snapshot {digest[:12]}… is not in {str(self.root)!r}: its time is over (kept in datasets.yaml), or "
                "[interlock] snapshot_path is another one here"
            )
        with TemporaryDirectory(prefix="interlock-snapshot-") as folder:
            local, found = Path(folder) / "snapshot.parquet", hashlib.sha256()
            with target.open("rb") as source, local.open("wb") as sink:
                while chunk := source.read(1 << 20):
                    found.update(chunk)
                    sink.write(chunk)
            if found.hexdigest() != digest:
                raise Tampered(f"snapshot {digest[:12]}… in {str(self.root)!r} is not what was read: another digest")
            yield local
