"""
Where the sources of this Airflow's runs may be read from: its settings, and what of its own files is never read.

In Docker and Astro images the project lies in AIRFLOW_HOME, so that is not closed as a whole, but file by file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from airflow.sdk.configuration import conf

from interlock.connectors.outbox import Outbox
from interlock.domain.effects.connector import ConnectorDeclaration
from interlock.engine.sources.source_access import SourceAccess, database_files
from interlock.errors import ConfigurationError
from interlock.hooks.connector import open_connector_from_airflow
from interlock.hooks.ledger import LedgerHook
from interlock.hooks.setting import cache_path, include_path, listed, positive, snapshot_path
from interlock.ledger.store.database import sqlite_file

_IN_HOME = (
    *("airflow.cfg", "webserver_config.py", "airflow_settings.yaml", "keys.json", "passwords.json", "ledger_url"),
    *("simple_auth_manager_passwords.json.generated", "standalone_admin_password.txt", "prepared.json", "logs"),
)
_FILES = (
    *(("logging", "base_log_folder"), ("logging", "dag_processor_child_process_log_directory")),
    *(("core", "simple_auth_manager_passwords_file"), ("api_auth", "jwt_private_key_path"), ("api", "ssl_key")),
    *(("kerberos", "keytab"), ("kerberos", "ccache"), ("celery", "ssl_key"), ("webserver", "config_file")),
)
"""Settings of Airflow that name a file of its own."""
_TEXTS = (("secrets", "backend_kwargs"), ("workers", "secrets_backend_kwargs"))
"""Settings that name such files within a JSON object."""


def source_access(
    connectors: Mapping[str, ConnectorDeclaration] | None = None, *, include: Path | None = None
) -> SourceAccess:
    """
    Return where sources may be read from, by the settings of ``[interlock]``.

    :param connectors: the company's, for the folders of outboxes.
    :param include: the folder of the workflows. Default: that of the settings.
    :raises ConfigurationError: a setting is not what it must be.
    """
    include = (include or include_path()).resolve()
    given = [
        root if "://" in root else str(include.parent / Path(root).expanduser()) for root in listed("source_roots")
    ]
    defaults = SourceAccess()
    return SourceAccess(
        roots=(*(str(folder) for folder in sorted(include.glob("*/data"))), *given),
        hosts=tuple(listed("source_hosts")),
        closed=tuple(dict.fromkeys([*_own_files(), *_outboxes(connectors or {})])),
        max_bytes=positive("source_max_bytes", defaults.max_bytes),
        max_rows=positive("source_max_rows", defaults.max_rows),
        max_line_bytes=positive("source_max_line_bytes", defaults.max_line_bytes),
    )


def _own_files() -> Iterator[Path]:
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    yield from (home / name for name in _IN_HOME)
    yield from (Path(path).expanduser() for path in (os.environ.get("AIRFLOW_CONFIG"),) if path)
    for section, name in _FILES:
        if path := str(conf.get(section, name, fallback="") or ""):
            yield Path(path).expanduser()
    for section, name in _TEXTS:
        yield from _paths_in(str(conf.get(section, name, fallback="") or ""))
    urls = [str(conf.get("database", "sql_alchemy_conn", fallback="") or ""), LedgerHook().url()]
    yield from database_files(
        [home / "airflow.db", home / "interlock.db", *map(Path, filter(None, map(sqlite_file, urls)))]
    )
    yield cache_path()
    if isinstance(snapshots := snapshot_path(), Path):
        yield snapshots


def _paths_in(text: str) -> Iterator[Path]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return
    values = found.values() if isinstance(found, dict) else ()
    yield from (Path(value) for value in values if isinstance(value, str) and value.startswith("/"))


def _outboxes(connectors: Mapping[str, ConnectorDeclaration]) -> Iterator[Path]:
    for name, declared in connectors.items():
        if declared.kind == "outbox":
            try:
                found = open_connector_from_airflow(name, declared)
            except ConfigurationError:  # what is not set up holds nothing
                continue
            if isinstance(found, Outbox):
                yield found.folder
