"""
Waking a parked gate after its last vote, by Airflow's own API and as the person who cast it.

Two facts of Airflow 3.3 shape this. An answer within a few seconds of parking can fail the task, because the worker's
exit is still on its way; so it waits. And a gate that is about to park has no request yet; so it polls for a while. If
all fails, the gate checks by itself every ten minutes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import Request

log = logging.getLogger(__name__)

SETTLE_SECONDS = 5.0
"""
From seeing the gate parked to an answer. Airflow does not report when it parked: the request keeps the instant of its
first parking, even if the gate parks again.
"""
GIVE_UP_SECONDS = 40.0


def bearer_of(request: Request) -> str | None:
    """Return the token that *request* was authenticated with: of its header, or of Airflow's cookie."""
    header = request.headers.get("authorization", "")
    if header.lower().startswith("bearer "):
        return header[7:]
    return request.cookies.get("_token")


def wake_gate(gate: Mapping[str, str], token: str) -> bool:
    """Answer the request of a *gate* (``dag_id``, ``run_id``, ``task_id``) that has nothing left to decide."""
    import httpx
    from airflow.configuration import conf

    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    path = (
        f"{base}/api/v2/dags/{quote(gate['dag_id'], safe='')}/dagRuns/{quote(gate['run_id'], safe='')}"
        f"/taskInstances/{quote(gate['task_id'], safe='')}"
    )
    deadline = time.monotonic() + GIVE_UP_SECONDS
    parked_since: float | None = None
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=20.0) as client:
        while time.monotonic() < deadline:
            try:
                if not _is_parked(client, path):
                    parked_since = None
                else:
                    parked_since = parked_since or time.monotonic()
                if parked_since is not None and time.monotonic() - parked_since >= SETTLE_SECONDS:
                    answer = {"chosen_options": ["Go on"], "params_input": {"reason": "all cases are decided"}}
                    response = client.patch(f"{path}/-1/hitlDetails", json=answer)
                    if response.status_code < 300 or response.status_code == 409:
                        return True
                    log.warning("the gate could not be woken: %s", response.text[:200])
            except httpx.HTTPError as error:
                log.warning("the gate could not be woken yet: %s", error)
            time.sleep(1.0)
    log.warning("gate %s was not woken; it checks by itself every ten minutes", dict(gate))
    return False


def _is_parked(client: Any, path: str) -> bool:
    state = client.get(path)
    if state.status_code != 200 or state.json().get("state") != "awaiting_input":
        return False
    detail = client.get(f"{path}/-1/hitlDetails")
    return detail.status_code == 200 and detail.json().get("responded_at") is None
