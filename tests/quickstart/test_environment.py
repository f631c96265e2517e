"""What a local Airflow is told, and what of the calling shell it must not hear."""

from __future__ import annotations

import json
import socket

import pytest
from interlock.domain.data.source import parse_source
from interlock.quickstart import __main__ as quickstart
from interlock.quickstart.environment import free_port, local_environment


def an_environment(tmp_path, **inherited):
    return local_environment(
        tmp_path / "home",
        port=8123,
        dags_folder=tmp_path / "dags",
        plugins_folder=tmp_path / "plugins",
        python_path=[tmp_path],
        inherited=inherited,
    )


def test_settings_of_another_airflow_are_not_handed_on(tmp_path):
    found = an_environment(
        tmp_path,
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="postgresql://company/airflow",
        AIRFLOW__CORE__DEFAULT_TIMEZONE="Europe/Zurich",
        AIRFLOW_CONFIG="/etc/airflow.cfg",
        PYTHONDONTWRITEBYTECODE="1",
        PATH="/usr/bin",
    )

    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{tmp_path / 'home' / 'airflow.db'}"
    assert not {"AIRFLOW__CORE__DEFAULT_TIMEZONE", "AIRFLOW_CONFIG", "PYTHONDONTWRITEBYTECODE"} & set(found)
    assert found["PATH"] == "/usr/bin"


def test_interlocks_settings_and_connections_are_handed_on(tmp_path):
    found = an_environment(tmp_path, AIRFLOW__INTERLOCK__ENVIRONMENT="staging", AIRFLOW_CONN_MODEL="http://model")

    assert found["AIRFLOW__INTERLOCK__ENVIRONMENT"] == "staging"
    assert found["AIRFLOW_CONN_MODEL"] == "http://model"


def test_what_is_asked_for_extra_counts_over_everything(tmp_path):
    found = local_environment(
        tmp_path, port=1, dags_folder=tmp_path, plugins_folder=tmp_path, extra={"AIRFLOW__CORE__PARALLELISM": "7"}
    )

    assert found["AIRFLOW__CORE__PARALLELISM"] == "7"


def test_a_proxy_of_the_shell_is_not_asked_for_loopback(tmp_path):
    found = an_environment(tmp_path, HTTP_PROXY="http://proxy.example:3128", NO_PROXY="intranet.example")

    assert found["NO_PROXY"] == found["no_proxy"] == "intranet.example,127.0.0.1,localhost"


def test_the_project_comes_before_what_is_on_the_python_path(tmp_path):
    found = an_environment(tmp_path, PYTHONPATH="/opt/more")

    assert found["PYTHONPATH"] == f"{tmp_path}:/opt/more"


def test_keys_are_made_once_and_nobody_else_can_read_them(tmp_path):
    first, second = an_environment(tmp_path), an_environment(tmp_path)

    keys = [name for name in first if name.endswith(("_KEY", "_SECRET"))]
    assert len(keys) == 3
    assert {name: first[name] for name in keys} == {name: second[name] for name in keys}
    assert len({first[name] for name in keys}) == 3
    for name in ("keys.json", "passwords.json"):
        assert (tmp_path / "home" / name).stat().st_mode & 0o077 == 0


def test_a_broken_file_of_keys_is_made_anew(tmp_path):
    before = an_environment(tmp_path)
    (tmp_path / "home" / "keys.json").write_text("{")

    after = an_environment(tmp_path)

    assert after["AIRFLOW__CORE__FERNET_KEY"] != before["AIRFLOW__CORE__FERNET_KEY"]


def test_everybody_has_a_password(tmp_path):
    found = an_environment(tmp_path)

    names = {user.split(":")[0] for user in found["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"].split(",")}
    assert json.loads((tmp_path / "home" / "passwords.json").read_text()) == {name: name for name in names}


def test_a_port_that_is_taken_is_not_given():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert free_port(port) not in (0, port)
    assert free_port(port) == port


def test_a_source_of_ones_own_is_a_root_beside_those_that_are_set(tmp_path):
    given = {"AIRFLOW__INTERLOCK__SOURCE_ROOTS": "/srv/a, s3://b/c"}
    folders = {"port": 1, "dags_folder": tmp_path, "plugins_folder": tmp_path}

    made = local_environment(tmp_path, **folders, source_roots=["/home/me/my, cases.csv"], inherited=given)
    kept = local_environment(tmp_path, **folders, inherited=given)

    assert json.loads(made["AIRFLOW__INTERLOCK__SOURCE_ROOTS"]) == ["/srv/a", "s3://b/c", "/home/me/my, cases.csv"]
    assert kept["AIRFLOW__INTERLOCK__SOURCE_ROOTS"] == "/srv/a, s3://b/c"


@pytest.mark.parametrize(
    ("given", "source"),
    [
        ("cases.csv", {"path": "{here}/cases.csv"}),
        ('{"path": "cases.csv", "delimiter": ";"}', {"path": "{here}/cases.csv", "delimiter": ";"}),
        ("sql://warehouse/SELECT 1", {"sql": "SELECT 1", "conn_id": "warehouse"}),
    ],
)
def test_a_source_of_the_quickstart_is_a_file_or_a_mapping(tmp_path, monkeypatch, given, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cases.csv").write_text("id\n")

    found = quickstart._source(given)

    assert found == {name: value.replace("{here}", str(tmp_path)) for name, value in source.items()}
    assert parse_source(quickstart._as_text(found)) == parse_source(found)
    assert quickstart._file_of(found) == ([str(tmp_path / "cases.csv")] if "path" in source else [])
