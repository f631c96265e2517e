"""
Prepares the home of a local Airflow: migrates both databases, imports connections and pools.

Run as a process of its own, ``python -m interlock.quickstart.prepare airflow_settings.yaml``, in that Airflow's
environment: the commands are Airflow's and Interlock's own, and Airflow is imported once instead of three times.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def prepared_for(settings: Path) -> dict[str, str]:
    """Return what a prepared home depends on: if nothing of it has changed, the home needs no preparation."""
    import interlock

    package = Path(interlock.__file__).parent
    migrations = sorted(path.name for path in (package / "ledger").rglob("migrations/**/*.py"))
    own = sorted(
        (name, value)
        for name, value in os.environ.items()
        if "INTERLOCK" in name and name.startswith("AIRFLOW_") and not name.startswith("AIRFLOW__INTERLOCK__SOURCE_")
    )
    return {
        "airflow": _version("apache-airflow-core"),
        "interlock": interlock.__version__,
        "migrations": _digest(json.dumps(migrations).encode()),
        "settings": _digest(settings.read_bytes()) if settings.exists() else "",
        "environment": _digest(json.dumps(own).encode()),
    }


def is_prepared(home: Path, settings: Path) -> bool:
    """Return whether *home* was prepared with the present versions and settings."""
    try:
        found = json.loads((home / "prepared.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return bool(found == prepared_for(settings)) and all(
        (home / name).exists() for name in ("airflow.db", "ledger_url")
    )


def prepare(home: Path, settings: Path) -> None:
    """Migrate both databases and import *settings*. Every step may be repeated."""
    from airflow.__main__ import main as airflow

    (home / "prepared.json").unlink(missing_ok=True)
    _run(airflow, "db", "migrate")
    if settings.exists():
        from interlock.settings_import import import_settings

        summary = import_settings(settings)
        print(f"imported {summary}")
        for warning in summary.warnings:
            print(f"warning: {warning}")
    _run(airflow, "interlock", "ledger", "migrate")
    if not (home / "sealed").exists():  # a home from before there were seals has runs that would not go on
        _run(airflow, "interlock", "ledger", "seal", "--unsealed")
        (home / "sealed").touch()
    from interlock.hooks.ledger import LedgerHook

    # For the process that prints the progress, so that it need not import Airflow. It may contain a password.
    address = home / "ledger_url"
    address.touch(mode=0o600)
    address.write_text(LedgerHook().url(), encoding="utf-8")
    (home / "prepared.json").write_text(json.dumps(prepared_for(settings), indent=1), encoding="utf-8")


def _run(airflow: object, *arguments: str) -> None:
    print(f"airflow {' '.join(arguments)}", flush=True)
    sys.argv = ["airflow", *arguments]
    assert callable(airflow)
    airflow()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    prepare(Path(os.environ["AIRFLOW_HOME"]), Path(sys.argv[1]))
