"""
Which form a test takes: the short one of ``make test``, or the long one of ``make chaos`` and ``make live``.

This is the one place that knows. Pytest's option ``--long`` sets the environment variable, so that what a test starts
(pytest's workers, an Airflow's Dags) sees the same.
"""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

VARIABLE = "INTERLOCK_LONG"


def is_long() -> bool:
    """Tell whether tests go on for as long as they have something to find."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")


def by_form(short: T, long: T) -> T:
    """Return *short* or *long*: a number of seeds, of kills, of rows."""
    return long if is_long() else short
