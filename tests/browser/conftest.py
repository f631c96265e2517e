"""
A real Airflow with the support triage, a small inbox, and a Chromium.

The workflow is the repository's own; only its labelled examples are cut to a few intents, so that training takes seconds.
"""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from interlock.engine.bundle import read_bundle
from interlock.ledger.book import Ledger
from interlock.ledger.summary import summarize
from live_airflow import PROJECT, LiveAirflow, live_airflow

DAG = "support_triage"
INTENTS = ("card_arrival", "exchange_rate", "age_limit", "pin_blocked", "request_refund")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
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
        assert self.airflow.wait_until_parked(DAG, run, timeout_seconds=300) == ["sign_off"]
        time.sleep(SETTLED_SECONDS)
        return run

    def summary(self, run: str) -> dict[str, Any]:
        """Return the run's figures."""
        return summarize(self.ledger, run, workflow=DAG)

    def sent(self) -> dict[str, dict[str, Any]]:
        """Return the payloads in the outbox by the ticket that their text names."""
        import json

        found = {}
        for path in (self.airflow.home / "outbox").glob("*.json"):
            payload = json.loads(path.read_text(encoding="utf-8"))["payload"]
            found[payload["subject"].rsplit("case ", 1)[-1].rstrip(")")] = payload
        return found


def a_ticket(key: str, text: str, **changes: str) -> dict[str, str]:
    """Return a row of an inbox; what is not said is usual."""
    usual = {"tier": "standard", "priority": "normal", "language": "en", "channel": "email", "account_id": "AC-1"}
    return {"ticket_id": key, "text": text, **usual, **changes}


@pytest.fixture(scope="package")
def chromium() -> str:
    """The path of a Chromium; "" is playwright's own."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        if Path(playwright.chromium.executable_path).exists():
            return ""
    pytest.skip(f"there is no Chromium: none of {', '.join(BROWSERS)} is on the PATH, and playwright has none")


@pytest.fixture(scope="package")
def triage(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triage]:
    """The support triage in an Airflow of its own, published and ready to run."""
    folder = tmp_path_factory.mktemp("triage")
    include = folder / "include"
    shutil.copytree(PROJECT / "include", include, ignore=shutil.ignore_patterns("__pycache__", "inbox.csv", "docs"))
    _keep_intents(include / DAG / "data" / "train.csv")
    with live_airflow(
        folder / "home",
        settings=PROJECT / "airflow_settings.yaml",
        environment={
            "AIRFLOW__INTERLOCK__INCLUDE_PATH": str(include),
            "AIRFLOW__INTERLOCK__CACHE_PATH": str(folder / "cache"),
        },
    ) as airflow:
        bundle = read_bundle(include, DAG).to_json()
        airflow.client.call("POST", "/interlock/api/versions", {"bundle": bundle, "reason": "a test asks for it"})
        url = (airflow.home / "ledger_url").read_text(encoding="utf-8").strip()
        yield Triage(airflow, Ledger.open(url, "test"), folder)


def _keep_intents(path: Path) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        kept = [row for row in csv.DictReader(file) if row["label"] in INTENTS]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(kept)


@pytest.fixture
def open_page(chromium: str, triage: Triage) -> Iterator[Callable[..., Any]]:
    """Return a page of Airflow on which a person has logged in."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium or None, headless=True, args=ARGUMENTS)

        def _open(person: str, **options: Any) -> Any:
            context = browser.new_context(base_url=triage.airflow.url, viewport={"width": 1300, "height": 900}, **options)
            context.set_default_timeout(30_000)
            page = context.new_page()
            page.goto("/auth/login")
            page.fill("input[name=username]", person)
            page.fill("input[name=password]", person)
            page.click("button[type=submit]")
            page.wait_for_url(lambda address: "login" not in address)
            page.get_by_role("link", name="Home").first.wait_for()
            return page

        yield _open
        browser.close()
