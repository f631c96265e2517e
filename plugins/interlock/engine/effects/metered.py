"""A connector whose calls are counted and timed, so that they can be recorded with what they were made for."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from interlock.domain.effects.connector import Connector, EffectRequest, Receipt
from interlock.ledger.cost.usage_row import Call

T = TypeVar("T")


class MeteredConnector:
    """
    Makes each call of *connector*, and keeps it until :meth:`take`. Several threads may use it, each with its effect.

    :param conn_id: the Airflow connection that it goes through.
    """

    def __init__(self, connector: Connector, *, conn_id: str | None = None) -> None:
        self.connector, self.conn_id = connector, conn_id
        self.name, self.timeout_seconds = connector.name, connector.timeout_seconds
        self.in_flight: int = getattr(connector, "in_flight", 1)  # one that does not say is asked by one thread
        self._calls: deque[tuple[str, Call]] = deque()
        self._made: Counter[tuple[str, str]] = Counter()

    def look(self, request: EffectRequest) -> Receipt | None:
        """Ask whether the effect has taken place."""
        return self._timed("look", request, self.connector.look)

    def send(self, request: EffectRequest) -> Receipt:
        """Make it take place."""
        return self._timed("send", request, self.connector.send)

    def undo(self, request: EffectRequest) -> Receipt:
        """Undo it."""
        return self._timed("undo", request, self.connector.undo)

    def close(self) -> None:
        """Let go of connections."""
        self.connector.close()

    def take(self, case_of: Mapping[str, str]) -> list[Call]:
        """Return the calls since the last time; *case_of*: case id by the effect's key."""
        taken = []
        while self._calls:  # one by one: another thread may add to it at this moment
            key, call = self._calls.popleft()
            taken.append(replace(call, case_id=case_of.get(key)))
        return taken

    def _timed(self, what: str, request: EffectRequest, make: Callable[[EffectRequest], T]) -> T:
        began, outcome = time.perf_counter(), "ok"
        self._made[what, request.key] += 1
        try:
            return make(request)
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            call = Call(
                case_id=None,
                connector=self.name,
                connection=self.conn_id,
                what=what,
                attempt=self._made[what, request.key],
                seconds=time.perf_counter() - began,
                outcome=outcome,
            )
            self._calls.append((request.key, call))
