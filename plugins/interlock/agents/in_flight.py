"""
Call something asynchronous for many items, a fixed number at once, from ordinary code.

The event loop runs in a thread of its own: in the caller's thread it would stand still whenever the caller works on a
result, and calls would time out with their answers already received. What the caller has not read yet is bounded
too, so that a slow ledger slows the calls down instead of leaving paid answers in memory.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
HEAD_START = 6
"""Turns of the event loop that a call has before the next one begins: enough for its request to be on its way."""


class _Ended(Exception):
    """There are no more results."""


def in_flight(
    items: Sequence[Item],
    call: Callable[[Item], Awaitable[Result]],
    *,
    limit: int,
    around: AbstractAsyncContextManager[Any],
    patience: float = 0.5,
) -> Iterator[Result | None]:
    """
    Yield ``await call(item)`` for each of *items* in order of completion, with at most *limit* calls at once.

    None is yielded whenever no result came for *patience* seconds.

    *around* is entered on the event loop before the first call and left after the last one. An exception of a call
    cancels the others and is raised here, after the results that were ready before it. Closing the iterator early
    cancels what is in flight.
    """
    if items:
        calls = _Calls(items, call, limit, around)
        try:
            while True:
                result = calls.next(patience)
                yield None if result is None else result[0]
        except _Ended:
            return
        finally:
            calls.stop()


class _Calls(Generic[Item, Result]):
    """The thread, its loop, and the queue between it and the caller."""

    def __init__(
        self,
        items: Sequence[Item],
        call: Callable[[Item], Awaitable[Result]],
        limit: int,
        around: AbstractAsyncContextManager[Any],
    ) -> None:
        self._getting: Future[tuple[Result] | BaseException] | None = None
        self._pending = iter(items)
        self._call = call
        self._workers = min(limit, len(items))
        self._around = around
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=lambda: context.run(self._run, started), name="interlock-calls", daemon=True
        )
        self._thread.start()
        self._loop, self._main = started.result()

    def next(self, patience: float) -> tuple[Result] | None:
        """Return the next result, or None when there is none for *patience* seconds; :class:`_Ended` after the last."""
        if self._getting is None:
            self._getting = asyncio.run_coroutine_threadsafe(self._results.get(), self._loop)
        try:
            result = self._getting.result(patience)
        except FutureTimeout:
            if self._getting.done():  # the timeout is what a call raised
                raise
            return None
        self._getting = None
        if isinstance(result, BaseException):
            raise result
        return result

    def stop(self) -> None:
        """Cancel what is in flight and wait until the thread has let go of its connections."""
        if self._thread.is_alive() and not self._loop.is_closed():
            with suppress(RuntimeError):  # the loop closed by itself between the two lines
                self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join()

    def _run(self, started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]]) -> None:
        async def main() -> None:
            self._results: asyncio.Queue[tuple[Result] | BaseException] = asyncio.Queue(self._workers)
            self._starting = asyncio.Semaphore(1)
            task = asyncio.current_task()
            assert task is not None
            started.set_result((asyncio.get_running_loop(), task))
            try:
                await self._work_off()
            except Exception as error:
                await self._results.put(_first(error))
            else:
                await self._results.put(_Ended())
            # The loop stays until the caller has seen the end: it is what hands results over.
            await asyncio.get_running_loop().create_future()

        with suppress(asyncio.CancelledError):
            asyncio.run(main())

    async def _work_off(self) -> None:
        async with self._around, asyncio.TaskGroup() as workers:
            for _ in range(self._workers):
                workers.create_task(self._worker())

    async def _worker(self) -> None:
        for item in self._pending:
            await self._starting.acquire()
            self._let_next_start(HEAD_START)
            await self._results.put((await self._call(item),))

    def _let_next_start(self, turns: int) -> None:
        """
        Let the next call begin after so many turns of the loop.

        Calls that begin together advance together, a step of each at a time, and the first request leaves hardly before
        the last. Their answers then arrive together, too, and so it goes on: each call takes as long as all of them.
        """
        if turns:
            asyncio.get_running_loop().call_soon(self._let_next_start, turns - 1)
        else:
            self._starting.release()


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
