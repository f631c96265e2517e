"""
Conditions in CEL, type-checked against the contracts when a policy is read.

Two traps of the library are closed here. An evaluation that fails does not raise but returns a value that *is* the
error, so :meth:`Expression.evaluate` looks at its type. And a qualified name (``case.tier``) is checked only when it is
declared as a variable of that very name, so every field of every contract is declared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from interlock.domain.base.contract import variable_prefix
from interlock.domain.base.pattern import STRING_LITERAL, matches_in
from interlock.errors import PolicyError

KNOWN: dict[str, Any] = {
    "confidence": cel.Type.DOUBLE,
    "threshold": cel.Type.DOUBLE,
    "attempt": cel.Type.INT,
    "missing": cel.Type.List(cel.Type.STRING),
    "known": cel.Type.List(cel.Type.STRING),
    "data_warnings": cel.Type.List(cel.Type.STRING),
}
"""
What every condition may read beside the contracts: the last answer's calibrated confidence (absent when there is none),
the policy's threshold, the number of the branch attempt from 1, and the case's empty (``missing``) and filled
(``known``) optional fields, and the names of what the data checks of its runs warned of.
"""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")


def variable_types(contracts: Mapping[str, Mapping[str, Any]], case_contract: str) -> dict[str, Any]:
    """
    Return the CEL type of every variable that a condition may read.

    :param contracts: contract name to JSON schema.
    :param case_contract: the intake contract, whose fields are ``case.<field>``; another contract's are under its snake
        case: ``Reply`` gives ``reply.<field>``.
    """
    types = dict(KNOWN)
    for name, schema in contracts.items():
        prefix = "case" if name == case_contract else variable_prefix(name)
        for field, definition in schema.get("properties", {}).items():
            types[f"{prefix}.{field}"] = _cel_type(definition, schema.get("$defs", {}))
    return types


def _cel_type(definition: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    if "$ref" in definition:
        definition = definitions.get(definition["$ref"].rsplit("/", 1)[-1], {})
    if "anyOf" in definition:
        present = [option for option in definition["anyOf"] if option.get("type") != "null"]
        kinds = {option.get("type") for option in present}
        if kinds == {"number", "string"}:  # a Decimal
            return cel.Type.DOUBLE
        return _cel_type(present[0], definitions) if len(present) == 1 else cel.Type.DYN
    match definition.get("type"):
        case "string":
            return cel.Type.TIMESTAMP if definition.get("format") == "date-time" else cel.Type.STRING
        case "integer":
            return cel.Type.INT
        case "number":
            return cel.Type.DOUBLE
        case "boolean":
            return cel.Type.BOOL
        case "array":
            return cel.Type.List(_cel_type(definition.get("items", {}), definitions))
    if "const" in definition or "enum" in definition:
        return cel.Type.STRING
    return cel.Type.DYN


@dataclass(frozen=True)
class Evaluated:
    """What an expression said."""

    value: Any
    """None: it could not be evaluated, and *error* says why."""
    error: str | None = None


class Expression:
    """An expression that was compiled against the declared variables: a condition, unless said otherwise."""

    def __init__(self, text: str, types: Mapping[str, Any], *, gives: Any = cel.Type.BOOL) -> None:
        """
        Compile *text*.

        :param gives: CEL type of its value.

        :raises PolicyError: with the column, the reason and the nearest known name.
        """
        self.text = text
        self.reads = tuple(sorted(_names_in(text) & set(types)))
        """The variables that the condition can read: what a decision records."""
        self._reads = [(name, _converter(types[name])) for name in self.reads]
        try:
            self._program = _environment(_freeze(types)).compile(text)
        except RuntimeError as error:
            raise PolicyError(_compile_message(text, str(error), types)) from None
        lowered, self._matches = matches_in(text, types)
        if self._matches:
            with_matches = {**types, **dict.fromkeys(self._matches, cel.Type.BOOL)}
            self._program = _environment(_freeze(with_matches)).compile(lowered)
        self._gives = gives
        returned = self._program.return_type().name().upper()
        if returned not in (gives.name().upper(), "DYN") or (returned == "DYN" and gives == cel.Type.BOOL):
            asked = f"a {gives.name().lower()} is asked for"
            wanted = "a condition must be true or false" if gives == cel.Type.BOOL else asked
            raise PolicyError(f"{text!r} gives a {returned.lower()}, and {wanted}")

    def evaluate(self, inputs: Mapping[str, Any]) -> Evaluated:
        """Return what it says of *inputs* (by variable name); it never raises."""
        data = {}
        try:
            for name, convert in self._reads:
                value = inputs.get(name)
                if value is not None:
                    data[name] = value if convert is None else convert(value)
            for variable, (name, pattern) in self._matches.items():
                if isinstance(value := inputs.get(name), str):
                    data[variable] = pattern.search(value) is not None
            result = self._program.eval(data=data)
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            return Evaluated(None, f"{type(error).__name__}: cannot evaluate {self.text!r}")
        if result.type() == self._gives:
            return Evaluated(result.value())
        absent = [name for name in self.reads if inputs.get(name) is None]
        if absent:
            return Evaluated(None, f"there is no {', '.join(absent)}")
        return Evaluated(None, f"{self.text!r} could not be evaluated")


def _converter(declared: Any) -> Callable[[Any], Any] | None:
    """Return what turns a value of a payload into one of the *declared* type; None: it is one."""
    if declared == cel.Type.DOUBLE:
        return _to_double
    return _to_timestamp if declared == cel.Type.TIMESTAMP else None


def _to_double(value: Any) -> Any:
    return float(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else value


def _to_timestamp(value: Any) -> Any:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _names_in(text: str) -> set[str]:
    found: set[str] = set()
    for name in _NAME.findall(STRING_LITERAL.sub(" '' ", text)):
        parts = name.split(".")
        found.update(".".join(parts[: index + 1]) for index in range(len(parts)))
    return found


def _freeze(types: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(types.items(), key=lambda item: item[0]))


class _TypeTable(tuple[Any, ...]):
    """Hashable by its names and type names, since CEL types have no hash of their own."""

    def __hash__(self) -> int:
        return hash(tuple((name, kind.name()) for name, kind in self))


def _environment(types: tuple[tuple[str, Any], ...]) -> Any:
    return _cached_environment(_TypeTable(types))


@lru_cache(maxsize=32)
def _cached_environment(types: _TypeTable) -> Any:
    return cel.NewEnv(variables=dict(types))


def _compile_message(text: str, message: str, types: Mapping[str, Any]) -> str:
    first = message.split("\n")[0].removeprefix("INVALID_ARGUMENT: ").removeprefix("ERROR: ")
    place = re.match(r"<input>:(\d+):(\d+): (.*)", first)
    line, column, reason = (place[1], place[2], place[3]) if place else ("1", "?", first)
    reason = reason.replace(" (in container '')", "")
    problem = f"{text!r}, line {line}, column {column}: {reason}"
    unknown = re.search(r"undeclared reference to '([^']+)'", reason)
    if unknown:
        written = next(
            (n for n in sorted(_names_in(text), key=len, reverse=True) if n.startswith(unknown[1])), unknown[1]
        )
        near = get_close_matches(written, types, n=1, cutoff=0.5)
        problem += f". Did you mean {near[0]!r}?" if near else f". Known: {', '.join(sorted(types))}"
    elif "(double, int)" in reason or "(int, double)" in reason:
        problem += ". Write a number that is compared with a double with a decimal point: 1.0"
    return problem
