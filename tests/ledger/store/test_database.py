from __future__ import annotations

from pathlib import Path

import pytest
from interlock.errors import ConfigurationError
from interlock.ledger.store import database
from interlock.ledger.store.database import network_disk, open_database


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Say that the file system is such at a folder, as Linux does."""

    def say(kind: str, folder: Path) -> None:
        mounts = tmp_path / "mounts"
        mounts.write_text(
            f"overlay / overlay rw 0 0\nserver:/export {str(folder).replace(' ', chr(92) + '040')} {kind} rw 0 0\n"
        )
        monkeypatch.setattr(database, "MOUNTS", mounts)

    return say


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "ceph"])
def test_an_sqlite_ledger_on_a_network_disk_is_not_opened(tmp_path: Path, mounted, kind: str):
    folder = tmp_path / "shared disk"
    folder.mkdir()
    mounted(kind, folder)

    with pytest.raises(ConfigurationError, match=f"is on a network disk \\({kind}\\).*Move the file to a local disk"):
        open_database(f"sqlite:///{folder}/deep/ledger.db")
    open_database(f"sqlite:///{tmp_path}/local/ledger.db").dispose()


@pytest.mark.parametrize("kind", ["ext4", "overlay", "9p", "tmpfs"])
def test_a_local_disk_is_none(tmp_path: Path, mounted, kind: str):
    mounted(kind, tmp_path)

    assert network_disk(tmp_path) is None


def test_where_the_system_does_not_say_the_ledger_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "MOUNTS", tmp_path / "nothing")

    assert network_disk(tmp_path) is None


def test_a_local_disk_below_a_network_disk_is_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"a / nfs4 rw 0 0\nb {tmp_path} ext4 rw 0 0\n")
    monkeypatch.setattr(database, "MOUNTS", mounts)

    assert network_disk(tmp_path / "x") is None
    assert network_disk(Path("/")) == "nfs4"
