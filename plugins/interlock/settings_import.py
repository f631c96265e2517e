"""
Imports ``airflow_settings.yaml`` into Airflow's metadata database: connections, pools and variables.

The file format is Astro's, and ``astro dev start`` reads it; plain Airflow has no importer, so this module is one. A
second import changes nothing: what the file names gets the file's values, and everything else stays. A password that
was entered in the UI stays if the file has none, because the file should have none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from interlock.errors import ConfigurationError, UnknownName

_KINDS = ("connections", "pools", "variables")
_CONNECTION_KEYS = (
    "conn_id",
    "conn_type",
    "conn_uri",
    "conn_host",
    "conn_schema",
    "conn_login",
    "conn_password",
    "conn_port",
    "conn_extra",
)
_POOL_KEYS = ("pool_name", "pool_slot", "pool_description")
_VARIABLE_KEYS = ("variable_name", "variable_value")
_SECRET_NAME = re.compile(r"passw|secret|token|api_?key|private_?key|credential", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class AirflowSettings:
    """The validated content of a settings file, not yet written anywhere."""

    connections: tuple[Mapping[str, Any], ...] = ()
    """Arguments of :class:`airflow.models.connection.Connection`."""
    pools: tuple[Mapping[str, Any], ...] = ()
    """``name``, ``slots`` and ``description``."""
    variables: tuple[Mapping[str, str], ...] = ()
    """``key`` and ``value``."""
    warnings: tuple[str, ...] = ()
    """What was skipped and why, and what looks like a secret. Never a value."""


@dataclass(frozen=True, kw_only=True)
class ImportSummary:
    """The names that :func:`import_settings` set."""

    connections: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        counts = ((len(getattr(self, kind)), kind) for kind in _KINDS)
        return ", ".join(f"{count} {kind[:-1] if count == 1 else kind}" for count, kind in counts)


def read_settings(path: Path) -> AirflowSettings:
    """
    Return the content of the settings file *path*; no database is read.

    :raises ConfigurationError: it cannot be read, is not YAML, or an entry is invalid; the message names the place.
    """
    document = _load_yaml(path)
    body = document.get("airflow") or {}
    if not isinstance(body, Mapping):
        raise ConfigurationError(f"{path}: 'airflow' is a {type(body).__name__}. Put {_listing(_KINDS)} under it.")
    _known_only(document, ("airflow",), "key", str(path))
    _known_only(body, _KINDS, "kind of setting", f"{path}: airflow")
    warnings: list[str] = []
    return AirflowSettings(
        connections=tuple(_connections(_entries(body, "connections", path), warnings)),
        pools=tuple(_pools(_entries(body, "pools", path), warnings)),
        variables=tuple(_variables(_entries(body, "variables", path), warnings)),
        warnings=tuple(warnings),
    )


def import_settings(path: Path) -> ImportSummary:
    """
    Set the connections, pools and variables of the settings file *path* in Airflow's metadata database.

    Call it where that database can be reached: in a command, never in a task.

    :raises ConfigurationError: as :func:`read_settings`; then nothing is written.
    """
    from airflow.models.connection import Connection
    from airflow.models.pool import Pool
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    settings = read_settings(Path(path))
    with create_session() as session:
        for wanted in settings.connections:
            new = Connection(**wanted)
            existing = session.scalar(select(Connection).where(Connection.conn_id == new.conn_id))
            if existing is None:
                session.add(new)
                continue
            for name in ("conn_type", "host", "schema", "login", "port"):
                setattr(existing, name, getattr(new, name))
            if new.password:
                existing.set_password(new.password)
            existing.set_extra(new.extra or "")
        for pool in settings.pools:
            Pool.create_or_update_pool(**pool, include_deferred=False, session=session)
        for variable in settings.variables:
            Variable.set(**variable, session=session)
    return ImportSummary(
        connections=tuple(wanted["conn_id"] for wanted in settings.connections),
        pools=tuple(pool["name"] for pool in settings.pools),
        variables=tuple(variable["key"] for variable in settings.variables),
        warnings=settings.warnings,
    )


def _load_yaml(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no settings file {str(path)!r}. Give the path of the file to import."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"settings file {str(path)!r} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise ConfigurationError(f"settings file {str(path)!r} is not YAML:{place}: {problem}.") from error
    if document is None:
        return {}
    if not isinstance(document, Mapping) or "airflow" not in document:
        raise ConfigurationError(
            f"settings file {str(path)!r} has no 'airflow' at its top. Put {_listing(_KINDS)} under 'airflow:'."
        )
    return document


def _entries(body: Mapping[str, Any], kind: str, path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the entries of *kind* that have any value, each with its place in the file."""
    entries = body.get(kind) or []
    if not isinstance(entries, list):
        raise ConfigurationError(
            f"{path}: {kind} is a {type(entries).__name__}. Make it a list, with one '- …' for each entry."
        )
    filled = []
    for number, entry in enumerate(entries, 1):
        where = f"{path}: {kind}, entry {number}"
        if not isinstance(entry, Mapping):
            raise ConfigurationError(f"{where} is {entry!r}. Each entry is a mapping: '{kind[:4]}_…: value'.")
        # Astro's template has entries without values.
        if any(value not in (None, "", {}) for value in entry.values()):
            filled.append((where, entry))
    return filled


