"""
The environment variables of a local Airflow: its complete configuration, so that no setting of another one leaks in.

``AIRFLOW__…`` variables of the calling shell are not passed on (a database named there would be migrated), except those
of ``[interlock]``; connections and variables (``AIRFLOW_CONN_…``) are, because keys are given that way.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

PEOPLE: Mapping[str, str] = {"admin": "admin", "alice": "user", "bob": "user", "vera": "viewer"}
"""Who may log in, with Airflow's role. The password is the name: this Airflow answers on loopback alone."""

SEAL = "AIRFLOW_CONN_INTERLOCK_SEAL"
"""The connection with the key that the ledger is sealed with; one of the caller's own is kept."""

SOURCE_ROOTS = "AIRFLOW__INTERLOCK__SOURCE_ROOTS"
_DROPPED = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "AIRFLOW_CONFIG", "AIRFLOW_HOME", "_AIRFLOW_PROCESS_CONTEXT")


def local_environment(
    home: Path,
    *,
    port: int,
    dags_folder: Path,
    plugins_folder: Path,
    python_path: Sequence[Path] = (),
    people: Mapping[str, str] = PEOPLE,
    parallelism: int = 2,
    source_roots: Sequence[str] = (),
    extra: Mapping[str, str] | None = None,
    inherited: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """
    Return the environment of an Airflow with its home in *home*, and write the keys and passwords that it refers to.

    :param home: Folder of its databases, logs and keys; created if missing.
    :param port: Where its API server listens, on 127.0.0.1.
    :param python_path: Prepended to the existing ``PYTHONPATH``.
    :param parallelism: Tasks at once. SQLite handles two well; with eight, answers to gates fail on a locked database.
    :param source_roots: Files and folders that sources may be read from, beside those that the setting names.
    :param extra: Set last; overrides everything.
    :param inherited: Variables to start from (default: those of this process).
    """
    home.mkdir(parents=True, exist_ok=True)
    base = os.environ if inherited is None else inherited
    address = f"http://127.0.0.1:{port}"
    keys = _keys(home / "keys.json")
    passwords = home / "passwords.json"
    _write_private(passwords, {name: name for name in people})
    own = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(parallelism),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins_folder),
        "AIRFLOW__CORE__FERNET_KEY": keys["fernet_key"],
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in people.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": keys["secret_key"],
        "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt_secret"],
        # Defaults are 300 s and 30 s: a changed Dag file would be noticed too late.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
        # With the default of 5 s a gate that is answered soon after it parked can fail: its end is noticed too late.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "GX_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "NO_PROXY": _and(base.get("NO_PROXY") or base.get("no_proxy"), ",", ["127.0.0.1", "localhost"]),
        "PYTHONPATH": _and(base.get("PYTHONPATH"), os.pathsep, map(str, python_path), first=True),
    }
    own["no_proxy"] = own["NO_PROXY"]
    if SEAL not in base:
        own[SEAL] = json.dumps({"conn_type": "generic", "login": "local", "password": keys["seal_key"]})
    if source_roots:
        own[SOURCE_ROOTS] = json.dumps([*_listed(base.get(SOURCE_ROOTS, "")), *source_roots])
    kept = {name: value for name, value in base.items() if _is_passed_on(name)}
    return kept | own | dict(extra or {})


def _listed(text: str) -> list[str]:
    if text.strip().startswith("["):
        return list(map(str, json.loads(text)))
    return [part.strip() for part in text.split(",") if part.strip()]


def free_port(preferred: int = 0) -> int:
    """Return *preferred* if it is free on loopback, otherwise any free port."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As uvicorn binds: without it, connections of the last run that are still closing block the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port is free on 127.0.0.1")


def _is_passed_on(name: str) -> bool:
    if name.startswith("AIRFLOW__"):
        return name.startswith("AIRFLOW__INTERLOCK__")
    return name not in _DROPPED


def _keys(path: Path) -> dict[str, str]:
    """Return the keys of this home, created once: new ones would invalidate every login and stored password."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        found = {}
    made = {
        "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "secret_key": secrets.token_hex(32),
        "jwt_secret": secrets.token_hex(64),
        "seal_key": secrets.token_hex(32),
    }
    keys = made | {name: str(value) for name, value in found.items() if name in made}
    if keys != found:
        _write_private(path, keys)
    return keys


def _write_private(path: Path, document: Mapping[str, str]) -> None:
    path.touch(mode=0o600, exist_ok=True)
    path.chmod(0o600)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _and(existing: str | None, separator: str, more: Iterable[str], *, first: bool = False) -> str:
    old = [part for part in (existing or "").split(separator) if part]
    new = [part for part in more if part not in old]
    return separator.join([*new, *old] if first else [*old, *new])
