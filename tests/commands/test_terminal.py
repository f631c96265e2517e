"""How commands print: a row is a line in a pipe, a table fits its terminal, and a value is shown, never obeyed."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from interlock.commands.terminal import format_fields, print_table, print_text, visible

PLUGINS = Path(__file__).parents[2] / "plugins"

COLUMNS = {"case": "CASE", "route": "ROUTE", "reason": "REASON"}
LONG = "a reason of many words " * 40

PROGRAM = f"""
from interlock.commands.terminal import print_table
print_table([{{"case": "T-000007", "route": "review", "reason": {LONG!r}}}], {COLUMNS!r}, empty="none")
"""


def piped(rows, capsys, columns=COLUMNS):
    print_table(rows, columns, empty="Nothing waits")
    return capsys.readouterr().out.splitlines()


def test_in_a_pipe_a_row_is_one_line_and_nothing_of_it_is_cut(capsys):
    rows = [{"case": "T-1", "route": LONG, "reason": LONG}, {"case": "T-2", "route": None, "reason": ["a", 2]}]

    heads, below, first, second = piped(rows, capsys)

    assert heads.split() == ["CASE", "ROUTE", "REASON"]
    assert set(below) == {"-", " "}
    assert first == f"T-1   {LONG.strip()}  {LONG.strip()}"
    assert second.split() == ["T-2", "a,", "2"]
    assert second.index("a, 2") == heads.index("REASON")


def test_no_rows_are_said_in_words(capsys):
    assert piped([], capsys) == ["Nothing waits"]


def test_columns_keep_below_each_other_where_characters_are_wide(capsys):
    rows = [{"case": "漢字", "route": "x"}, {"case": "abcd", "route": "x"}]

    *_, wide, narrow = piped(rows, capsys, {"case": "CASE", "route": "ROUTE"})

    assert (wide, narrow) == ("漢字  x", "abcd  x")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("[bold red]dear[/bold red] [/]", "[bold red]dear[/bold red] [/]"),
        (":smile:", ":smile:"),
        ("\x1b[2J\x07gone", "\\x1b[2J\\x07gone"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("one\ntwo\u2028three", "one two three"),
        ("Zoë ‍👩‍🚀", "Zoë ‍👩‍🚀"),
    ],
)
def test_a_value_is_shown_as_it_is_and_its_control_characters_are_written_out(value, shown, capsys):
    assert piped([{"case": value}], capsys, {"case": "CASE"})[2] == shown
    assert visible("\ud800") == "\\ud800"


def test_a_page_keeps_its_lines_and_writes_out_control_characters(capsys):
    print_text("one\r\n\ttwo\x1b[0m")

    assert capsys.readouterr().out == "one\n\ttwo\\x1b[0m\n"


def test_the_texts_of_fields_begin_in_one_column():
    fields = [("as of", "now"), ("data quality", "[red]passed\x1b")]

    assert format_fields(fields, indent=2, width=4) == "  as of        now\n  data quality [red]passed\\x1b"
    assert format_fields(fields[:1], width=12) == "as of        now"


def test_colours_are_not_forced_into_a_pipe():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment(FORCE_COLOR="1", COLUMNS="40"), capture_output=True, text=True
    )

    assert "\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) == 3


def test_on_a_terminal_a_table_fits_and_nothing_of_it_is_lost():
    ours, its = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment(COLUMNS="60", NO_COLOR="1"), stdout=its):
        os.close(its)
        printed = b""
        try:
            while part := os.read(ours, 65536):
                printed += part
        except OSError:  # how Linux says that nobody holds the other end
            pass
        os.close(ours)

    lines = [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in printed.decode().splitlines()]
    assert max(map(len, lines)) <= 60
    assert lines[2].startswith("T-000007  review  a reason of")
    assert " ".join(line[18:] for line in lines[2:]).split() == LONG.split()


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(PLUGINS), "TERM": "xterm"} | more
