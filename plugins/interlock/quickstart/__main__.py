"""
``python -m interlock.quickstart``: starts a local Airflow, publishes a workflow's policy and runs it up to its gate.

It asks nothing and leaves no process running: not after ``--once``, Ctrl-C or a failure. The home stays, so the next
start is faster, and cases that exist are not created again.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.commands.summary_text import describe_summary
from interlock.errors import ConfigurationError, InputError, InterlockError
from interlock.quickstart.environment import PEOPLE, free_port, local_environment
from interlock.quickstart.prepare import is_prepared
from interlock.quickstart.progress import RunFollower, addresses, describe_as_of, say, tail
from interlock.quickstart.server import ComponentFailed, LocalAirflow

if TYPE_CHECKING:
    from interlock.ledger.store.ledger import Ledger


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and return the exit code: 0, 1 after a failure, 130 if it was interrupted before the gate or the end."""
    options = _options(arguments)
    # SIGINT too: a shell that starts this in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with _only_one(options.home):
            return _run(options)
    except KeyboardInterrupt:
        return 130
    except ComponentFailed as error:
        say(f"\nFailed: {error}. The last lines of its log, {error.log}:\n{tail(error.log)}")
    except InterlockError as error:
        say(f"\nFailed: {error}")
    return 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m interlock.quickstart", description=__doc__.split("\n\n")[0].strip()
    )
    parser.add_argument("--once", action="store_true", help="exit when the run has finished or waits for human review")
    parser.add_argument(
        "--source",
        help="file with the cases, or a source as JSON, such as "
        """'{"path": "cases.csv", "delimiter": ";"}' (default: the example of the Dag)""",
    )
    parser.add_argument("--as-of", default="", help="read the data as of this time (default: the end of the data)")
    parser.add_argument(
        "--port",
        type=int,
        default=8080,
        help="port of Airflow's UI (default: %(default)s; if it is in use, a free one)",
    )
    parser.add_argument(
        "--project",
        type=Path,
        default=Path.cwd(),
        help="project folder, with dags/ in it (default: the current folder)",
    )
    parser.add_argument("--home", type=Path, help="AIRFLOW_HOME (default: .airflow in the project folder)")
    parser.add_argument("--workflow", default="support_triage", help="the Dag to run (default: %(default)s)")
    options = parser.parse_args(arguments)
    options.project = options.project.resolve()
    options.home = (options.home or options.project / ".airflow").resolve()
    if not (options.project / "dags").is_dir():
        parser.error(
            f"{options.project} has no folder dags/. Run this in the project folder, or name it with --project"
        )
    if options.source is not None:
        try:
            options.source = _source(options.source)
        except InterlockError as error:
            parser.error(str(error))
    options.home.mkdir(parents=True, exist_ok=True)
    return options


def _source(text: str) -> dict[str, Any]:
    """
    Return the source that *text* names, as a mapping, with the absolute path of its file.

    :raises InterlockError: it is none, or the file is not there.
    """
    from interlock.domain.data.source import FileSource, is_object, parse_source

    spec = parse_source(text)
    given = spec.model_dump(exclude_unset=True)
    if isinstance(spec, FileSource) and not is_object(spec):
        path = Path(spec.path).expanduser().resolve()
        if not path.is_file():
            raise InputError(f"there is no file {str(path)!r}")
        given["path"] = str(path)
    return given


def _file_of(source: dict[str, Any] | None) -> list[str]:
    """Return the one file that *source* names, which a run may then read."""
    path = (source or {}).get("path", "")
    return [path] if path and "://" not in path else []


def _run(options: argparse.Namespace) -> int:
    begun = time.monotonic()
    port = free_port(options.port)
    if options.port not in (0, port):
        say(f"port {options.port} is in use, using {port}")
    plugins = options.project / "plugins"
    environment = local_environment(
        options.home,
        port=port,
        dags_folder=options.project / "dags",
        plugins_folder=plugins if plugins.is_dir() else options.home / "plugins",
        python_path=[options.project],
        source_roots=_file_of(options.source),
    )
    airflow = LocalAirflow(options.home, environment)
    if left := airflow.end_leftovers():
        say(f"stopped {left} processes that an earlier run left behind")
    try:
        ledger = _start(airflow, options)
        is_workflow = (options.project / "include" / options.workflow / "policy.yaml").is_file()
        if is_workflow:
            with _step("publishing the company's files and the policy"):
                _publish(airflow, "company")
                _publish(airflow, options.workflow)
                _deploy(airflow, ledger, options.workflow)
        with _step(f"waiting for the Dag {options.workflow!r}"):
            airflow.client.wait_for_dag(options.workflow)
        run_id = f"quickstart__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
        conf = {"source": _as_text(options.source)} if options.source else {}
        conf |= {"as_of": options.as_of} if options.as_of else {}
        airflow.client.trigger(options.workflow, conf, run_id=run_id)
        say(f"run {run_id} of {options.workflow!r}:")
        from interlock.ledger.cases.queue_query import case_counts

        follower = RunFollower(
            airflow.client, options.workflow, run_id, lambda: case_counts(ledger, options.workflow, run_id)
        )
        state = follower.wait_until_idle(between=airflow.check_alive)
        say(f"the run {_STATES[state]}, {time.monotonic() - begun:.0f} s after the start\n")
        review = None
        if is_workflow:
            figures = _figures(ledger, options.workflow, run_id)
            if (facts := figures["facts"]) is not None:
                review = facts["review"]
                default = airflow.client.default_of(options.workflow, "as_of")
                say(describe_as_of(facts, asked=options.as_of, default=str(default or "")) + "\n")
            say(describe_summary(figures) + "\n")
        if follower.failed or state == "failed":
            _print_failed_tasks(airflow, follower)
            return 1
        if not options.once:
            _stay(
                airflow,
                follower,
                lambda: describe_summary(_figures(ledger, options.workflow, run_id)) if is_workflow else "",
                review=review,
            )
        return 0
    finally:
        _end(airflow)


