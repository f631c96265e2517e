"""The ledger as a route gets it: opened once for each connection and environment, and shared by requests."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Annotated

from fastapi import Depends

from interlock.hooks.ledger import LedgerHook
from interlock.hooks.seal import sealer
from interlock.hooks.setting import environment
from interlock.ledger.store.ledger import Ledger


def open_ledger() -> Ledger:
    """Return the ledger; every request reads the connection again, so a changed one counts at once."""
    return replace(_ledger_at(LedgerHook().url(), environment()), seal=sealer())


@lru_cache(maxsize=4)
def _ledger_at(url: str, environment: str) -> Ledger:
    # A PostgreSQL engine has a pool: one for each request would leave its connections behind.
    return Ledger.open(url, environment)


OpenLedger = Annotated[Ledger, Depends(open_ledger)]
