"""
Starts the processes of a local Airflow, waits until they are healthy, and ends every one of them.

It starts them one by one and not with ``airflow standalone``, which leaves its children running when it is stopped and
does not notice when one of them dies. A task runs in its own process group, so it survives when a group is ended; but
all tasks share the session of the component that started them, so whole sessions are ended here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from interlock.commands.airflow_client import AirflowClient
from interlock.errors import InterlockError

COMPONENTS = ("api-server", "scheduler", "dag-processor")
"""What a run needs. Gates wait without a triggerer; only Dags with deferrable tasks need one."""

_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    # Logs are read from a shared folder; the log server would listen on every network interface.
    "scheduler": ("--skip-serve-logs",),
    "triggerer": ("--skip-serve-logs",),
}


class ComponentFailed(InterlockError):
    """A process of the local Airflow ended, or did not become healthy. *log* says why."""

    def __init__(self, message: str, log: Path) -> None:
        self.log = log
        super().__init__(message)


class LocalAirflow:
    """
    An Airflow on this machine: API server, scheduler and Dag processor, with the given environment.

    :param home: Its ``AIRFLOW_HOME``. Each process logs to ``logs/<component>.log`` in it.
    :param environment: All of its environment; see :func:`interlock.quickstart.environment.local_environment`.
    """

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.environment = dict(environment)
        self.url = environment["AIRFLOW__API__BASE_URL"]
        self.client = AirflowClient(self.url)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started_at = 0.0
        self._sessions = home / "sessions"
        """File with the sessions of the running processes, in case this process is killed before it ends them."""

    @property
    def is_running(self) -> bool:
        """Whether any component was started and not stopped."""
        return bool(self._running)

    def log(self, component: str) -> Path:
        """Return where *component* logs to."""
        return self.home / "logs" / f"{component}.log"

    def run(
        self,
        name: str,
        *arguments: str,
        timeout_seconds: float = 300,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """
        Run ``python -m …`` in this Airflow's environment and return what it printed.

        :param name: Names its log.
        :param environment: Variables for this command alone, such as a person's token.
        :raises ComponentFailed: it failed or took longer than *timeout_seconds*.
        """
        log = self.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env=self.environment | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                raise ComponentFailed(f"{name} did not end within {timeout_seconds:.0f} s", log) from None
            finally:
                end_sessions([process.pid], grace_seconds=3)
                process.wait()
        if code != 0:
            raise ComponentFailed(f"{name} ended with exit code {code}", log)
        return log.read_text(encoding="utf-8", errors="replace")

    def start(self, components: Iterable[str] = COMPONENTS) -> None:
        """Start *components* that do not run already."""
        self._started_at = self._started_at or time.time()
        for component in components:
            if component in self._running:
                continue
            log = self.log(component)
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as out:
                self._running[component] = subprocess.Popen(
                    [sys.executable, "-m", "airflow", component, *_ARGUMENTS.get(component, ())],
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self._sessions.write_text("".join(f"{process.pid}\n" for process in self._running.values()))

    def wait_until_healthy(
        self, *, timeout_seconds: float = 180, say: Callable[[str], None] = lambda line: None
    ) -> None:
        """
        Return when the API answers and the scheduler and the Dag processor have both reported since the start.

        :param say: Prints what it waits for, every few seconds.
        :raises ComponentFailed: one of them ended, or *timeout_seconds* went by.
        """
        begun = time.monotonic()
        reported = begun
        while waiting := self._not_yet_healthy():
            self.check_alive()
            now = time.monotonic()
            if now - begun > timeout_seconds:
                name = waiting[0]
                raise ComponentFailed(f"{name} was not healthy after {timeout_seconds:.0f} s", self.log(name))
            if now - reported >= 5:
                say(f"waiting for {', '.join(waiting)} ({now - begun:.0f} s)")
                reported = now
            time.sleep(0.2)

    def check_alive(self) -> None:
        """
        Return when every started component still runs.

        :raises ComponentFailed: one ended.
        """
        for component, process in self._running.items():
            if (code := process.poll()) is not None:
                raise ComponentFailed(f"{component} ended with exit code {code}", self.log(component))

    def stop(self, *, grace_seconds: float = 10) -> None:
        """End every process of this Airflow, tasks included; those still running after *grace_seconds* are killed."""
        end_sessions([process.pid for process in self._running.values()], grace_seconds=grace_seconds)
        for process in self._running.values():
            process.wait()
        self._running.clear()
        self._started_at = 0.0
        self._sessions.unlink(missing_ok=True)
        self.client.close()

    def end_leftovers(self) -> int:
        """End the processes of an earlier run on this home that was killed, and return their number."""
        import psutil

        try:
            sessions = [int(line) for line in self._sessions.read_text().split()]
        except (FileNotFoundError, ValueError):
            return 0
        ours = []
        for process in psutil.process_iter(["cmdline"]):
            # Another program may have this process id by now.
            if _session_of(process.pid) in sessions and "airflow" in " ".join(process.info["cmdline"] or ()):
                ours.append(process.pid)
        end_sessions({_session_of(pid) for pid in ours} - {0}, grace_seconds=5)
        self._sessions.unlink(missing_ok=True)
        return len(ours)

    def _not_yet_healthy(self) -> list[str]:
        health = self.client.health()
        if health is None:
            return ["api-server"]
        waiting = []
        for component, part in (("scheduler", "scheduler"), ("dag-processor", "dag_processor")):
            report = health.get(part) or {}
            # A heartbeat of the previous run still counts as healthy for 30 s.
            since = report.get(f"latest_{part}_heartbeat")
            if component in self._running and (
                report.get("status") != "healthy" or since is None or _timestamp(since) < self._started_at
            ):
                waiting.append(component)
        return waiting


def end_sessions(sessions: Iterable[int], *, grace_seconds: float) -> None:
    """End all processes of *sessions*: SIGTERM first, SIGKILL after *grace_seconds*."""
    wanted = set(sessions)
    deadline = time.monotonic() + grace_seconds
    asked: set[int] = set()
    while members := _members(wanted):
        overdue = time.monotonic() > deadline
        for pid in members:
            if overdue or pid not in asked:
                asked.add(pid)
                _signal(pid, signal.SIGKILL if overdue else signal.SIGTERM)
        time.sleep(0.05)


def _members(sessions: set[int]) -> list[int]:
    import psutil

    found = []
    for process in psutil.process_iter(["status"]):
        if _session_of(process.pid) in sessions and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return 0


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _timestamp(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()
