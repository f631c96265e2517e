"""Interlock's own cases and calls as a dataset: what ``ledger://cases`` and ``ledger://usage`` give."""

from __future__ import annotations

from collections.abc import Iterator

from interlock.domain.data.source import SourceRow
from interlock.errors import UnknownName
from interlock.ledger.reports.ledger_dataset import EXTRACTS
from interlock.ledger.store.ledger import Ledger


def own_rows(ledger: Ledger, source: str) -> Iterator[SourceRow]:
    """
    Yield the rows of *source*, of the ledger's environment.

    :raises UnknownName: the ledger has no such rows.
    """
    name = source.removeprefix("ledger://")
    if name not in EXTRACTS:
        raise UnknownName("rows", name, EXTRACTS, where="ledger://")
    with ledger.read() as connection:
        for number, row in enumerate(EXTRACTS[name](connection, ledger.environment, ledger.clock()), start=1):
            yield SourceRow(number=number, values=dict(row))
