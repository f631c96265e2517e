"""One live Airflow for the tests whose workflows do not get into each other's way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from faults.bench import Bench, python_path
from interlock.ledger.store.ledger import Ledger
from live_airflow import PROJECT, live_airflow

PEOPLE = {"admin": "admin", "lea": "user", "leo": "user", "otto": "user", "vera": "viewer"}


@contextmanager
def airflow_for_faults(folder: Path) -> Iterator[Bench]:
    """Yield an Airflow in *folder* with an empty Dags folder, that notices a lost heartbeat within seconds."""
    (folder / "dags").mkdir()
    (folder / "include").mkdir()
    with live_airflow(
        folder / "home",
        dags_folder=folder / "dags",
        settings=PROJECT / "airflow_settings.yaml",
        people=PEOPLE,
        parallelism=3,
        environment={
            "PYTHONPATH": python_path(folder),
            "AIRFLOW__INTERLOCK__INCLUDE_PATH": str(folder / "include"),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "12",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "1",
            "AIRFLOW_CONN_PAYOUT": json.dumps({"conn_type": "fs", "extra": {"path": str(folder / "home" / "outbox")}}),
        },
    ) as airflow:
        yield Bench(airflow, folder, Ledger.open(f"sqlite:///{folder / 'home' / 'interlock.db'}", "test"))


@pytest.fixture(scope="package")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One Airflow for all of this folder."""
    with airflow_for_faults(tmp_path_factory.mktemp("faults")) as one:
        yield one


@pytest.fixture(scope="module")
def bench_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], AbstractContextManager[Bench]]:
    """Make an Airflow for work that others would meet in the ledger."""
    return lambda: airflow_for_faults(tmp_path_factory.mktemp("alone"))
