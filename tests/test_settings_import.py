"""``airflow_settings.yaml`` into a real metadata database, made once for this module."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from interlock.errors import ConfigurationError, UnknownName
from interlock.settings_import import read_settings
from live_airflow import PROJECT


def settings(tmp_path, text):
    path = tmp_path / "airflow_settings.yaml"
    path.write_text(text)
    return path


def connections(tmp_path, *lines):
    return settings(tmp_path, "airflow:\n  connections:\n    - " + "\n      ".join(lines) + "\n")


def test_the_projects_own_file_can_be_read_and_holds_no_secret():
    read = read_settings(PROJECT / "airflow_settings.yaml")

    assert [one["conn_id"] for one in read.connections] == ["interlock_ledger", "interlock_outbox"]
    assert [(one["name"], one["slots"]) for one in read.pools] == [("interlock_models", 8)]
    assert read.warnings == ()


def test_entries_without_a_value_are_passed_over_as_in_astros_own_template(tmp_path):
    read = read_settings(
        settings(
            tmp_path,
            "airflow:\n  connections:\n    - conn_id:\n      conn_type:\n      conn_extra: {}\n"
            "  pools:\n    - pool_name:\n      pool_slot:\n  variables:\n    - variable_name:\n      variable_value:\n",
        )
    )

    assert (read.connections, read.pools, read.variables, read.warnings) == ((), (), (), ())


@pytest.mark.parametrize("text", ["", "airflow:\n", "airflow: {}\n", "airflow:\n  pools:\n"])
def test_a_file_that_says_nothing_sets_nothing(tmp_path, text):
    read = read_settings(settings(tmp_path, text))

    assert (read.connections, read.pools, read.variables) == ((), (), ())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("airflow: [\n", "is not YAML: line 2, column 1"),
        ("connections: []\n", "has no 'airflow' at its top"),
        ("airflow:\n  connections: {a: b}\n", "connections is a dict. Make it a list"),
        ("airflow:\n  connections:\n    - text\n", "connections, entry 1 is 'text'"),
        ("airflow:\n  connections:\n    - conn_type: http\n", "entry 1 has no conn_id"),
        ("airflow:\n  connections:\n    - conn_id: a\n", "connection 'a' has no conn_type"),
        ("airflow:\n  connections:\n    - {conn_id: a, conn_type: http, conn_port: many}\n", "conn_port is 'many'"),
        ("airflow:\n  connections:\n    - {conn_id: a, conn_type: http, conn_extra: '{'}\n", "conn_extra is text, but"),
        ("airflow:\n  connections:\n    - {conn_id: a, conn_type: http, conn_extra: [1]}\n", "conn_extra is a list"),
        (
            "airflow:\n  connections:\n    - {conn_id: a, conn_type: x, conn_uri: 'x://h'}\n",
            "a conn_uri and other fields",
        ),
        (
            "airflow:\n  pools:\n    - {pool_name: a, pool_slot: 1}\n    - {pool_name: a, pool_slot: 2}\n",
            "is defined twice",
        ),
        ("airflow:\n  variables:\n    - {variable_name: a, variable_value: {b: 1}}\n", "variable 'a' is a dict"),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(tmp_path, text, told):
    with pytest.raises(ConfigurationError, match=told.replace("{", r"\{")):
        read_settings(settings(tmp_path, text))


def test_a_misspelt_key_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UnknownName, match="Did you mean 'conn_host'"):
        read_settings(connections(tmp_path, "conn_id: a", "conn_type: http", "con_host: h"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no settings file '.*missing\.yaml'"):
        read_settings(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    "secret",
    [
        "conn_password: hunter2",
        "conn_extra: {api_key: hunter2}",
        """conn_extra: '{"client_secret": "hunter2"}'""",
    ],
)
def test_what_looks_like_a_secret_is_warned_of_and_never_repeated(tmp_path, secret):
    read = read_settings(connections(tmp_path, "conn_id: my-model", "conn_type: http", secret))

    assert len(read.warnings) == 1
    assert "AIRFLOW_CONN_MY_MODEL" in read.warnings[0]
    assert "hunter2" not in read.warnings[0]


def test_a_password_in_an_address_is_a_secret_too(tmp_path):
    read = read_settings(connections(tmp_path, "conn_id: a", "conn_uri: 'postgres://u:hunter2@h/db'"))

    assert len(read.warnings) == 1


def test_what_is_left_out_is_told(tmp_path):
    read = read_settings(
        settings(
            tmp_path, "airflow:\n  pools: [{pool_name: p}]\n  variables: [{variable_name: v, variable_value: ''}]\n"
        )
    )

    assert read.warnings == (
        "pool 'p' has no pool_slot and was skipped.",
        "variable 'v' has no variable_value and was skipped.",
    )


IMPORT_AND_LIST = """
import json, sys
from airflow.models import Connection, Pool, Variable
from airflow.utils.session import create_session
from interlock.settings_import import import_settings

