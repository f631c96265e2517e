"""
``matches`` of CEL, with each pattern compiled once and the match made before the expression is evaluated.

The library compiles a pattern at every evaluation, which takes 0.3 to 4 milliseconds for the patterns of a policy, and
is a hundred times all the rest of a decision. A function of ours in its place would be given a copy of the text, which
version 0.1.3 of the library never frees: so ``field.matches('…')`` becomes a variable that is true or false. The engine
is the same RE2, so no pattern takes more than linear time. Any other use of ``matches`` is left to the library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import re2
from cel_expr_python import cel

from interlock.errors import PolicyError

STRING_LITERAL = re.compile(r"[rR]'[^']*'|[rR]\"[^\"]*\"|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_CALL_OF_LITERAL = re.compile(rf"\bmatches\s*\(\s*({STRING_LITERAL.pattern})\s*\)")
_MATCH_OR_LITERAL = re.compile(
    rf"(?<![\w.])(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\.matches\s*\(\s*(?P<pattern>{STRING_LITERAL.pattern})\s*\)"
    rf"|{STRING_LITERAL.pattern}"
)
_OF_A_MACRO = re.compile(r"\(\s*([A-Za-z_]\w*)\s*,")
"""A macro's own variable, which stands before a field of that name: ``xs.exists(case, …)``."""


def matches_in(expression: str, types: Mapping[str, Any]) -> tuple[str, dict[str, tuple[str, Any]]]:
    """
    Return *expression* with a variable for each text field that is matched with a written pattern, and those variables.

    :return: of each variable its field and the compiled pattern.
    :raises PolicyError: a pattern is no RE2 pattern; RE2's own words say what is wrong.
    """
    variables: dict[tuple[str, str], str] = {}
    of_macros = set(_OF_A_MACRO.findall(expression))

    def _variable(found: re.Match[str]) -> str:
        name, pattern = found["name"], found["pattern"]
        if name not in types or types[name] != cel.Type.STRING or name.split(".")[0] in of_macros:
            return found[0]
        return variables.setdefault((name, pattern), f"matched_{len(variables)}")

    lowered = _MATCH_OR_LITERAL.sub(_variable, expression)
    patterns = {literal: _checked(literal, expression) for literal in _CALL_OF_LITERAL.findall(expression)}
    return lowered, {variable: (name, patterns[literal]) for (name, literal), variable in variables.items()}


def _checked(literal: str, expression: str) -> Any:
    pattern = cel.NewEnv().compile(literal).eval(data={}).value()
    try:
        return _compiled(pattern)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise PolicyError(f"{expression!r}: {pattern!r} is no RE2 pattern: {reason}") from None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)
