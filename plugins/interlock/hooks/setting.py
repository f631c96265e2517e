"""
The section ``[interlock]`` of Airflow's configuration, with defaults for when the distribution is not installed.
"""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.configuration import conf

from interlock.errors import ConfigurationError

if TYPE_CHECKING:
    from interlock.domain.base.redaction import FindNames

ENVIRONMENTS = ("test", "staging", "production")


def setting(name: str, default: str) -> str:
    """Return ``[interlock] name``, or *default* if it is not set."""
    return str(conf.get("interlock", name, fallback=default) or default)


def environment() -> str:
    """
    Return the environment of this Airflow.

    :raises ConfigurationError: ``[interlock] environment`` is none of the three.
    """
    name = setting("environment", "test")
    if name not in ENVIRONMENTS:
        raise ConfigurationError(f"[interlock] environment is {name!r}. Set it to one of: {', '.join(ENVIRONMENTS)}")
    return name


def include_path() -> Path:
    """
    Return the folder with ``<workflow>/`` and ``company/``.

    The default of ``[interlock] include_path`` is ``include`` next to the Dags folder, in AIRFLOW_HOME or here.

    :raises ConfigurationError: there is no such folder.
    """
    configured = setting("include_path", "")
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    dags = Path(str(conf.get("core", "dags_folder", fallback=str(home / "dags"))))
    tried = (
        [Path(configured).expanduser()]
        if configured
        else [dags.parent / "include", home / "include", Path.cwd() / "include"]
    )
    for folder in tried:
        if folder.is_dir():
            return folder.resolve()
    listing = ", ".join(str(folder) for folder in tried)
    raise ConfigurationError(f"there is no include folder (tried {listing}). Set [interlock] include_path to its path")


def cache_path() -> Path:
    """Return the folder for trained classifiers: ``[interlock] cache_path`` (default: one in AIRFLOW_HOME)."""
    configured = setting("cache_path", "")
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return Path(configured).expanduser() if configured else home / "interlock_cache"


def snapshot_path() -> Any:
    """
    Return the folder for snapshots of datasets: ``[interlock] snapshot_path`` (default: one in AIRFLOW_HOME).

    An address such as ``s3://conn_id@bucket/folder`` is an object storage path of Airflow.
    """
    configured = setting("snapshot_path", "")
    if "://" in configured:
        from airflow.sdk import ObjectStoragePath

        return ObjectStoragePath(configured)
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return Path(configured).expanduser() if configured else home / "interlock_snapshots"


def listed(name: str) -> list[str]:
    """
    Return ``[interlock] name``, a JSON list of texts or texts with commas between.

    :raises ConfigurationError: it begins like a JSON list and is none.
    """
    text = setting(name, "").strip()
    if not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"[interlock] {name} is not JSON: {error}") from None
    if not all(isinstance(one, str) and one for one in found):
        raise ConfigurationError(f'[interlock] {name} must be a list of texts, such as ["/srv/data"]')
    return list(found)


def positive(name: str, default: int) -> int:
    """
    Return ``[interlock] name``, a whole number above 0.

    :raises ConfigurationError: it is none.
    """
    text = setting(name, str(default)).replace("_", "")
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(f"[interlock] {name} is {text!r}. Write a whole number above 0, such as {default}")
    return int(text)


def notifiers() -> list[dict[str, Any]]:
    """
    Return the notifiers of ``[interlock] notifiers``, a JSON list.

    :raises ConfigurationError: it is not such a list.
    """
    text = setting("notifiers", "")
    try:
        found = json.loads(text) if text else []
    except ValueError as error:
        raise ConfigurationError(f"[interlock] notifiers is not JSON: {error}") from None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ConfigurationError('[interlock] notifiers must be a list of {"notifier": …, "kwargs": {…}}')
    return found


def name_finder() -> FindNames | None:
    """
    Return the function that ``[interlock] find_names`` names, or None if it is not set.

    :raises ConfigurationError: there is no such function.
    """
    path = setting("find_names", "")
    if not path:
        return None
    module, _, name = path.replace(":", ".").rpartition(".")
    try:
        found: FindNames = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"[interlock] find_names is {path!r}, which cannot be imported: {error}. Write module.function"
        ) from error
    return found
