"""
``matches`` of CEL, with each pattern compiled once.

The library compiles a pattern at every evaluation, which takes 0.3 to 4 milliseconds for the patterns of a policy, and
is a hundred times all the rest of a decision. The engine is the same RE2, so no pattern takes more than linear time.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import re2
from cel_expr_python import cel

from interlock.errors import PolicyError

NAME = "matched"
"""Stands for ``matches`` in the text that is compiled: as long, so that a column in an error is still right."""

STRING_LITERAL = re.compile(r"[rR]'[^']*'|[rR]\"[^\"]*\"|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_CALL = re.compile(r"\bmatches(?=\s*\()")
_CALL_OF_LITERAL = re.compile(rf"\bmatches\s*\(\s*({STRING_LITERAL.pattern})\s*\)")


def functions() -> tuple[list[Any], dict[str, Any]]:
    """Return the declarations and implementations for :func:`cel.NewEnv`."""
    text = cel.Type.STRING
    declared = cel.FunctionDecl(
        NAME,
        [
            cel.Overload("interlock_member_matched", cel.Type.BOOL, [text, text], is_member=True),
            cel.Overload("interlock_matched", cel.Type.BOOL, [text, text]),
        ],
    )
    return [declared], {"interlock_member_matched": _matched, "interlock_matched": _matched}


def with_kept_patterns(expression: str) -> str:
    """Return *expression* with its calls of ``matches`` turned to ours; string literals are left alone."""
    parts, end = [], 0
    for literal in STRING_LITERAL.finditer(expression):
        parts += [_CALL.sub(NAME, expression[end : literal.start()]), literal.group()]
        end = literal.end()
    return "".join([*parts, _CALL.sub(NAME, expression[end:])])


def check_patterns(expression: str) -> None:
    """
    Let the patterns that *expression* writes out be used.

    :raises PolicyError: one is no RE2 pattern; RE2's own words say what is wrong.
    """
    for call in _CALL_OF_LITERAL.finditer(expression):
        pattern = cel.NewEnv().compile(call[1]).eval(data={}).value()
        try:
            _compiled(pattern)
        except re2.error as error:
            told = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
            raise PolicyError(f"{expression!r}: {pattern!r} is no RE2 pattern: {told}") from None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _matched(text: str, pattern: str) -> bool:
    return _compiled(pattern).search(text) is not None
