"""
A client of Airflow's REST API, with what a local run and the tests need.

On SQLite the API sometimes answers 500, when another process locks the database: requests that are safe to repeat are
repeated. A new client is not logged in: call :meth:`AirflowClient.login`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from interlock.errors import ConfigurationError, InterlockError

FINISHED_RUN = frozenset({"success", "failed"})
BUSY_TASK = frozenset({"scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule", "deferred"})
"""States of a task that proceeds without a person."""
WAITING_TASK = "awaiting_input"

_ATTEMPTS = 6


class ApiRefused(InterlockError):
    """Airflow's API answered with an error; *status* is the HTTP status, *detail* the text of the answer alone."""

    def __init__(self, message: str, status: int, detail: str = "") -> None:
        self.status = status
        self.detail = detail or message
        super().__init__(message)


class AirflowClient:
    """
    One person's client of an Airflow.

    :param url: Address of the API server, without a slash at its end.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 30) -> None:
        import httpx

        self.url = url
        self.token: str | None = None
        self._errors = httpx.HTTPError
        # A proxy of the shell would be asked for 127.0.0.1.
        self._http = httpx.Client(base_url=url, timeout=timeout_seconds, trust_env=False)

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._http.close()

    def as_person(self, name: str, password: str | None = None) -> AirflowClient:
        """Return another client on the same Airflow, logged in as *name*."""
        other = AirflowClient(self.url)
        other.login(name, password)
        return other

    def login(self, name: str, password: str | None = None) -> str:
        """Log *name* in (default password: the name) and return the token."""
        answer = self.call("POST", "/auth/token", {"username": name, "password": password or name}, is_repeatable=True)
        self.token = str(answer["access_token"])
        return self.token

    def health(self) -> dict[str, Any] | None:
        """Return the health of Airflow's components; None when the server does not answer."""
        try:
            answer = self._http.get("/api/v2/monitor/health", timeout=10)
        except self._errors:
            return None
        return dict(answer.json()) if answer.status_code == 200 else None

    def has_dag(self, dag_id: str) -> bool:
        """Return whether the Dag is parsed and stored."""
        try:
            self.call("GET", f"/api/v2/dags/{dag_id}/details")
        except ApiRefused as error:
            if error.status == 404:
                return False
            raise
        return True

    def import_errors(self) -> list[tuple[str, str]]:
        """Return the Dag files that cannot be imported, each with its traceback."""
        answer = self.call("GET", "/api/v2/importErrors")
        return [(entry["filename"], entry["stack_trace"]) for entry in answer["import_errors"]]

    def wait_for_dag(self, dag_id: str, *, timeout_seconds: float = 300) -> None:
        """
        Return when the Dag is parsed.

        :raises ConfigurationError: its file cannot be imported, or there is no such Dag after *timeout_seconds*.
        """
        deadline = time.monotonic() + timeout_seconds
        while not self.has_dag(dag_id):
            for filename, trace in self.import_errors():
                if dag_id in filename or time.monotonic() > deadline:
                    raise ConfigurationError(f"Dag file {filename!r} cannot be imported:\n{trace.rstrip()}")
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"there is no Dag {dag_id!r} after {timeout_seconds:.0f} s. See the Dag processor's log."
                )
            time.sleep(0.3)

    def default_of(self, dag_id: str, parameter: str) -> Any:
        """Return the default value of a Dag's parameter; None when it has no default, or the Dag no such parameter."""
        parameter_spec = (self.call("GET", f"/api/v2/dags/{dag_id}/details")["params"] or {}).get(parameter) or {}
        return parameter_spec.get("value")

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, *, run_id: str | None = None) -> str:
        """Unpause the Dag, start a run of it and return the run's id."""
        run_id = run_id or f"manual__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"
        self.call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False}, is_repeatable=True)
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        try:
            self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body, is_repeatable=True)
        except ApiRefused as error:
            # The first attempt had succeeded, though its answer was lost.
            if error.status != 409 or self.run_state(dag_id, run_id) is None:
                raise
        return run_id

    def run_state(self, dag_id: str, run_id: str) -> str | None:
        """Return the state of a run, or None when there is no such run."""
        try:
            return str(self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])
        except ApiRefused as error:
            if error.status == 404:
                return None
            raise

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the run's task instances as the API gives them: ``task_id``, ``state``, ``try_number``, times …"""
        answer = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=1000")
        return list(answer["task_instances"])

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of each task of the run by its id; of a mapped task, of its last instance."""
        return {task["task_id"]: task["state"] for task in self.task_instances(dag_id, run_id)}

    def task_log(
        self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1
    ) -> list[str]:
        """Return the lines of a task's log."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content = self.call("GET", f"{path}?map_index={map_index}&full_content=true").get("content", [])
        return [_log_line(entry) for entry in content]

    def answer_gate(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        options: Iterable[str],
        *,
        params: Mapping[str, Any] | None = None,
        map_index: int = -1,
    ) -> dict[str, Any]:
        """
        Answer Airflow's own request of a waiting task.

        Sent only once: Airflow refuses a second answer. Wait some seconds after the task began to wait, because
        Airflow 3.3 may fail a task that is answered at once.
        """
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}/hitlDetails"
        return self.call("PATCH", path, {"chosen_options": list(options), "params_input": dict(params or {})})

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, is_repeatable: bool | None = None
    ) -> dict[str, Any]:
        """
        Return the JSON answer to one request.

        :param is_repeatable: Repeat the request after a 5xx or a lost connection (default: only ``GET``).
        :raises ApiRefused: a status other than 2xx, with the text of the answer.
        """
        repeats = method == "GET" if is_repeatable is None else is_repeatable
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        for attempt in range(1, _ATTEMPTS + 1):
            last = attempt == _ATTEMPTS or not repeats
            try:
                answer = self._http.request(method, path, json=body, headers=headers)
            except self._errors as error:
                if last:
                    raise ApiRefused(f"{method} {path} got no answer: {error!r}", 0) from error
            else:
                if answer.is_success:
                    return dict(answer.json()) if answer.content else {}
                if last or answer.status_code < 500:
                    raise ApiRefused(
                        f"{method} {path} was answered {answer.status_code}: {_detail(answer)}",
                        answer.status_code,
                        _detail(answer),
                    )
            time.sleep(0.25 * attempt)
        raise AssertionError("unreachable")


def _detail(answer: Any) -> str:
    try:
        document = answer.json()
    except ValueError:
        return str(answer.text)[:500]
    return str(document.get("detail", document) if isinstance(document, dict) else document)[:500]


def _log_line(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    details = entry.get("error_detail") or []
    raised = "".join(f"\n  {detail.get('exc_type')}: {detail.get('exc_value')}" for detail in details)
    return " ".join(str(entry[key]) for key in ("timestamp", "level", "event") if entry.get(key)) + raised
