"""What a run may read by the settings of an Airflow, and what of its own files it never may."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOOK = """
import json, sys
from interlock.domain.data.source import parse_source
from interlock.domain.effects.connector import OutboxConnector
from interlock.engine.sources.source import read_rows
from interlock.errors import InterlockError
from interlock.hooks.source_access import source_access
access = source_access({"letters": OutboxConnector(kind="outbox", conn_id="letters")})
found = {}
for path in json.load(sys.stdin):
    try:
        source = {"path": path, "format": "csv"}
        found[path] = len(list(read_rows(parse_source(source), connection=str, access=access)))
    except InterlockError as error:
        found[path] = str(error)
print("found:" + json.dumps({**found, "hosts": access.hosts, "max_rows": access.max_rows}))
"""


def look(home: Path, paths: list[str], **settings: str) -> dict:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": f"{ROOT / 'plugins'}",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "who.json"),
        "AIRFLOW__INTERLOCK__LEDGER_URL": f"sqlite:///{home}/cases/ledger.db",
        "AIRFLOW_CONN_LETTERS": json.dumps({"conn_type": "generic", "extra": {"path": str(home / "post")}}),
        **{f"AIRFLOW__INTERLOCK__{name.upper()}": value for name, value in settings.items()},
    }
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env=environment,
        input=json.dumps(paths),
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
    )
    assert "found:" in done.stdout, done.stderr
    return json.loads(done.stdout.rpartition("found:")[2])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("astro")
    for name in (
        *("include/desk/data/inbox.csv", "exports/a.csv", "other/a.csv", "keys.json", "passwords.json", "who.json"),
        *("airflow.db", "cases/ledger.db", "cases/ledger.db-wal", "post/r1.json", "logs/a.csv", "ledger_url"),
        *("interlock_cache/a.csv", "interlock_snapshots/a.csv", "airflow_settings.yaml", ".env"),
    ):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("id\nr1\n")
    return home


def test_data_folders_and_declared_ones_are_read(home: Path):
    given = ["include/desk/data/inbox.csv", "exports/a.csv", "other/a.csv"]

    found = look(
        home, given, source_roots="exports, s3://bucket/in", source_hosts="a.example.com, b:8000", source_max_rows="7"
    )

    assert [found[path] for path in given[:2]] == [1, 1]
    assert "is not in a folder that runs may read" in found["other/a.csv"]
    assert (found["hosts"], found["max_rows"]) == (["a.example.com", "b:8000"], 7)


def test_airflows_and_interlocks_own_files_are_never_read(home: Path):
    own = [
        *(
            "keys.json",
            "passwords.json",
            "who.json",
            "airflow.cfg",
            "airflow.db",
            "cases/ledger.db",
            "cases/ledger.db-wal",
        ),
        *("post/r1.json", "logs/a.csv", "ledger_url", "interlock_cache/a.csv", "interlock_snapshots/a.csv"),
        *("airflow_settings.yaml", ".env"),
    ]

    found = look(home, [*own, "other/a.csv"], source_roots=json.dumps([str(home)]))

    for path in own:
        assert "is never read by a run" in str(found[path]), path
    assert found["other/a.csv"] == 1
