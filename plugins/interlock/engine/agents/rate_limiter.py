"""
Where a task's calls of one connection wait for their turn: its rate, its calls in flight, its breaker, and budgets.

Permits and slots are leased from the ledger in blocks, and what every call asks is memory. The calls run on an event
loop of their own, so the ledger is asked in other threads; :meth:`Throttle.keep` is called by the task now and then.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from interlock.domain.agents.agent_protocol import Hold, Planned
from interlock.domain.agents.rate_limit import Limit, Slots
from interlock.engine.agents.budget_reservation import Purse
from interlock.errors import AgentTimeout, AgentUnavailable, CircuitOpen, InterlockError, RateLimited
from interlock.ledger.agents.rate_limit import (
    Rate,
    Standing,
    claim_probe,
    count_answer,
    count_failures,
    pause,
    renew_permit,
    return_slots,
    standing,
    take_slots,
)
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.transaction import Actor, Transaction

KEEP_SECONDS = 2.0
"""How often what is shared is looked at again."""
PERMIT_LASTS = timedelta(seconds=30)
BLOCK_SECONDS = 1.0
"""How much of a rate is leased at once."""
LOOK_SECONDS = 0.5
Tell = Callable[[Transaction, datetime | None], None]
"""Records that a service went down (None), or that it answers again since it went down at an instant."""


@dataclass
class Throttle:
    """One task's part of what a connection takes."""

    ledger: Ledger
    name: str
    """The connection."""
    holder: str
    """Who holds the permits: the task's attempt."""
    wanted: int
    """Calls in flight that the task could use."""
    limit: Limit = field(default_factory=Limit)
    waits: bool = True
    """Wait while the service counts as down; else the call is refused at once, because somebody else is asked."""
    tell: Tell = lambda tx, since: None
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("interlock"))

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = float("-inf")
        self._allowed = self.wanted if self.limit.in_flight is None else 0
        self._ceiling = float(self.wanted)
        self._flying = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._slowed = float("-inf")
        self._slots: dict[Rate, Slots] = {}
        self._failures = 0
        self._row_is_new = False
        """There was an answer since failures were last counted in the ledger."""
        self._answered = False
        self._pause_until = 0.0
        self._pause_told = 0.0
        self._standing = Standing()
        self._waits_since: float | None = None

    async def enter(self, tokens: int) -> None:
        """
        Wait until a call of at most *tokens* may be made.

        :raises CircuitOpen: the service counts as down, and the task does not wait for it, or no longer.
        """
        while True:
            if time.monotonic() - self._kept > KEEP_SECONDS:
                self._kept = time.monotonic()
                await asyncio.to_thread(self.keep)
                self._wake(len(self._waiting))
            if self._standing.opened_at is not None and not await self._may_probe(self._standing.opened_at):
                await asyncio.sleep(LOOK_SECONDS)
                continue
            waits = max(self._pause_until, _seconds(self._standing.paused_until)) - time.time()
            if waits > 0:
                await asyncio.sleep(min(waits, 1.0))
                continue
            if self._flying < min(self._allowed, max(int(self._ceiling), 1)):
                break
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            with suppress(TimeoutError):
                await asyncio.wait_for(turn, KEEP_SECONDS / 2)
        self._flying += 1
        try:
            begins = await self._slot(tokens)
            while (left := begins - time.time()) > 0:
                await asyncio.sleep(left)
        except BaseException:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Free the place of a call that is not made."""
        self._flying -= 1
        self._wake(1)

    def leave(self, error: InterlockError | None) -> None:
        """Note how a call ended."""
        self.cancel()
        if isinstance(error, RateLimited):
            now = time.monotonic()
            if error.retry_after_seconds:
                self._pause_until = max(self._pause_until, time.time() + error.retry_after_seconds)
            elif now - self._slowed > 1.0:
                self._ceiling, self._slowed = max(self._ceiling / 2, 1.0), now
        elif isinstance(error, (AgentUnavailable, AgentTimeout)):
            self._failures += 1
            self._answered = False
            if self._failures >= self.limit.breaker.failures:
                self._kept = float("-inf")
        else:
            self._failures, self._answered, self._waits_since = 0, True, None
            self._row_is_new = True
            if self._standing.opened_at is not None:
                self._kept = float("-inf")
            self._ceiling = min(self._ceiling + 1.0 / max(self._ceiling, 1.0), float(self.wanted))

    def keep_if_due(self) -> None:
        """Do what :meth:`keep` does, when it was not done for a while."""
        if time.monotonic() - self._kept > KEEP_SECONDS:
            self.keep()

    def keep(self) -> None:
        """Renew the permits, and tell and learn how the service stands. From any thread."""
        with self._lock:
            self._kept = time.monotonic()
            with self.ledger.read() as connection:
                self._standing = standing(connection, self.ledger.environment, self.name)
            shares = self.limit.in_flight is not None
            paused = self._pause_until if self._pause_until > self._pause_told else 0.0
            back = self._answered and self._standing.opened_at is not None
            if not (shares or paused or self._failures or back):
                return
            with self._write() as tx:
                place = (tx, self.ledger.environment, self.name)
                if self.limit.in_flight is not None:
                    self._allowed = renew_permit(
                        *place, self.holder, wanted=self.wanted, limit=self.limit.in_flight, lasts=PERMIT_LASTS
                    )
                if paused:
                    pause(*place, datetime.fromtimestamp(paused, UTC))
                    self._pause_told = paused
                if self._failures:
                    new = self._row_is_new and self._standing.opened_at is None
                    if count_failures(*place, self.limit.breaker, self._failures, after_answer=new):
                        self.tell(tx, None)
                        self.log.warning("connection %r: %d calls in a row failed; it counts as down", *self._down())
                    self._failures, self._row_is_new = 0, False
                elif back:
                    since = count_answer(*place)
                    if since is not None:
                        self.tell(tx, since)
                        self.log.info("connection %r answers again", self.name)
            with self.ledger.read() as connection:
                self._standing = standing(connection, self.ledger.environment, self.name)

    def close(self) -> None:
        """Give back what is left."""
        self.keep()
        if self.limit.in_flight is None and not self._slots:
            return
        with self._write() as tx:
            place = (tx, self.ledger.environment, self.name)
            if self.limit.in_flight is not None:
                renew_permit(*place, self.holder, wanted=0, limit=self.limit.in_flight, lasts=timedelta())
            for rate, slots in self._slots.items():
                return_slots(*place, rate, slots)
        self._slots = {}

    async def _may_probe(self, opened_at: datetime) -> bool:
        self._waits_since = since = self._waits_since or time.monotonic()
        if self.waits and await asyncio.to_thread(self._claim_probe):
            return True
        waited = time.monotonic() - since
        if not self.waits or waited > self.limit.breaker.give_up_after.total_seconds():
            raise CircuitOpen(
                f"connection {self.name!r} is down since {opened_at:%H:%M:%S} UTC and is asked again once one call has "
                "gone through. The cases stand where they were; the task can be tried again"
            )
        return False

    def _claim_probe(self) -> bool:
        with self._lock, self._write() as tx:
            return claim_probe(tx, self.ledger.environment, self.name, self.limit.breaker)

    async def _slot(self, tokens: int) -> float:
        """Return from when a call of so many tokens may be made, in seconds since the epoch."""
        begins = 0.0
        if self.limit.requests_per_minute is not None:
            begins = await self._take("requests_at", 1, self.limit.requests_per_minute)
        if self.limit.tokens_per_minute is not None:
            begins = max(begins, await self._take("tokens_at", tokens, self.limit.tokens_per_minute))
        return begins

    async def _take(self, rate: Rate, units: float, per_minute: float) -> float:
        while True:
            slots = self._slots.get(rate)
            begins = slots.take(units) if slots is not None else None
            if begins is not None:
                return begins
            amount = max(units, per_minute / 60 * BLOCK_SECONDS)
            await asyncio.to_thread(self._lease, rate, slots, amount, 60 / per_minute)

    def _lease(self, rate: Rate, used_up: Slots | None, amount: float, interval: float) -> None:
        with self._lock:
            if self._slots.get(rate) is not used_up:  # another call was faster
                return
            with self._write() as tx:
                place = (tx, self.ledger.environment, self.name)
                if used_up is not None:
                    return_slots(*place, rate, used_up)
                self._slots[rate] = take_slots(*place, rate, amount, interval)

    def _wake(self, number: int) -> None:
        while number and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                number -= 1

    def _down(self) -> tuple[str, int]:
        return self.name, self._failures

    def _write(self) -> AbstractContextManager[Transaction]:
        return self.ledger.write(actor=Actor("task", self.holder), chain=f"connection:{self.name}")


def _seconds(at: datetime | None) -> float:
    return at.timestamp() if at is not None else 0.0


@dataclass(frozen=True)
class TaskTurnstile:
    """The turnstile of a task's calls: first the connection's limits, then the budgets."""

    throttle: Throttle
    purse: Purse
    has_cheaper: bool = False

    async def enter(self, planned: Planned) -> Hold | None:
        """Wait for the call's turn; see :class:`interlock.domain.agents.agent_protocol.Turnstile`."""
        await self.throttle.enter(planned.tokens)
        try:
            # Last: what is set aside must not lie about while a call waits.
            return await self.purse.reserve(planned, has_cheaper=self.has_cheaper)
        except BaseException:
            self.throttle.cancel()
            raise

    def leave(self, planned: Planned, error: InterlockError | None) -> None:
        """Note how a call ended."""
        self.throttle.leave(error)
