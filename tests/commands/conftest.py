"""A terminal with a small workflow behind it."""

from __future__ import annotations

import pytest
from shop import Shop, weeks
from terminal import Terminal, ledger_behind


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    """``terminal("kpi refunds")``."""
    return Terminal(capsys)


@pytest.fixture
def shop(tmp_path, sqlite_ledger, monkeypatch) -> Shop:
    """Eight weeks of two vendors."""
    made = Shop(tmp_path, sqlite_ledger, weeks(*({"Ada": 10 + week, "Bo": 5} for week in range(8))))
    ledger_behind(monkeypatch, sqlite_ledger, tmp_path, include=made.include)
    return made
