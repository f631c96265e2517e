"""Every command of ``airflow interlock`` leads to a function."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator

import pytest
from airflow.cli.cli_config import ActionCommand, CLICommand, GroupCommand, import_string
from interlock.cli import get_commands


def commands(group: Collection[CLICommand], before: str = "") -> Iterator[tuple[str, ActionCommand]]:
    for command in group:
        words = f"{before} {command.name}".strip()
        if isinstance(command, GroupCommand):
            yield from commands(command.subcommands, words)
        else:
            yield words, command


COMMANDS = dict(commands(get_commands()))


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_leads_to_a_function(words):
    """Commands name their function as text, so a module that moved would be missed only when somebody types it."""
    path = inspect.getclosurevars(COMMANDS[words].func).nonlocals["import_path"]

    assert inspect.isfunction(import_string(path))
