"""Every command of ``airflow interlock`` leads to a function, and its help says what it does in the field's words."""

from __future__ import annotations

import inspect
import re
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


OUR_OWN_WORDS = re.compile(
    r"left out|put(s)? aside|stand(s)? (at|in|here)|take(s)? up|held against|\btold\b|\banew\b|another than|what of"
    r"|\bdear(er)?\b|whoever|the most of|at most so many",
    re.IGNORECASE,
)
"""What reads as a dialect: a reader of Airflow's documentation expects *default*, *quarantined*, *resumes*, *shown*."""

COMMANDS = dict(commands(get_commands()))


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_leads_to_a_function(words):
    """Commands name their function as text, so a module that moved would be missed only when somebody types it."""
    path = inspect.getclosurevars(COMMANDS[words].func).nonlocals["import_path"]

    assert inspect.isfunction(import_string(path))


@pytest.mark.parametrize("words", COMMANDS)
def test_the_help_of_a_command_and_its_arguments_is_there_and_plain(words):
    command = COMMANDS[words]
    for text in [command.help, *(argument.kwargs.get("help", "") for argument in command.args)]:
        assert len(text) > 10, text
        assert not OUR_OWN_WORDS.search(text), text


@pytest.mark.parametrize("words", COMMANDS)
def test_a_default_is_in_the_help(words):
    """Unlike argparse, Airflow prints no defaults."""
    for argument in COMMANDS[words].args:
        default = argument.kwargs.get("default")
        if isinstance(default, int) and not isinstance(default, bool):
            assert f"(default: {default:g})" in argument.kwargs["help"], argument.flags
