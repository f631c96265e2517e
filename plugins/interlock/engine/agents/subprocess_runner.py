"""
Asking an agent in a process of its own, after an attempt of the task died without a word.

A case may end the process that works on it: a library that crashes, a text that takes all memory. Once a task has died,
its next attempt asks in child processes: whatever ends one of them is looked for by halves until one case is left, and
that case is given up when it has ended a process of its own so many times. All others get their answers.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection

from interlock.domain.agents.agent_protocol import Agent, Answer, Failure, Work
from interlock.domain.base.contract import Contract
from interlock.errors import AgentCrashed

ALONE = 3
"""Processes that a case may end by itself before it is given up."""


def ask_apart(agent: Agent, work: Sequence[Work], contract: type[Contract]) -> Iterator[Answer | Failure | None]:
    """Yield what *agent* says of each piece of *work*, whatever it does to the process that asks it."""
    waiting = [list(work)]
    crashes = 0
    while waiting:
        group = waiting.pop()
        answered: set[str] = set()
        died: int | None = None
        for said in _in_a_child(agent, group, contract):
            if isinstance(said, int):
                died = said
                continue
            if said is not None:
                answered.add(said.case_id)
            yield said
        left = [piece for piece in group if piece.case_id not in answered]
        if died is None or not left:
            continue
        if len(left) > 1:
            middle = len(left) // 2
            waiting += [left[middle:], left[:middle]]
            crashes = 0
            continue
        crashes += 1
        if crashes < ALONE:
            waiting.append(left)
            continue
        crashes = 0
        reason = f"agent {agent.name!r} ended its process ({_how(died)}) at this case, {ALONE} times"
        yield Failure(case_id=left[0].case_id, error=AgentCrashed(reason))


def _in_a_child(
    agent: Agent, work: Sequence[Work], contract: type[Contract]
) -> Iterator[Answer | Failure | int | None]:
    """Yield what a child process says, and its exit code when it died."""
    context = multiprocessing.get_context("fork")  # the agent is ready, and cannot be sent to another interpreter
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_ask, args=(sender, agent, work, contract), daemon=True)
    child.start()
    sender.close()
    said: Answer | Failure | Exception | None
    try:
        while True:
            try:
                said = receiver.recv()
            except EOFError:
                break
            if isinstance(said, Exception):
                raise said
            yield said
    finally:
        receiver.close()
        if child.is_alive():
            child.join(timeout=5)
        if child.is_alive():
            child.kill()
        child.join()
    if child.exitcode:
        yield child.exitcode


def _ask(sender: Connection, agent: Agent, work: Sequence[Work], contract: type[Contract]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        for said in agent.answer(work, contract):
            sender.send(said)
    except Exception as error:
        sender.send(error)
    sender.close()


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
