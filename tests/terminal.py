"""
A terminal for tests: ``airflow interlock …`` as it is typed, through the parser that Airflow builds of our commands.

It runs in this process, so that a ledger of a test can be behind it; ``ledger_behind`` sets what the commands find.
"""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from interlock.ledger.store.ledger import Ledger
from sealing import SEAL


@dataclass(frozen=True)
class Printed:
    """What a command left on the terminal."""

    out: str
    error: str
    """The error's one line, or what else went to standard error."""
    code: int

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal:
    """``terminal("kpi refunds --period all")``."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._parser = _parser()

    def __call__(self, line: str) -> Printed:
        self._capsys.readouterr()
        error, code = "", 0
        try:
            args = self._parser.parse_args(["interlock", *shlex.split(line)])
            args.func(args)
        except SystemExit as end:
            error, code = (end.code, 1) if isinstance(end.code, str) else ("", int(end.code or 0))
        captured = self._capsys.readouterr()
        return Printed(captured.out, error or captured.err, code)


def _parser() -> argparse.ArgumentParser:
    from airflow.cli.cli_parser import _add_command
    from interlock.cli import get_commands

    parser = argparse.ArgumentParser(prog="airflow")
    below = parser.add_subparsers(required=True)
    for command in get_commands():
        _add_command(below, command)
    return parser


def ledger_behind(monkeypatch: pytest.MonkeyPatch, ledger: Ledger, folder: Path, *, include: Path) -> None:
    """Let the commands find *ledger*, the workflows in *include*, and keep snapshots in *folder*."""
    connection = {"conn_type": "interlock", "extra": {"path": str(ledger.engine.url.database)}}
    monkeypatch.setenv("AIRFLOW_CONN_INTERLOCK_LEDGER", json.dumps(connection))
    key = {"conn_type": "generic", "login": SEAL.key_id, "password": SEAL.keys[SEAL.key_id].decode()}
    monkeypatch.setenv("AIRFLOW_CONN_INTERLOCK_SEAL", json.dumps(key))
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SNAPSHOT_PATH", str(folder / "snapshots"))
    monkeypatch.setenv("AIRFLOW__INTERLOCK__INCLUDE_PATH", str(include))
