"""Sends notices through Airflow's notifiers, which are named by import path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from interlock.errors import ConfigurationError
from interlock.ledger.store.record import Notice


def sender(notifiers: Sequence[Mapping[str, Any]], context: Any) -> Callable[[Notice, list[str]], None]:
    """
    Return a function that sends a notice to addresses through each of *notifiers*.

    It calls the notifier's ``notify``: calling the notifier itself would suppress errors, and would render the notice's
    text as a template.

    :raises ConfigurationError: a notifier cannot be found, or has keys other than ``notifier`` and ``kwargs``.
    """
    made = [(_find(wanted), dict(wanted.get("kwargs") or {})) for wanted in notifiers]

    def send(row: Notice, addresses: list[str]) -> None:
        for notifier, kwargs in made:
            values = {"to": ", ".join(addresses), "subject": row.subject, "body": row.body}
            notifier(**{name: _filled(value, values) for name, value in kwargs.items()}).notify(context)

    return send


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, text in values.items():
            value = value.replace(f"{{{name}}}", text)
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    return value


def _find(wanted: Mapping[str, Any]) -> Any:
    if unknown := set(wanted) - {"notifier", "kwargs"}:
        raise ConfigurationError(f"a notifier has the keys 'notifier' and 'kwargs', not {sorted(unknown)[0]!r}")
    path = str(wanted.get("notifier") or "")
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"there is no notifier {path!r}: {error}") from error
