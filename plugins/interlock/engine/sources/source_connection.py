"""
An Airflow connection as a source needs it: looked up, and told plainly when it is not there.

The lookup comes in as a function, so nothing here imports Airflow, and a connection is anything with its attributes
(``conn_type``, ``host``, ``schema``, ``login``, ``password``, ``port``, ``extra``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from interlock.errors import InterlockError, SourceError


def unavailable(message: str) -> SourceError:
    """Return a :class:`SourceError` that another attempt may get past."""
    error = SourceError(message)
    error.retryable = True
    return error


def look_up(connection: Callable[[str], Any], conn_id: str) -> Any:
    """
    Return the connection *conn_id*.

    :raises SourceError: there is none, with how to add it; or the lookup itself failed, which is retryable.
    """
    try:
        found = connection(conn_id)
    except InterlockError:
        raise
    except Exception as error:  # each secrets backend raises its own
        if not isinstance(error, KeyError) and "NotFound" not in type(error).__name__:
            raise unavailable(
                f"connection {conn_id!r} could not be looked up: {type(error).__name__}: {error}"
            ) from error
        found = None
    if found is None:
        raise SourceError(
            f"there is no Airflow connection {conn_id!r}. Add it under Admin, Connections, or with "
            f"`airflow connections add {conn_id} --conn-uri …`, or as AIRFLOW_CONN_{conn_id.upper()}."
        )
    return found


def extra_of(fields: Any) -> dict[str, Any]:
    """Return the extra of a connection as a mapping; ``{}`` when there is none or it is no JSON object."""
    extra = getattr(fields, "extra_dejson", None) or getattr(fields, "extra", None) or {}
    if isinstance(extra, str):
        try:
            extra = json.loads(extra)
        except ValueError:
            return {}
    return dict(extra) if isinstance(extra, Mapping) else {}
