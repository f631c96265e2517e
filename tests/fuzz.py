"""How many inputs the tests that look for raw errors try: a few in the suite, many with ``INTERLOCK_FUZZ=100``."""

from __future__ import annotations

import os

FACTOR = int(os.environ.get("INTERLOCK_FUZZ", "1"))


def inputs(number: int) -> int:
    """Return how many inputs a test tries that tries *number* in the suite."""
    return number * FACTOR
