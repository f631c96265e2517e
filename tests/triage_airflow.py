"""
The support triage in a real Airflow, for tests that look at it with a browser.

What was sent is read from the outbox's files and not asked of the pages, so that a page cannot say more than happened.
"""

from __future__ import annotations

import csv
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.ledger.reports.summary import summarize
from interlock.ledger.store.ledger import Ledger
from live_airflow import LiveAirflow

DAG = "support_triage"
SETTLED_SECONDS = 6
"""From parking to an answer: Airflow 3.3 may fail a task that is answered sooner."""


@dataclass(frozen=True)
class Triage:
    """The Airflow, the ledger that it writes, and how to start a run."""

    airflow: LiveAirflow
    ledger: Ledger
    folder: Path

    def parked_run(self, name: str, tickets: list[dict[str, str]]) -> str:
        """Start a run on *tickets*, return its id when it waits for people and may be answered."""
        inbox = self.folder / f"{name}.csv"
        fields = ["ticket_id", "text", "tier", "priority", "language", "channel", "account_id"]
        with inbox.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fields)
            writer.writeheader()
            writer.writerows(tickets)
        run = self.airflow.trigger(DAG, {"source": str(inbox)}, run_id=name)
        assert self.airflow.wait_until_parked(DAG, run) == ["sign_off"]
        time.sleep(SETTLED_SECONDS)
        return run

    def summary(self, run: str) -> dict[str, Any]:
        """Return the run's figures."""
        return summarize(self.ledger, run, workflow=DAG)

    def sent(self) -> dict[str, dict[str, Any]]:
        """Return the payloads in the outbox by the ticket that their text names."""
        found = {}
        for path in (self.airflow.home / "outbox").glob("*.json"):
            payload = json.loads(path.read_text(encoding="utf-8"))["payload"]
            found[payload["subject"].rsplit("case ", 1)[-1].rstrip(")")] = payload
        return found


def a_ticket(key: str, text: str, **changes: str) -> dict[str, str]:
    """Return a row of an inbox; what is not said is usual."""
    usual = {"tier": "standard", "priority": "normal", "language": "en", "channel": "email", "account_id": "AC-1"}
    return {"ticket_id": key, "text": text, **usual, **changes}
