"""
Make ``inbox.csv``: a sample of Banking77's test messages, dressed up as a help desk's inbox.

Only ``text`` and ``intent`` are real data. All other columns are invented, with these shares of the rows, independent
of each other and of the text:

- ``tier``: 1.5% private, 12% premium, the rest standard
- ``priority``: 1.5% urgent, 10% high, 8% low, the rest normal
- ``language``: 1.5% one of de, fr, es, the rest en. The text stays English: the column says what the customer prefers
- ``channel``: 45% email, 30% app, 20% chat, 5% phone
- ``account_id``: missing in 1%
- ``received_at``: spread evenly over the week from 2 March 2026; tickets are numbered in that order

The shares are met exactly, up to rounding, so that a small inbox has all of them. The sample is a simple random one, so
that the error measured on it is that of the whole file. The shipped inbox was drawn from 1,000 of the 3,080 rows of the
published ``test.csv``; the whole file with the same seed gives another sample.

Usage: ``python make_inbox.py --banking77 FOLDER`` with the folder that holds ``test.csv`` (columns text, category).
"""

from __future__ import annotations

import argparse
import csv
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

COLUMNS = [
    "ticket_id",
    "text",
    "tier",
    "priority",
    "language",
    "channel",
    "received_at",
    "account_id",
    "intent",
]
WEEK_START = datetime(2026, 3, 2, tzinfo=UTC)

SHARES: dict[str, tuple[str, dict[str, float]]] = {
    "tier": ("standard", {"private": 0.015, "premium": 0.12}),
    "priority": ("normal", {"urgent": 0.015, "high": 0.10, "low": 0.08}),
    "language": ("en", {"de": 0.006, "fr": 0.005, "es": 0.004}),
    "channel": ("email", {"app": 0.30, "chat": 0.20, "phone": 0.05}),
}
"""Column to its usual value, and the shares of the others."""
MISSING_ACCOUNT_SHARE = 0.01


def shuffled(rng: random.Random, count: int) -> list[int]:
    """Return 0 … *count* - 1 in random order. Of a seeded generator only ``random()`` is the same in every Python."""
    keys = [rng.random() for _ in range(count)]
    return sorted(range(count), key=keys.__getitem__)


def spread(rng: random.Random, count: int, usual: str, shares: dict[str, float]) -> list[str]:
    """Return *count* values, of which each of *shares* takes exactly its share (rounded) and *usual* the rest."""
    values = [usual] * count
    order = iter(shuffled(rng, count))
    for value, share in shares.items():
        for _ in range(round(share * count)):
            values[next(order)] = value
    return values


def make_inbox(messages: list[dict[str, str]], *, rows: int, seed: int) -> list[dict[str, str]]:
    """
    Return *rows* tickets made of *messages* (``text`` and ``category``).

    :raises ValueError: there are fewer messages than rows.
    """
    if not 0 < rows <= len(messages):
        raise ValueError(f"{rows} rows were asked for and there are {len(messages)} messages; ask for 1 to that many")
    rng = random.Random(seed)
    picked = [messages[index] for index in shuffled(rng, len(messages))[:rows]]
    columns = {name: spread(rng, rows, usual, shares) for name, (usual, shares) in SHARES.items()}
    has_account = spread(rng, rows, "yes", {"no": MISSING_ACCOUNT_SHARE})
    account_numbers = shuffled(rng, 90_000)
    minutes = sorted(int(rng.random() * 7 * 24 * 60) for _ in range(rows))
    return [
        {
            "ticket_id": f"T-{index + 1:06d}",
            "text": message["text"],
            **{name: values[index] for name, values in columns.items()},
            "received_at": (WEEK_START + timedelta(minutes=minutes[index])).isoformat(),
            "account_id": f"AC-{account_numbers[index] + 10_000}" if has_account[index] == "yes" else "",
            "intent": message["category"],
        }
        for index, message in enumerate(picked)
    ]


def main() -> None:
    """Read the arguments, write the file, say how many rows it has."""
    parser = argparse.ArgumentParser(description="Make inbox.csv from Banking77's test messages.")
    parser.add_argument("--banking77", type=Path, required=True, metavar="FOLDER", help="the folder with test.csv")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("inbox.csv"))
    arguments = parser.parse_args()
    source = arguments.banking77 / "test.csv"
    if not source.is_file():
        parser.error(f"there is no {str(source)!r}; give the folder that holds Banking77's test.csv")
    with source.open(encoding="utf-8", newline="") as file:
        messages = list(csv.DictReader(file))
    try:
        tickets = make_inbox(messages, rows=arguments.rows, seed=arguments.seed)
    except ValueError as error:
        parser.error(str(error))
    with arguments.output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(tickets)
    print(f"{len(tickets)} tickets written to {arguments.output}")


if __name__ == "__main__":
    main()
