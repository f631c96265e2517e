"""YAML that refuses a key written twice, and whose errors name the line."""

from __future__ import annotations

from collections.abc import Hashable
from copy import deepcopy
from functools import lru_cache
from typing import Any

import yaml

from interlock.errors import ConfigurationError


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is written twice, which YAML itself lets pass with the last one winning."""


def _mapping_once(loader: _StrictLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":  # "<<", which may be written over by a key beside it
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.MarkedYAMLError(problem="a key must be one word or number", problem_mark=key_node.start_mark)
        if key in seen:
            raise yaml.MarkedYAMLError(problem=f"key {key!r} is written twice", problem_mark=key_node.start_mark)
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_once)


MAX_DEPTH = 64
"""Levels of lists and mappings in each other."""
MAX_PARTS = 200_000
"""Values of a document once its aliases are written out: a few lines of them can stand for billions."""


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    """Return what *text* says, for everybody who reads it: a task reads the same files many times, 20 ms each."""
    document = yaml.load(text, Loader=_StrictLoader)
    _count(document, 0, {})
    return document


def _count(value: Any, depth: int, known: dict[int, int]) -> int:
    """Return of how many values *value* is made up, aliases written out."""
    if not isinstance(value, (dict, list)):
        return 1
    if depth >= MAX_DEPTH:
        raise yaml.YAMLError(f"it is nested deeper than {MAX_DEPTH} levels")
    if id(value) not in known:
        known[id(value)] = MAX_PARTS + 1  # what holds itself has no end
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count(part, depth + 1, known) for part in parts)
        if known[id(value)] > MAX_PARTS:
            raise yaml.YAMLError(f"it stands for more than {MAX_PARTS} values")
    return known[id(value)]


def load_yaml(text: str, *, where: str) -> Any:
    """
    Return the parsed YAML *text*.

    :raises ConfigurationError: with the line and what is wrong there.
    """
    try:
        return deepcopy(_parsed(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = error.problem or error.context or "no YAML"
        hint = " (use blanks, not tabs)" if "'\\t'" in problem else ""
        raise ConfigurationError(f"{where}{place}: {problem}{hint}") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow: it has no mark, only a position
        raise ConfigurationError(f"{where}: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise ConfigurationError(f"{where}: it is nested too deeply") from None
    except (ValueError, OverflowError, TypeError, AttributeError, LookupError) as error:
        # PyYAML lets through what Python says of a date that there is not, or of a number that it cannot hold.
        raise ConfigurationError(f"{where}: a date, a number or a tag in it cannot be read: {error}") from None