summary = import_settings(sys.argv[1])
with create_session() as session:
    print(json.dumps({
        "summary": str(summary),
        "connections": sorted([c.conn_id, c.conn_type, c.host, c.login, c.password, c.schema, c.port, c.extra_dejson]
                              for c in session.query(Connection)),
        "pools": sorted([p.pool, p.slots] for p in session.query(Pool)),
        "variables": sorted([v.key, v.val] for v in session.query(Variable)),
    }))
"""


@pytest.fixture(scope="module")
def metadata_database(tmp_path_factory):
    """The environment of a process that sees a migrated Airflow database of this module's own."""
    home = tmp_path_factory.mktemp("home")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment = clean | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(PROJECT / "plugins"),
    }
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    return environment


def import_and_list(environment, path):
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_LIST, str(path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.airflow
def test_a_second_import_changes_what_changed_and_keeps_a_password_that_is_left_out(metadata_database, tmp_path):
    first = (
        "airflow:\n"
        "  connections:\n"
        "    - {conn_id: crm, conn_type: http, conn_host: crm.example, conn_port: 8443, conn_login: u,\n"
        "       conn_password: p, conn_schema: https, conn_extra: {retries: 3}}\n"
        "    - {conn_id: bus, conn_uri: 'http://bus.example:81'}\n"
        "  pools: [{pool_name: models, pool_slot: 4}]\n"
        "  variables: [{variable_name: region, variable_value: eu}]\n"
    )
    found = import_and_list(metadata_database, settings(tmp_path, first))

    assert found["summary"] == "2 connections, 1 pool, 1 variable"
    assert found["connections"] == [
        ["bus", "http", "bus.example", None, None, "", 81, {}],
        ["crm", "http", "crm.example", "u", "p", "https", 8443, {"retries": 3}],
    ]
    assert ["models", 4] in found["pools"]
    assert found["variables"] == [["region", "eu"]]

    assert import_and_list(metadata_database, settings(tmp_path, first)) == found

    second = (
        "airflow:\n"
        "  connections: [{conn_id: crm, conn_type: http, conn_host: new.example}]\n"
        "  pools: [{pool_name: models, pool_slot: 9}]\n"
        "  variables: [{variable_name: region, variable_value: us}]\n"
    )
    changed = import_and_list(metadata_database, settings(tmp_path, second))

    assert changed["connections"] == [
        found["connections"][0],
        ["crm", "http", "new.example", None, "p", None, None, {}],
    ]
    assert ["models", 9] in changed["pools"]
    assert changed["variables"] == [["region", "us"]]


@pytest.mark.airflow
def test_a_file_with_a_fault_sets_nothing_at_all(metadata_database, tmp_path):
    before = import_and_list(metadata_database, settings(tmp_path, "airflow: {}\n"))
    half_right = "airflow:\n  connections: [{conn_id: fine, conn_type: http}]\n  pools: [{pool_slot: 2}]\n"

    done = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_LIST, str(settings(tmp_path, half_right))],
        env=metadata_database,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "pools, entry 1 has no pool_name" in done.stderr
    assert import_and_list(metadata_database, settings(tmp_path, "airflow: {}\n")) == before
