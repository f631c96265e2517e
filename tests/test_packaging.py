"""The distribution, its two entry points, the plugins folder and the Makefile. Airflow finds the plugin once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import interlock
import pytest
from interlock.provider_info import get_provider_info
from live_airflow import PROJECT, write_metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
PACKAGE = PROJECT / "plugins" / "interlock"

WHAT_AIRFLOW_LOADS = """
import json, sys
from airflow import plugins_manager
plugins, errors = plugins_manager._get_plugins()
print("\\n" + json.dumps({
    "sources": [str(plugin.source) for plugin in plugins if plugin.name == "interlock"],
    "errors": errors,
    "modules": sorted(sys.modules),
    "file": sys.modules["interlock.plugin"].__file__,
    "views": [view for plugin in plugins if plugin.name == "interlock" for view in plugin.external_views],
}))
"""


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """A Python with all packages of this one but Interlock, whether it is installed here or not."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    target = next(folder.glob("lib/python*/site-packages"))
    for entry in Path(pytest.__file__).parent.parent.iterdir():
        if "interlock" not in entry.name:
            (target / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


def what_airflow_loads(python, home, *, plugins_folder, python_path=(), **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    done = subprocess.run(
        [python, "-c", WHAT_AIRFLOW_LOADS],
        env=clean
        | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins_folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": os.pathsep.join(map(str, python_path)),
        }
        | environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def plugins_only(tmp_path_factory):
    """The folder ``plugins`` alone, as in a project that was unpacked and not installed."""
    target = tmp_path_factory.mktemp("project") / "plugins"
    shutil.copytree(PROJECT / "plugins", target, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    return target


@pytest.mark.airflow
def test_the_plugins_folder_registers_the_plugin_once_when_the_distribution_is_not_installed(
    bare_python, plugins_only, tmp_path
):
    loaded = what_airflow_loads(bare_python, tmp_path, plugins_folder=plugins_only)

    assert loaded["sources"] == ["$PLUGINS_FOLDER/interlock_plugin.py"]
    assert loaded["errors"] == {}
    assert loaded["file"] == str(plugins_only / "interlock" / "plugin.py")


@pytest.mark.airflow
def test_the_entry_point_registers_the_plugin_once_when_the_distribution_is_installed_too(
    bare_python, plugins_only, tmp_path
):
    write_metadata(tmp_path / "installed")

    loaded = what_airflow_loads(
        bare_python, tmp_path, plugins_folder=plugins_only, python_path=[tmp_path / "installed", plugins_only]
    )

    assert len(loaded["sources"]) == 1
    assert loaded["sources"][0].startswith(f"interlock=={interlock.__version__}: EntryPoint")
    assert loaded["errors"] == {}


@pytest.mark.airflow
def test_an_installed_distribution_needs_nothing_of_the_project_around_it(bare_python, plugins_only, tmp_path):
    write_metadata(tmp_path / "installed")
    shutil.copytree(plugins_only / "interlock", tmp_path / "installed" / "interlock")

    loaded = what_airflow_loads(
        bare_python, tmp_path, plugins_folder=tmp_path / "none", python_path=[tmp_path / "installed"]
    )

    assert len(loaded["sources"]) == 1
    assert loaded["errors"] == {}


@pytest.mark.airflow
def test_the_scanner_runs_nothing_of_the_package_under_its_bare_name(bare_python, plugins_only, tmp_path):
    loaded = what_airflow_loads(bare_python, tmp_path, plugins_folder=plugins_only)

    bare = {path.stem for path in PACKAGE.rglob("*.py")} - sys.stdlib_module_names - {"__main__"}
    assert "errors" in bare
    assert bare & set(loaded["modules"]) == set()


@pytest.mark.airflow
def test_links_keep_the_path_that_airflow_is_served_below(bare_python, plugins_only, tmp_path):
    loaded = what_airflow_loads(
        bare_python, tmp_path, plugins_folder=plugins_only, AIRFLOW__API__BASE_URL="https://data.example.com/af/"
    )

    assert [(view["destination"], view["href"]) for view in loaded["views"]] == [
        ("nav", "/af/interlock/"),
        (
            "task_instance",
            "/af/interlock/task?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}",
        ),
    ]
    assert len({view["url_route"] for view in loaded["views"]}) == 2


@pytest.mark.airflow
def test_the_plugin_adds_next_to_nothing_to_the_start_of_every_airflow_process(tmp_path):
    """A task process loads the plugin too: FastAPI would cost it two seconds."""
    code = (
        "import sys, airflow.plugins_manager; before = set(sys.modules); import interlock.plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT / "plugins")},
        capture_output=True,
        text=True,
        check=True,
    )

    added = done.stdout.split()
    assert "interlock.plugin" in added
    assert [name for name in added if name.split(".")[0] != "interlock"] == []
    assert len(added) < 10


def test_the_provider_description_fits_airflows_schema():
    import airflow
    import jsonschema

    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())

    jsonschema.validate(get_provider_info(), schema)


def test_the_wheel_ships_the_licence_and_what_the_pages_are_made_of(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, project)
    shutil.copytree(
        PROJECT / "plugins", project / "plugins", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
    )

    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(project)],
        capture_output=True,
        text=True,
        check=False,
    )

    if "No matching distribution found for setuptools" in done.stderr:
        pytest.skip("no index is in reach from which pip can take setuptools to build a wheel")
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as held:
        names = held.namelist()
        [licence] = [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
        text = held.read(licence).decode()
        assert "License-Expression: Apache-2.0" in held.read(licence.replace("licenses/LICENSE", "METADATA")).decode()
    assert text == (PROJECT / "LICENSE").read_text()
    assert text.split()[:5] == ["Apache", "License", "Version", "2.0,", "January"]
    assert "END OF TERMS AND CONDITIONS" in text
    files = {path.relative_to(PROJECT / "plugins") for path in PACKAGE.rglob("*.*")}
    needed_by_nobody = {path for path in files if "__pycache__" in path.parts or path.suffix == ".mako"}
    assert {str(path) for path in files - needed_by_nobody} <= set(names)


def test_the_image_is_built_of_files_that_are_there():
    copied = re.findall(r"^COPY (?:--\S+ )?(.+) \S+$", (PROJECT / "Dockerfile").read_text(), re.M)

    assert "pyproject.toml README.md LICENSE" in copied
    assert [name for names in copied for name in names.split() if not (PROJECT / name).exists()] == []


def test_one_version_is_told_everywhere():
    assert PYPROJECT["project"]["version"] == interlock.__version__
    assert get_provider_info()["versions"] == [interlock.__version__]


def test_every_setting_has_a_default_and_an_explanation():
    options = get_provider_info()["config"]["interlock"]["options"]

    known = {"environment", "include_path", "ledger_conn_id", "ledger_url", "cache_path", "snapshot_path"}
    known |= {"find_names", "notifiers"}
    assert set(options) == known
    assert all(isinstance(option["default"], str) and option["description"] for option in options.values())
    assert options["environment"]["default"] == "test"


def pins(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith(("#", "-r"))]
    wrong = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line)]
    assert wrong == []
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def needed(requirements):
    """Return the names that *requirements* lead to, by what the installed distributions say."""
    names, done, open_ones = set(), set(), [Requirement(text) for text in requirements]
    while open_ones:
        one = open_ones.pop()
        name = canonicalize_name(one.name)
        if (name, frozenset(one.extras)) in done:
            continue
        done.add((name, frozenset(one.extras)))
        if name == "interlock":
            for extra in one.extras:
                open_ones += map(Requirement, PYPROJECT["project"]["optional-dependencies"][extra])
            continue
        names.add(name)
        try:
            further = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        for text in further:
            more = Requirement(text)
            if more.marker is None or any(more.marker.evaluate({"extra": extra}) for extra in ("", *one.extras)):
                open_ones.append(more)
    return names


def test_requirements_pin_everything_that_runs_and_nothing_else():
    project = PYPROJECT["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["postgres"]

    pinned = pins(PROJECT / "requirements.txt")

    assert set(pinned) == needed(wanted)
    for text in wanted:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), text


def test_the_tests_requirements_are_pinned_too():
    pinned = pins(PROJECT / ".ci" / "requirements-dev.txt") | pins(PROJECT / "requirements.txt")

    assert needed(PYPROJECT["project"]["optional-dependencies"]["dev"]) <= set(pinned)


def test_make_alone_tells_every_target():
    makefile = (PROJECT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.M).group(1).split()

    told = make(PROJECT).stdout

    assert [target for target in phony if f"make {target} " not in told] == []


def test_setup_says_what_it_needs_when_python_is_too_old(tmp_path):
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" && exit 0\nexit 1\n')
    old.chmod(0o755)
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path)

    done = make(tmp_path, "setup", f"PYTHON={old}")

    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stdout
    assert "is Python 3.9.1." in done.stdout
    assert not (tmp_path / ".venv").exists()


def make(folder, *arguments):
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, check=False)
