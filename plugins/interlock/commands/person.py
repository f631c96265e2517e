"""
Acts as a person: through the API, with the person's own Airflow token.

The token comes from ``INTERLOCK_TOKEN``, or from the file that ``airflow interlock login`` wrote for this Airflow.
"""

from __future__ import annotations

import getpass
import json
import os
from pathlib import Path
from typing import Any

from interlock.commands.airflow_client import AirflowClient, ApiRefused
from interlock.commands.terminal import command
from interlock.errors import InputError, NotAuthorised

API = "/interlock/api"


def airflow_url() -> str:
    """Return the address of the API server: ``INTERLOCK_URL``, or ``[api] base_url``."""
    from airflow.configuration import conf

    return os.environ.get("INTERLOCK_URL") or str(
        conf.get("api", "base_url", fallback="") or "http://localhost:8080"
    ).rstrip("/")


def token_file() -> Path:
    """Return the file that stores tokens by address."""
    return Path(os.environ.get("XDG_CONFIG_HOME", "~/.config")).expanduser() / "interlock" / "tokens.json"


def as_person() -> AirflowClient:
    """
    Return a client that acts as the person who is logged in.

    :raises NotAuthorised: nobody is logged in.
    """
    url = airflow_url()
    token = os.environ.get("INTERLOCK_TOKEN") or _tokens().get(url)
    if not token:
        raise NotAuthorised(
            f"nobody is logged in at {url}. Run: airflow interlock login (or set INTERLOCK_TOKEN). "
            "INTERLOCK_URL chooses the Airflow"
        )
    client = AirflowClient(url)
    client.token = token
    return client


def call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """
    Return the answer of the console's API to one request as the person who is logged in.

    :raises NotAuthorised: the token is no longer valid.
    :raises InputError: the API refused; the message is its answer.
    """
    client = as_person()
    try:
        return client.call(method, f"{API}{path}", body)
    except ApiRefused as error:
        if error.status == 401:
            raise NotAuthorised("your token is no longer valid. Run: airflow interlock login") from None
        if error.status == 0:
            raise InputError(f"Airflow does not answer at {client.url}: {error}. Is the API server up?") from None
        raise InputError(error.detail) from None
    finally:
        client.close()


@command
def login(args: Any) -> None:
    """Log in, asking for what is missing, and store the token."""
    url = airflow_url()
    name = args.username or input("Username: ")
    password = args.password or getpass.getpass(f"Password of {name} at {url}: ")
    client = AirflowClient(url)
    try:
        token = client.login(name, password)
    except ApiRefused as error:
        raise NotAuthorised(f"{url} refuses to log {name!r} in: {error.detail}") from None
    finally:
        client.close()
    path = token_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    tokens = _tokens() | {url: token}
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        json.dump(tokens, stream)
    print(f"{name} is logged in at {url}")


def _tokens() -> dict[str, str]:
    try:
        return dict(json.loads(token_file().read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
