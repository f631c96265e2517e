"""
A real Airflow for a test: LocalExecutor, SQLite, a home in a temporary folder, a free port. It starts in ten seconds.

Use :func:`live_airflow` as a context manager in a module-scoped fixture; whatever happens inside, no process is left.
The scheduler, the Dag processor and the API server are processes of their own: a test can end one and see what follows.
"""

from __future__ import annotations

import subprocess
import time
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from interlock.commands.airflow_client import BUSY_TASK, FINISHED_RUN, WAITING_TASK, AirflowClient
from interlock.quickstart.environment import PEOPLE, free_port, local_environment
from interlock.quickstart.server import COMPONENTS, ComponentFailed, LocalAirflow

PROJECT = Path(__file__).resolve().parent.parent
PATIENCE = 600.0
"""Seconds that are waited at most for what comes within one or two minutes where nothing else works."""


class LiveAirflow(LocalAirflow):
    """An Airflow for one test module. ``client`` is logged in as ``admin``."""

    def token(self, name: str) -> str:
        """Return an API token of the person *name* (``admin``, ``alice``, ``bob``, ``vera``)."""
        return AirflowClient(self.url).login(name)

    def as_person(self, name: str) -> AirflowClient:
        """Return a client that is logged in as *name*."""
        return self.client.as_person(name)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, *, run_id: str | None = None) -> str:
        """Wait until the Dag is parsed, start a run of it and return its id."""
        self.client.wait_for_dag(dag_id)
        return self.client.trigger(dag_id, conf, run_id=run_id)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the run's task instances as the API gives them."""
        return self.client.task_instances(dag_id, run_id)

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the run's states by task."""
        return self.client.task_states(dag_id, run_id)

    def wait_for_run(
        self, dag_id: str, run_id: str, states: Collection[str] = FINISHED_RUN, *, timeout_seconds: float = PATIENCE
    ) -> str:
        """Return the run's state as soon as it is one of *states*; by default when the run is over."""
        return self._wait(
            lambda: state if (state := self.client.run_state(dag_id, run_id)) in states else None,
            dag_id, run_id, f"the run in {sorted(states)}", timeout_seconds,
        )  # fmt: skip

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, states: Collection[str], *, timeout_seconds: float = PATIENCE
    ) -> str:
        """Return the task's state as soon as it is one of *states*."""
        return self._wait(
            lambda: state if (state := self.task_states(dag_id, run_id).get(task_id)) in states else None,
            dag_id, run_id, f"{task_id!r} in {sorted(states)}", timeout_seconds,
        )  # fmt: skip

    def wait_until_parked(self, dag_id: str, run_id: str, *, timeout_seconds: float = PATIENCE) -> list[str]:
        """Return the tasks that wait for people, as soon as nothing else of the run goes on by itself."""

        def parked() -> list[str] | None:
            states = self.task_states(dag_id, run_id)
            if BUSY_TASK & {state for state in states.values() if state}:
                return None
            return [task for task, state in states.items() if state == WAITING_TASK] or None

        return self._wait(parked, dag_id, run_id, "a task that waits for people", timeout_seconds)

    def answer_gate(
        self, dag_id: str, run_id: str, task_id: str, option: str, *, person: str = "alice", **params: Any
    ) -> dict[str, Any]:
        """Answer Airflow's own request of *task_id* as *person*, by its REST API."""
        return self.as_person(person).answer_gate(dag_id, run_id, task_id, [option], params=params)

    def end_component(self, component: str) -> None:
        """Kill *component* without a warning, as a machine that runs out of memory does."""
        process = self._running.pop(component)
        process.kill()
        process.wait()

    def _wait(self, look: Callable[[], Any], dag_id: str, run_id: str, wanted: str, timeout_seconds: float) -> Any:
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if found := look():
                return found
            time.sleep(0.25)
        states = self.task_states(dag_id, run_id)
        raise AssertionError(
            f"after {timeout_seconds:.0f} s {dag_id} {run_id} was {self.client.run_state(dag_id, run_id)}, {states}; "
            f"waited for {wanted}. Logs: {self.home / 'logs'}"
        )


@contextmanager
def live_airflow(
    home: Path,
    *,
    dags_folder: Path | None = None,
    components: Collection[str] = COMPONENTS,
    environment: Mapping[str, str] | None = None,
    people: Mapping[str, str] = PEOPLE,
    parallelism: int = 2,
    settings: Path | None = None,
    before_start: Callable[[LiveAirflow], None] = lambda airflow: None,
) -> Iterator[LiveAirflow]:
    """
    Yield a healthy Airflow with its home in *home*, and end all of its processes.

    :param dags_folder: Left out, the project's ``dags``.
    :param components: Add ``triggerer`` for Dags that defer.
    :param environment: More environment variables, such as ``AIRFLOW__INTERLOCK__ENVIRONMENT``.
    :param people: Logins by name, with Airflow's role; each password is the name.
    :param settings: An ``airflow_settings.yaml`` to import; with one, the ledger is migrated too.
    :param before_start: Called with the databases there and nothing running.
    """
    port = free_port()
    variables = local_environment(
        home,
        port=port,
        dags_folder=dags_folder or PROJECT / "dags",
        plugins_folder=PROJECT / "plugins",
        python_path=[PROJECT, *as_installed(home / "installed")],
        people=people,
        parallelism=parallelism,
        # A file that has changed is read at once all the same.
        extra={"AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60", **(environment or {})},
    )
    airflow = LiveAirflow(home, variables)
    try:
        if settings is None:
            airflow.run("db-migrate", "airflow", "db", "migrate")
        else:
            airflow.run("prepare", "interlock.quickstart.prepare", str(settings))
        before_start(airflow)
        airflow.start(components)
        airflow.wait_until_healthy()
        airflow.client.login("admin")
        yield airflow
    except ComponentFailed as error:
        lines = error.log.read_text(errors="replace").splitlines()[-40:] if error.log.exists() else []
        raise AssertionError("\n".join([str(error), *lines])) from error
    finally:
        airflow.stop()


def as_installed(folder: Path) -> list[Path]:
    """
    Return what to put on ``PYTHONPATH`` so that a subprocess sees the distribution: nothing where it is installed.

    Where it is not, its metadata is written to *folder* from ``pyproject.toml``, as an editable installation would.
    """
    try:
        distribution("interlock")
    except PackageNotFoundError:
        write_metadata(folder)
        return [folder, PROJECT / "plugins"]
    return []


def write_metadata(folder: Path) -> None:
    """Write the metadata of the distribution ``interlock`` (its name and entry points) to *folder*."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    target = folder / f"{project['name']}-{project['version']}.dist-info"
    target.mkdir(parents=True, exist_ok=True)
    (target / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    sections = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()), ""])
        for group, entries in project["entry-points"].items()
    ]
    (target / "entry_points.txt").write_text("\n".join(sections), encoding="utf-8")


def processes_mentioning(text: str) -> list[str]:
    """Return the command lines of running processes that mention *text*, such as a home's path or a port."""
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if text in line and not line.startswith("ps ")]
