"""
Where the console is, under the address that Airflow is served at.

Airflow may live below a path (``[api] base_url = https://example.com/airflow``), and neither links nor the pages of
the console can leave that path out. Only the path is used: the browser keeps to the host that it speaks to already.
"""

from __future__ import annotations

from urllib.parse import urlsplit

URL_PREFIX = "/interlock"
"""Where Airflow's API server mounts the console."""


def path_of(base_url: str) -> str:
    """Return the path of *base_url* without a slash at its end: empty at the root of a host."""
    path = urlsplit(base_url).path if "://" in base_url else base_url
    return path.rstrip("/")


def base_path() -> str:
    """Return the path that Airflow is served below, from ``[api] base_url``: ``/airflow``, or empty at the root."""
    from airflow.configuration import conf

    return path_of(conf.get("api", "base_url", fallback="") or "")


def console_path(page: str = "/") -> str:
    """Return the path of the console's *page* (``/cases``) as a browser asks for it: ``/airflow/interlock/cases``."""
    return f"{base_path()}{URL_PREFIX}/{page.lstrip('/')}"
