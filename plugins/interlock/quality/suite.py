"""
From a suite of ours to objects of Great Expectations, with names and arguments checked.

Which expectations there are, and which arguments they take, only Great Expectations knows: its registry is asked, so
one that a team registered works like a built-in one. Imported lazily: this module takes seconds to load.
"""

from __future__ import annotations

from typing import Any

from great_expectations.compatibility import pydantic as gx_pydantic
from great_expectations.exceptions import ExpectationNotFoundError
from great_expectations.expectations.registry import (
    get_expectation_impl,
    list_registered_expectation_implementations,
)

from interlock.domain.data.quality import Expectation, Suite
from interlock.errors import ConfigurationError, UnknownName


def build_expectations(suite: Suite) -> list[Any]:
    """
    Return the expectations of *suite* as objects of Great Expectations, in order, each with ``meta.position``.

    :raises UnknownName: an expectation that nobody registered, with the nearest name.
    :raises ConfigurationError: arguments that an expectation does not take.
    """
    return [_build(item, position, suite.suite) for position, item in enumerate(suite.expectations)]


def _build(item: Expectation, position: int, suite: str) -> Any:
    try:
        implementation = get_expectation_impl(item.type)
    except ExpectationNotFoundError:
        known = list_registered_expectation_implementations()
        raise UnknownName("expectation", item.type, known, where=f"suite {suite!r}") from None
    try:
        return implementation(**item.arguments, meta={"position": position})
    except gx_pydantic.ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'] if part != '__root__') or '(whole)'}: {problem['msg']}"
            for problem in error.errors()
        )
    except (TypeError, ValueError) as error:
        problems = str(error)
    raise ConfigurationError(
        f"expectation {item.title!r} of suite {suite!r} cannot be used: {problems}. "
        f"{item.type} takes: {', '.join(_arguments(implementation))}."
    )


def _arguments(implementation: Any) -> list[str]:
    inherited = {"id", "meta", "notes", "result_format", "description", "catch_exceptions", "rendered_content"}
    inherited |= {"batch_id", "windows", "severity"}
    return sorted(set(implementation.__fields__) - inherited)
