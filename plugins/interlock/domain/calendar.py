"""
The hours in which people work, as written in ``company/calendar.yaml``, and time counted in them.

A length of business time is ``4h`` (hours in which somebody works) or ``2d`` (working days); ``2 business days`` is the
same as ``2d``. Without a calendar every hour of every day counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

_PARTS = re.compile(r"(\d+)\s*(m|h|d|minutes?|hours?|(?:business |working )?days?)\b", re.IGNORECASE)


@dataclass(frozen=True)
class BusinessTime:
    """A length of time in which people work."""

    days: int = 0
    """Working days."""
    time: timedelta = timedelta(0)
    """Working hours on top of them."""

    def __str__(self) -> str:
        minutes = int(self.time.total_seconds()) // 60
        parts = [(self.days, "d"), (minutes // 60, "h"), (minutes % 60, "m")]
        return "".join(f"{number}{unit}" for number, unit in parts if number) or "0m"


def parse_business_time(value: Any) -> BusinessTime:
    """
    Return *value* as a length of business time.

    :raises ValueError: it is no such text.
    """
    if isinstance(value, BusinessTime):
        return value
    text = str(value).strip()
    if not text or _PARTS.sub("", text).strip():
        raise ValueError(f"{text!r} is not a length of business time; write 30m, 4h, 2d or '2 business days'")
    days, time = 0, timedelta(0)
    for number, unit in _PARTS.findall(text):
        if unit[0].lower() == "m":
            time += timedelta(minutes=int(number))
        elif unit[0].lower() == "h":
            time += timedelta(hours=int(number))
        else:
            days += int(number)
    return BusinessTime(days, time)


BusinessDuration = Annotated[BusinessTime, BeforeValidator(parse_business_time)]
"""A field of YAML that is a length of business time."""
