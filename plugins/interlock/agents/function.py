"""
The agent of kind ``function``: a plain Python function that is called for each case.

The function gets copies, so what it does to them changes nothing else. Its code is not part of the digest: raise
``version`` in the declaration when its answers change, or a repeated run keeps the old ones.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from interlock.domain.agents.agent import NOT_OF_AN_ANSWER, FunctionAgent
from interlock.domain.agents.agent_protocol import Answer, Failure, Usage, Work
from interlock.domain.base.canonical import digest
from interlock.domain.base.contract import Contract
from interlock.errors import AgentError, ConfigurationError, InterlockError, UnknownName


class PythonFunctionAgent:
    """
    A function as an agent: ``def f(case, handoffs) -> dict | Answer``.

    :param name: its name in ``agents.yaml``.
    :param declaration: its declaration; the function is ``package.module:function`` or ``package.module.function``.
    """

    kind = "function"

    def __init__(self, name: str, declaration: FunctionAgent) -> None:
        self.name = name
        self.declaration = declaration
        self.digest = digest(
            {"kind": self.kind, "declaration": declaration.model_dump(mode="json", exclude=set(NOT_OF_AN_ANSWER))}
        )
        self._function: Callable[..., Any] | None = None

    def prepare(self) -> Mapping[str, Any]:
        """
        Import the function; there is nothing to report.

        :raises ConfigurationError: there is no such module or function, or it is not one that can be called.
        """
        self._function = find_function(self.declaration.function, agent=self.name)
        return {}

    def answer(self, work: Sequence[Work], contract: type[Contract]) -> Iterator[Answer | Failure]:
        """Yield what the function says of each case; an exception is the failure of that case alone."""
        if self._function is None:
            self.prepare()
        for one in work:
            begun = time.perf_counter()
            try:
                answer = self._call(one)
            except InterlockError as error:
                yield Failure(case_id=one.case_id, error=error, usage=(_usage(begun, type(error).__name__),))
            else:
                yield replace(answer, case_id=one.case_id, usage=answer.usage or (_usage(begun, "ok"),))

    def _call(self, one: Work) -> Answer:
        assert self._function is not None
        case = copy.deepcopy(dict(one.case))
        handoffs = copy.deepcopy({name: dict(payload) for name, payload in one.handoffs.items()})
        try:
            returned = self._function(case, handoffs)
        except InterlockError:  # it says itself what it is, and whether another attempt helps
            raise
        except Exception as error:
            raise AgentError(
                f"function {self.declaration.function!r} of agent {self.name!r} raised {type(error).__name__}: {error}"
            ) from error
        if isinstance(returned, Answer):
            return returned
        if isinstance(returned, Mapping):
            return Answer(
                case_id=one.case_id, payload=dict(returned), provenance={"function": self.declaration.function}
            )
        raise AgentError(
            f"function {self.declaration.function!r} of agent {self.name!r} returned a {type(returned).__name__}. "
            "Return a dict of the contract's fields, or an Answer."
        )


def find_function(path: str, *, agent: str) -> Callable[..., Any]:
    """
    Return the function at ``package.module:function`` or ``package.module.function``.

    :raises ConfigurationError: it can't be imported, or is no function of its kind.
    """
    module_name, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    if not module_name or not attribute:
        raise ConfigurationError(
            f"function {path!r} of agent {agent!r} is not a dotted path. Write it as 'package.module:function'."
        )
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the module's own code runs here
        raise ConfigurationError(
            f"module {module_name!r} of agent {agent!r} cannot be imported: {type(error).__name__}: {error}. "
            "Is the include folder on the path?"
        ) from error
    found: Callable[..., Any] | None = getattr(module, attribute, None)
    if found is None:
        functions = [n for n, v in vars(module).items() if inspect.isfunction(v) and not n.startswith("_")]
        raise UnknownName("function", attribute, functions, where=module_name)
    if not callable(found) or inspect.iscoroutinefunction(found):
        what = "asynchronous" if callable(found) else f"a {type(found).__name__}"
        raise ConfigurationError(f"{path!r} of agent {agent!r} is {what}. Name a plain function f(case, handoffs).")
    return found


def _usage(begun: float, outcome: str) -> Usage:
    return Usage(model="function", seconds=time.perf_counter() - begun, outcome=outcome, cost=Decimal(0))
