"""Imports point down only, and what is heavy is imported when it is used."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[1] / "plugins"
PACKAGE = PLUGINS / "interlock"

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

WITHOUT_AIRFLOW = ("domain", "ledger", "agents", "reporting", "connectors", "quality", "analysis", "engine")
HEAVY = ("sqlalchemy", "pandas", "sklearn", "great_expectations", "cel_expr_python", "httpx", "duckdb", "vl_convert")


def modules(layer: str) -> list[Path]:
    return [path for path in sorted((PACKAGE / layer).rglob("*.py")) if "migrations" not in path.parts]


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted name of everything that a file imports, inside functions as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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


def test_every_folder_of_the_package_that_a_layer_is_has_a_rule():
    layers = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}

    assert layers - set(BELOW) <= {"console", "commands", "quickstart", "listeners", "triggers"}


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