def _connections(entries: Iterable[tuple[str, Mapping[str, Any]]], warnings: list[str]) -> Iterable[Mapping[str, Any]]:
    seen: set[str] = set()
    for where, entry in entries:
        _known_only(entry, _CONNECTION_KEYS, "key", where)
        conn_id = _name(entry, "conn_id", where, seen)
        if not entry.get("conn_type") and not entry.get("conn_uri"):
            raise ConfigurationError(
                f"{where}: connection {conn_id!r} has no conn_type. Give a conn_type or a conn_uri."
            )
        if _holds_secret(entry):
            warnings.append(
                f"connection {conn_id!r} contains what looks like a secret. Remove it from the file: "
                f"Airflow reads it from AIRFLOW_CONN_{re.sub(r'[^A-Z0-9]', '_', conn_id.upper())} or a secrets backend."
            )
        if uri := entry.get("conn_uri"):
            rest = [key for key in _CONNECTION_KEYS[3:] if entry.get(key)]
            if entry.get("conn_type") or rest:
                raise ConfigurationError(
                    f"{where}: connection {conn_id!r} has a conn_uri and other fields. Keep one of the two."
                )
            yield {"conn_id": conn_id, "uri": str(uri)}
            continue
        text = {name: str(entry[f"conn_{name}"]) for name in ("host", "schema", "login", "password")
                if entry.get(f"conn_{name}") not in (None, "")}  # fmt: skip
        yield {
            "conn_id": conn_id,
            "conn_type": str(entry["conn_type"]),
            "port": _whole_number(entry.get("conn_port"), "conn_port", where),
            "extra": _extra(entry.get("conn_extra"), where),
        } | text


def _pools(entries: Iterable[tuple[str, Mapping[str, Any]]], warnings: list[str]) -> Iterable[Mapping[str, Any]]:
    seen: set[str] = set()
    for where, entry in entries:
        _known_only(entry, _POOL_KEYS, "key", where)
        name = _name(entry, "pool_name", where, seen)
        slots = _whole_number(entry.get("pool_slot"), "pool_slot", where)
        if not slots:
            warnings.append(f"pool {name!r} has no pool_slot and was skipped.")
            continue
        yield {"name": name, "slots": slots, "description": str(entry.get("pool_description") or "")}


def _variables(entries: Iterable[tuple[str, Mapping[str, Any]]], warnings: list[str]) -> Iterable[Mapping[str, str]]:
    seen: set[str] = set()
    for where, entry in entries:
        _known_only(entry, _VARIABLE_KEYS, "key", where)
        key = _name(entry, "variable_name", where, seen)
        value = entry.get("variable_value")
        if value in (None, ""):
            warnings.append(f"variable {key!r} has no variable_value and was skipped.")
            continue
        if not isinstance(value, str):
            raise ConfigurationError(
                f"{where}: variable {key!r} is a {type(value).__name__}. Put it in quotes: a variable is text."
            )
        if _SECRET_NAME.search(key):
            warnings.append(
                f"variable {key!r} has the name of a secret. Remove it from the file: Airflow reads it from "
                f"AIRFLOW_VAR_{re.sub(r'[^A-Z0-9]', '_', key.upper())} or a secrets backend."
            )
        yield {"key": key, "value": value}


def _name(entry: Mapping[str, Any], key: str, where: str, seen: set[str]) -> str:
    name = str(entry.get(key) or "").strip()
    if not name:
        raise ConfigurationError(f"{where} has no {key}. Give it one.")
    if name in seen:
        raise ConfigurationError(f"{where}: {key} {name!r} is defined twice. Delete one of them.")
    seen.add(name)
    return name


def _whole_number(value: Any, key: str, where: str) -> int | None:
    if value in (None, ""):
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{where}: {key} is {value!r}. Give a whole number.") from None


def _extra(value: Any, where: str) -> str | None:
    if value in (None, "", {}):
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ConfigurationError(f"{where}: conn_extra is text, but not JSON: {error}. Write it as YAML.") from None
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where}: conn_extra is a {type(value).__name__}. Write a mapping.")
    return json.dumps(value)


def _holds_secret(entry: Mapping[str, Any]) -> bool:
    if entry.get("conn_password"):
        return True
    if uri := entry.get("conn_uri"):
        try:
            return bool(urlsplit(str(uri)).password) or bool(_SECRET_NAME.search(urlsplit(str(uri)).query))
        except ValueError:
            return True
    extra = entry.get("conn_extra")
    if isinstance(extra, str):
        return bool(_SECRET_NAME.search(extra))
    return isinstance(extra, Mapping) and any(_SECRET_NAME.search(str(key)) and extra[key] for key in extra)


def _known_only(entry: Mapping[Any, Any], known: Iterable[str], kind: str, where: str) -> None:
    for key in entry:
        if key not in known:
            raise UnknownName(kind, str(key), known, where=where)


def _listing(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
