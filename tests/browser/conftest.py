"""
A real Airflow with the support triage, a small inbox, and a Chromium.

The workflow is the repository's own. Only its labelled examples are cut to a few intents, so that training takes
seconds, and the reply's template writes nothing about a ticket with ``UNWRITTEN`` in its id.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from interlock.domain.policy.company import COMPANY
from interlock.engine.policy.bundle import read_bundle
from interlock.ledger.store.ledger import Ledger
from live_airflow import PROJECT, live_airflow
from triage_airflow import DAG, Triage

INTENTS = ("card_arrival", "exchange_rate", "age_limit", "pin_blocked", "request_refund")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


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
    template = include / DAG / "prompts" / "reply.md.j2"
    written = template.read_text(encoding="utf-8")
    template.write_text("{% if 'UNWRITTEN' not in case.ticket_id %}" + written + "{% endif %}", encoding="utf-8")
    with live_airflow(
        folder / "home",
        settings=PROJECT / "airflow_settings.yaml",
        environment={
            "AIRFLOW__INTERLOCK__INCLUDE_PATH": str(include),
            "AIRFLOW__INTERLOCK__CACHE_PATH": str(folder / "cache"),
        },
    ) as airflow:
        why = {"reason": "a test asks for it"}
        for name in (COMPANY, DAG):
            bundle = read_bundle(include, name).to_json()
            airflow.client.call("POST", "/interlock/api/versions", {"bundle": bundle, **why})
        airflow.client.call("POST", f"/interlock/api/workflows/{DAG}/deployment", {"act": "deploy", **why})
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
            context = browser.new_context(
                base_url=triage.airflow.url, viewport={"width": 1300, "height": 900}, **options
            )
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
