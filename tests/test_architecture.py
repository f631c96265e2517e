"""
The house: which layers and rooms there are, what may import what, and how much a folder may hold.

Each refusal says where the thing belongs. ``include/docs/contributing.md`` draws the same from the imports.
"""

from __future__ import annotations

import json
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from house import PACKAGE, PLUGINS, imported, module_graph

BELOW = {
    "domain": set(),
    "ledger": {"domain"},
    "agents": {"domain"},
    "reporting": {"domain"},
    "connectors": {"domain", "reporting"},
    "quality": {"domain"},
    "analysis": {"domain"},
    "engine": {"domain", "ledger", "agents", "connectors", "quality", "analysis"},
    "hooks": {"domain", "ledger", "engine", "agents", "connectors"},
    "operators": {"domain", "ledger", "engine", "agents", "connectors", "hooks", "console"},
    "sensors": {"domain", "ledger", "engine", "agents", "connectors", "reporting", "hooks", "console", "operators"},
}
"""What of ours each layer may import, beside itself and ``errors``."""

ROOMS = {
    "domain": [
        "base",
        "effects",
        "cases",
        "agents",
        "data",
        "cost",
        "approvals",
        "facts",
        "reviews",
        "reports",
        "policy",
        "routing",
    ],
    "ledger": [
        "store",
        "policy",
        "incidents",
        "cost",
        "runs",
        "facts",
        "cases",
        "effects",
        "agents",
        "routing",
        "audit",
        "approvals",
        "reports",
    ],
    "engine": [
        "sources",
        "policy",
        "runs",
        "incidents",
        "cases",
        "agents",
        "routing",
        "approvals",
        "effects",
        "datasets",
        "facts",
        "reports",
        "upkeep",
    ],
}
"""The rooms of a layer from the ground up: each may import those before it."""

PUBLIC = {"domain": {"anomaly", "contract", "finding", "review", "work"}}
"""Modules outside any room: the paths from which contracts and functions of users import."""

MOST = 30
"""Modules of one folder."""

MAY_IMPORT_SQLALCHEMY = {"hooks/ledger.py", "settings_import.py"}
"""Outside of ``ledger``: what opens its database, and what reads the database of Airflow."""

METADATA_DATABASE = ("airflow.utils.session", "airflow.settings", "airflow.models", "airflow.api_fastapi.common.db")
"""Ways to a session of Airflow's metadata database, which changes without notice from one release to the next."""

WITH_METADATA_DATABASE = ("settings_import.py", "console/airflow_database.py")
"""The modules that may open one: the import of settings, and what the API server's pages need."""

WITHOUT_AIRFLOW = ("domain", "ledger", "agents", "reporting", "connectors", "quality", "analysis", "engine")
HEAVY = ("sqlalchemy", "pandas", "sklearn", "great_expectations", "cel_expr_python", "httpx", "duckdb", "vl_convert")


def modules(layer: str) -> list[Path]:
    return [path for path in sorted((PACKAGE / layer).rglob("*.py")) if "migrations" not in path.parts]


@pytest.mark.parametrize("layer", sorted(BELOW))
def test_imports_point_down_only(layer: str):
    files = modules(layer)
    assert files
    wrong = []
    for path in files:
        for name in imported(path):
            parts = name.split(".")
            if parts[0] != "interlock" or len(parts) == 1:
                continue
            if parts[1] not in BELOW[layer] | {layer, "errors", "__version__"}:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("layer", WITHOUT_AIRFLOW)
def test_below_operators_and_hooks_nothing_imports_airflow(layer: str):
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in modules(layer)
        for name in imported(path)
        if name.split(".")[0] == "airflow"
    ]
    assert wrong == []


def test_the_sql_of_the_ledger_is_in_the_ledger():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith("ledger/"):
            continue
        for asked in imported(path):
            is_schema = f"{asked}.".startswith("interlock.ledger.store.schema.")
            if is_schema or (asked.split(".")[0] == "sqlalchemy" and name not in MAY_IMPORT_SQLALCHEMY):
                wrong.append(
                    f"{name} imports {asked}. Put the query into a function of the ledger's room for it, which "
                    "takes and returns records; the type Connection comes from interlock.ledger.store.transaction"
                )
    assert wrong == []


def opens_the_metadata_database(name: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in METADATA_DATABASE)


