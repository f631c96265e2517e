"""The seal's keys come from an Airflow connection; one that cannot be used says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from interlock.errors import ConfigurationError
from interlock.hooks.seal import sealer
from interlock.quickstart.environment import local_environment

OLD, NEW = "o" * 32, "n" * 32


def connected(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_INTERLOCK_SEAL", json.dumps({"conn_type": "generic", **fields}))


def test_the_password_is_the_key_and_the_login_its_id(monkeypatch: pytest.MonkeyPatch):
    connected(monkeypatch, login="2026-12", password=NEW)

    found = sealer()

    assert found is not None
    assert found.seal("row").startswith("2026-12:")
    assert found.holds("row", found.seal("row"))
    assert not found.holds("another row", found.seal("row"))
    assert NEW not in repr(found)


def test_what_an_earlier_key_sealed_counts_while_it_is_listed(monkeypatch: pytest.MonkeyPatch):
    connected(monkeypatch, password=OLD)
    first = sealer()
    assert first is not None

    connected(monkeypatch, login="2", password=NEW, extra={"previous": {"1": OLD}})
    second = sealer()
    connected(monkeypatch, login="2", password=NEW)
    third = sealer()

    assert second is not None
    assert third is not None
    assert second.holds("row", first.seal("row"))
    assert not third.holds("row", first.seal("row"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"login": "1"}, "no password"),
        ({"login": "1", "password": "short"}, "32 or more"),
        ({"login": "a:b", "password": NEW}, "no colon"),
        ({"login": "2", "password": NEW, "extra": {"previous": "x"}}, "extra.previous"),
        ({"login": "2", "password": NEW, "extra": {"previous": {"1": "y"}}}, "key '1' has 1 characters"),
    ],
)
def test_a_connection_that_cannot_be_used_says_why(monkeypatch: pytest.MonkeyPatch, fields: Any, message: str):
    connected(monkeypatch, **fields)

    with pytest.raises(ConfigurationError, match=message):
        sealer()


def test_a_local_airflow_has_a_key_that_stays_and_one_of_the_callers_own_is_kept(tmp_path: Path):
    def made(**inherited: str) -> str | None:
        folders = {"dags_folder": tmp_path, "plugins_folder": tmp_path}
        variables = local_environment(tmp_path / "home", port=0, inherited=inherited, **folders)
        return variables.get("AIRFLOW_CONN_INTERLOCK_SEAL")

    first = made()

    assert first is not None
    assert len(json.loads(first)["password"]) >= 32
    assert made() == first
    assert made(AIRFLOW_CONN_INTERLOCK_SEAL="mine") == "mine"
