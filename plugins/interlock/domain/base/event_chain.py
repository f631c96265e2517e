"""
Events chained by digest: changing, removing, inserting or reordering one breaks the chain from there on.

An event keeps the canonical bytes that were hashed, so verifying needs no knowledge of how they were made. It holds the
digest of the whole row that it is about, so that the state can be compared with the events as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from interlock.domain.base.canonical import digest_bytes

GENESIS = "0" * 64
"""What stands before the first event of every chain."""


class Link(NamedTuple):
    """One event as it is stored. A named tuple, because a ledger has millions of them."""

    chain: str
    number: int
    """From 1, without gaps."""
    body: str
    previous: str
    digest: str


def link_digest(chain: str, number: int, body: str, previous: str) -> str:
    """Return the digest of an event: over its chain, its number, its bytes and the digest before it."""
    return digest_bytes(f"{chain}\n{number}\n{previous}\n{body}".encode())


def verify_links(links: Iterable[Link], *, length: int, head: str) -> list[str]:
    """
    Return what is wrong with the links of one chain, in their order; an empty list means nothing.

    :param length: how many there must be.
    :param head: the digest that the last one must have.
    """
    problems = []
    previous, count, chain = GENESIS, 0, "?"
    for link in links:
        count, chain = count + 1, link.chain
        if link.number != count:
            problems.append(f"chain {chain!r}: event {count} is missing or moved (found number {link.number})")
            count = link.number if isinstance(link.number, int) else count
        elif link.previous != previous:
            problems.append(f"chain {chain!r}: event {link.number} does not follow the one before it")
        if link_digest(link.chain, link.number, link.body, link.previous) != link.digest:
            problems.append(f"chain {chain!r}: event {link.number} was changed")
        previous = link.digest
    if not problems and (count != length or (count and previous != head)):
        problems.append(
            f"chain {chain!r}: its head says {length} events, and {count} are there or the last was changed"
        )
    return problems
