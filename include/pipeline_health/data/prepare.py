"""
Makes ``leads.parquet`` of UCI's bank-full.csv: ``python prepare.py bank-full.csv``.

The file has a day and a month and no year, but its rows are in time order, from May 2008 to November 2010: a month that
is earlier than the row before it begins a new year. That nothing in the file contradicts this is checked.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
FIRST_YEAR, LAST = 2008, (2010, 11)
ATTEMPTS = {1: "first contact", 2: "second contact", 3: "third contact"}
HISTORIES = {
    "success": "subscribed last time",
    "failure": "refused last time",
    "other": "other result last time",
    "unknown": "no result last time",
}
KEPT = [
    *("lead", "contacted_on", "age", "job", "marital", "education", "credit_default", "balance", "housing", "loan"),
    *("channel", "campaign", "attempt", "pdays", "previous", "history", "subscribed"),
]


def dated(rows: pandas.DataFrame) -> pandas.Series:
    """
    Return the day of each row.

    :raises ValueError: the rows are in no order that gives each of them a year.
    """
    month = rows["month"].map(MONTHS.index) + 1
    year = FIRST_YEAR + (month.diff() < 0).cumsum()
    days = pandas.to_datetime(pandas.DataFrame({"year": year, "month": month, "day": rows["day"]}))
    if not days.is_monotonic_increasing or (days.iloc[-1].year, days.iloc[-1].month) != LAST:
        raise ValueError("the rows are not in time order from May 2008 to November 2010")
    return days.dt.date


def main(source: Path, target: Path) -> None:
    """Write ``leads.parquet`` to *target*."""
    rows = pandas.read_csv(source)
    rows["contacted_on"] = dated(rows)
    rows["lead"] = range(1, len(rows) + 1)
    rows["attempt"] = rows["campaign"].map(ATTEMPTS).fillna("later contact")
    rows["history"] = rows["poutcome"].map(HISTORIES)
    rows["subscribed"] = rows["y"] == "yes"
    rows = rows.rename(columns={"default": "credit_default", "contact": "channel"})
    rows[KEPT].to_parquet(target / "leads.parquet", index=False, compression="zstd")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent)
