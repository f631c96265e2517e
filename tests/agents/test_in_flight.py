"""Calling something asynchronous for many items."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

from interlock.agents.in_flight import in_flight


def test_a_request_is_on_its_way_before_the_next_call_begins():
    told = []

    async def call(item: int) -> int:
        told.append(("begins", item))
        for _ in range(3):  # what a client does for its turns before it waits for the answer
            await asyncio.sleep(0)
        told.append(("sent", item))
        await asyncio.sleep(0.2)
        return item

    assert sorted(filter(None, in_flight(range(1, 9), call, limit=8, around=nullcontext()))) == list(range(1, 9))
    assert told == [(what, item) for item in range(1, 9) for what in ("begins", "sent")]


def test_calls_that_wait_do_not_hold_up_those_that_begin():
    together, most = 0, 0

    async def call(item: int) -> int:
        nonlocal together, most
        together += 1
        most = max(most, together)
        await asyncio.sleep(0.2)
        together -= 1
        return item

    results = [item for item in in_flight(range(1, 33), call, limit=16, around=nullcontext()) if item is not None]

    assert sorted(results) == list(range(1, 33))
    assert most == 16