def test_airflows_metadata_database_is_opened_in_two_places():
    opening = {
        path.relative_to(PACKAGE).as_posix(): sorted(filter(opens_the_metadata_database, imported(path)))
        for path in PACKAGE.rglob("*.py")
    }
    assert opening["settings_import.py"]
    wrong = [
        f"{place} imports {', '.join(names)}. A task has no access to Airflow's metadata database: use airflow.sdk "
        f"there; what the API server needs of it belongs in {WITH_METADATA_DATABASE[1]}, what an import of settings "
        f"writes in {WITH_METADATA_DATABASE[0]}"
        for place, names in opening.items()
        if names and place not in WITH_METADATA_DATABASE
    ]
    assert wrong == []


def test_every_folder_of_the_package_that_a_layer_is_has_a_rule():
    layers = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}

    assert layers - set(BELOW) <= {"console", "commands", "quickstart", "listeners", "triggers"}


@pytest.fixture(scope="session")
def graph() -> dict[str, set[str]]:
    """What each module of the package imports of it, at its top, for types, and inside functions."""
    return module_graph()


def test_no_modules_import_each_other_in_a_circle(graph: dict[str, set[str]]):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        pytest.fail(f"a circle: {circle}. Move what two of them share into a module below both")


@pytest.mark.parametrize("layer", sorted(ROOMS))
def test_every_module_of_a_layer_is_in_a_room(layer: str):
    rooms, public = set(ROOMS[layer]), PUBLIC.get(layer, set())
    for path in modules(layer):
        inside = path.relative_to(PACKAGE / layer).parts
        if inside[0] == "__init__.py" or (len(inside) == 1 and path.stem in public):
            continue
        assert len(inside) > 1, (
            f"{path.relative_to(PACKAGE)} is in no room. Put it into the folder of its capability: {', '.join(rooms)}"
        )
        assert inside[0] in rooms, (
            f"{layer} has no room {inside[0]!r}. Put {inside[-1]} into one of {', '.join(rooms)}, or name a new "
            "room in ROOMS of this test, above all that it imports"
        )


@pytest.mark.parametrize("layer", sorted(ROOMS))
def test_rooms_import_only_what_is_below_them(layer: str, graph: dict[str, set[str]]):
    order, wrong = ROOMS[layer], []
    for name, asked in graph.items():
        for other in asked:
            here, there = name.split("."), other.split(".")
            if here[1] != layer or there[1] != layer or here[2:3] == there[2:3] or len(here) < 4 or len(there) < 4:
                continue
            if order.index(here[2]) < order.index(there[2]):
                wrong.append(
                    f"{name} imports {other}, but the room {here[2]!r} is below {there[2]!r}. Move the module up "
                    f"into {there[2]!r}, or what it needs down into {here[2]!r}"
                )
    assert wrong == []


def test_no_folder_holds_more_modules_than_a_reader_can_survey():
    for folder in {path.parent for path in PACKAGE.rglob("*.py")}:
        held = [path for path in folder.glob("*.py") if path.stem != "__init__"]
        assert len(held) <= MOST, (
            f"{folder.relative_to(PACKAGE)} holds {len(held)} modules, and {MOST} is the most: make rooms of it"
        )


def loaded_by(code: str) -> set[str]:
    """Return the names of the modules that are loaded after *code* ran in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"],
        env={"PYTHONPATH": str(PLUGINS), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_domain_is_imported_without_what_is_heavy():
    names = [
        ".".join(path.relative_to(PLUGINS).with_suffix("").parts)
        for path in modules("domain")
        if path.stem != "__init__"
    ]

    loaded = loaded_by("\n".join(f"import {name}" for name in names))

    assert "interlock.domain.routing.routing" in loaded
    assert (
        loaded & {"airflow", "sqlalchemy", "httpx", "pandas", "sklearn", "great_expectations", "pydantic_ai"} == set()
    )


def test_routing_needs_no_numpy():
    assert "numpy" not in loaded_by(
        "import interlock.domain.routing.routing, interlock.domain.policy.check, interlock.domain.policy.version"
    )


@pytest.mark.parametrize("module", ["interlock.operators", "interlock.sensors"])
def test_a_dag_pays_for_nothing_that_its_tasks_use_later(module: str, tmp_path: Path):
    airflow = f"import os; os.environ['AIRFLOW_HOME'] = {str(tmp_path)!r}\nimport airflow.sdk\n"
    airflow += "from airflow.sdk import BaseOperator, BaseSensorOperator, Param, dag\n"
    names = f"import {module} as m\nfor name in m.__all__: getattr(m, name)\n"

    ours = loaded_by(airflow + names) - loaded_by(airflow)

    assert f"{module}.{'intake' if module.endswith('operators') else 'gate'}" in ours
    assert {name.split(".")[0] for name in ours} & set(HEAVY) == set()