def _as_text(source: dict[str, Any]) -> str:
    return str(source["path"]) if set(source) == {"path"} else json.dumps(source)


_STATES = {"success": "has finished", "failed": "failed", "waiting": "waits for people"}


def _start(airflow: LocalAirflow, options: argparse.Namespace) -> Ledger:
    from interlock.ledger.store.ledger import Ledger

    settings = options.project / "airflow_settings.yaml"
    os.environ.update(airflow.environment)
    if not is_prepared(airflow.home, settings):
        with _step("creating the databases"):
            airflow.run("prepare", "interlock.quickstart.prepare", str(settings))
    with _step("starting Airflow") as say_detail:
        airflow.start()
        airflow.wait_until_healthy(say=say_detail)
    say(f"Airflow is at {airflow.url}")
    airflow.client.login("admin")
    url = (airflow.home / "ledger_url").read_text(encoding="utf-8").strip()
    return Ledger.open(url, airflow.environment.get("AIRFLOW__INTERLOCK__ENVIRONMENT", "test"))


def _publish(airflow: LocalAirflow, workflow: str) -> None:
    """Publish the workflow's files as the person who is logged in; the command is a client of the API."""
    airflow.run(
        f"publish-{workflow}", "airflow", "interlock", "policy", "publish", workflow, environment=_person(airflow)
    )


def _deploy(airflow: LocalAirflow, ledger: Ledger, workflow: str) -> None:
    from interlock.ledger.policy.deployment import deployment_of

    with ledger.read() as connection:
        deployment = deployment_of(connection, ledger.environment, workflow)
    if deployment is None:  # a workflow that somebody paused stays paused
        airflow.run(
            "deploy",
            *("airflow", "interlock", "workflow", "deploy", workflow, "--reason", "a first look"),
            environment=_person(airflow),
        )


def _person(airflow: LocalAirflow) -> dict[str, str]:
    return {"INTERLOCK_URL": airflow.url, "INTERLOCK_TOKEN": airflow.client.token or ""}


def _figures(ledger: Ledger, workflow: str, run_id: str) -> dict[str, Any]:
    from interlock.ledger.reports.summary import summarize

    return summarize(ledger, run_id, workflow=workflow)


def _print_failed_tasks(airflow: LocalAirflow, follower: RunFollower) -> None:
    for task_id, try_number in follower.failed:
        lines = airflow.client.task_log(follower.dag_id, follower.run_id, task_id, try_number=try_number)
        say(f"Failed: task {task_id!r}, try {try_number}. The last lines of its log, in {airflow.home / 'logs'}:")
        say("\n".join(f"    {line}" for line in lines[-20:]))


def _stay(airflow: LocalAirflow, follower: RunFollower, summary: Callable[[], str], *, review: str | None) -> None:
    """Keep Airflow running until Ctrl-C, and print how the run proceeds after people decide."""
    # Only now: it takes a fifth of the start-up time, and gates do not need it. Dags with deferrable tasks do.
    airflow.start(["triggerer"])
    say(addresses(airflow.url, follower.dag_id, follower.run_id, PEOPLE, review=review))
    say("\nAirflow keeps running; Ctrl-C stops it.")
    is_finished = follower.state in ("success", "failed")
    try:
        while True:
            airflow.check_alive()
            if not is_finished:
                follower.look()
                is_finished = follower.state in ("success", "failed")
                if is_finished:
                    say(f"the run {_STATES[follower.state]}")
                    say(summary())
            time.sleep(2)
    except KeyboardInterrupt:
        say("")


def _end(airflow: LocalAirflow) -> None:
    try:
        if airflow.is_running:
            say("stopping Airflow …")
        airflow.stop()
    except KeyboardInterrupt:
        airflow.stop(grace_seconds=0)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _step(what: str) -> Iterator[Callable[[str], None]]:
    """Print *what* is done and how long it took; yields a function that prints an indented line."""
    say(f"{what} …")
    begun = time.monotonic()
    yield lambda line: say(f"  {line}")
    say(f"  done in {time.monotonic() - begun:.1f} s")


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Lock the home for this process: two Airflows on one SQLite file would end each other's tasks."""
    with (home / "quickstart.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"an Airflow already runs on {str(home)!r}. "
                "Stop it with Ctrl-C where it was started, or give another --home."
            ) from None
        yield


if __name__ == "__main__":
    sys.exit(main())
