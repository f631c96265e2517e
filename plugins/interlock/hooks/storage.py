"""Opens object storage through Airflow, with the credentials of a connection."""

from __future__ import annotations

from typing import Any

from interlock.errors import ConfigurationError


def object_path(address: str, conn_id: str | None = None) -> Any:
    """
    Return *address* (``s3://bucket/key``) as Airflow's object storage path.

    :raises ConfigurationError: the provider of its scheme is not installed.
    """
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(address, conn_id=conn_id)
    try:
        path.fs  # noqa: B018  # fails here if there is none
    except ValueError as error:
        scheme = address.partition("://")[0]
        raise ConfigurationError(
            f"{scheme}:// cannot be opened: {error}. Install the provider for it (for s3: "
            "apache-airflow-providers-amazon[s3fs], for gs: apache-airflow-providers-google)"
        ) from error
    return path
