"""
The console behind Airflow's real login: SimpleAuthManager, its tokens, a migrated database in a temporary home.

Nothing of it is replaced: a token is checked as the API server does, and the ledger is found through its connection.
The workflow is the one of :mod:`workflows`, whose stages run in this process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.routing import APIRoute
from interlock.quickstart.environment import local_environment
from starlette.routing import Mount
from workflows import Workflow

PEOPLE = {"lea": "user", "leo": "user", "otto": "user", "vera": "viewer"}
"""``lea`` and ``leo`` vote at the workflow's gate; ``otto`` may change Dags and is no voter; ``vera`` may look."""


@pytest.fixture(scope="package")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An Airflow home with a migrated database, which this process is configured for."""
    home = tmp_path_factory.mktemp("airflow")
    variables = local_environment(home, port=0, dags_folder=home, plugins_folder=home, people=PEOPLE)
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=variables, check=True, capture_output=True)
    before = dict(os.environ)
    os.environ |= {name: value for name, value in variables.items() if name.startswith("AIRFLOW")}
    from airflow import settings

    settings.dispose_orm(do_log=False)
    settings.configure_vars()
    settings.configure_orm()
    from airflow.api_fastapi.app import init_auth_manager, purge_cached_app

    purge_cached_app()
    init_auth_manager()
    yield home
    purge_cached_app()
    settings.dispose_orm(do_log=False)
    os.environ.clear()
    os.environ |= before


@pytest.fixture
def workflow(tmp_path, sqlite_ledger, monkeypatch, airflow_home) -> Workflow:
    """The workflow of refunds, in the ledger that the console finds."""
    made = Workflow(tmp_path, sqlite_ledger)
    connection = {"conn_type": "interlock_ledger", "extra": {"path": str(sqlite_ledger.engine.url.database)}}
    monkeypatch.setenv("AIRFLOW_CONN_INTERLOCK_LEDGER", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__INTERLOCK__INCLUDE_PATH", str(made.include))
    return made


@pytest.fixture
def app(workflow):
    """The app as the plugin hands it to Airflow."""
    from interlock.console.app import create_app

    return create_app()


def _routes_of(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[tuple[str, str], APIRoute]]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield from (((method, prefix + route.path), route) for method in sorted(route.methods - {"HEAD"}))
        elif not isinstance(route, Mount):
            inner = getattr(route, "original_router", None) or getattr(route, "app", None)
            if inner is not None and hasattr(inner, "routes"):
                context = getattr(route, "include_context", None)
                yield from _routes_of(inner.routes, prefix + (getattr(context, "prefix", "") or ""))


@pytest.fixture
def all_routes(app) -> dict[tuple[str, str], APIRoute]:
    """Every route of the app by its method and path, those of included routers too."""
    return dict(_routes_of(app.routes))


@pytest.fixture
def client(app, monkeypatch) -> Callable[..., SimpleNamespace]:
    """Return a client that is logged in as a person; None: as nobody."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient
    from interlock.console import wake

    # No Airflow runs beside these tests: do not look for its gate for 40 seconds.
    monkeypatch.setattr(wake, "GIVE_UP_SECONDS", 0.0)

    def _as(name: str | None) -> TestClient:
        logged_in = TestClient(app, follow_redirects=False)
        if name is not None:
            token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role=PEOPLE[name].upper()))
            logged_in.headers["Authorization"] = f"Bearer {token}"
        return logged_in

    return _as
