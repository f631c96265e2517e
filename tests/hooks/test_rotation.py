"""
A rotated secret counts from the next lookup on: one process, without a restart, against servers that check the key.

The process runs in an Airflow home of its own. It takes keys from its standard input, puts each into
``AIRFLOW_CONN_<ID>`` of its own environment, and says what the server made of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from servers.effect_target import EffectTarget, Stored, refuse
from servers.openai_like import OpenAILike, error

ROOT = Path(__file__).parents[2]

LOOP = """
import json, os, sys
from interlock.errors import InterlockError
for line in sys.stdin:
    os.environ["AIRFLOW_CONN_PARTNER"] = line
    try:
        said = work()
    except InterlockError as error:
        said = type(error).__name__
    print("said", said, flush=True)
"""

MODEL = """
from typing import Literal
from interlock.agents.model import TextModelAgent
from interlock.domain.agents.agent import ModelAgent
from interlock.domain.contract import Contract
from interlock.domain.agents.agent_protocol import Failure, Work
from interlock.hooks.model import resolve_model

class Label(Contract):
    label: Literal["billing", "technical"]

class Files:
    def text(self, path): return "{{ case.text }}"

def work():
    declared = ModelAgent(kind="model", conn_id="partner", prompt="p.j2")
    agent = TextModelAgent("sorter", declared, Files(), resolve_model)
    [answer] = filter(None, agent.answer([Work(case_id="1", case={"text": "good"})], Label))
    if isinstance(answer, Failure):
        raise answer.error
    return "carried out"
"""

CONNECTOR = """
import uuid
from interlock.domain.effects.connector import EffectRequest, HttpConnector
from interlock.hooks.connector import open_connector_from_airflow

declared = HttpConnector(kind="http", conn_id="partner", path="/effects", look_path="/effects/{key}")

def work():
    connector = open_connector_from_airflow("crm", declared)
    try:
        connector.send(EffectRequest(
            key=uuid.uuid4().hex, business_key="T-1", action="reply", payload={"a": 1}, environment="test"
        ))
    finally:
        connector.close()
    return "carried out"
"""


class GuardedModel(OpenAILike):
    """Answers who has the key."""

    key = "the-old-key"

    def __init__(self) -> None:
        super().__init__({"label": "billing"})

    def _take(self, body: Any, authorization: str | None) -> Any:
        step = super()._take(body, authorization)
        return step if authorization == f"Bearer {self.key}" else error(401, "invalid_api_key")


class GuardedTarget(EffectTarget):
    """Stores effects of who has the key."""

    key = "the-old-key"

    def _take(self, effect: Stored) -> Any:
        known = effect.headers.get("Authorization") == f"Bearer {self.key}"
        return super()._take(effect) if known else refuse(401, {"message": "unknown key"})


@contextmanager
def process(script: str, home: Path) -> Iterator[subprocess.Popen[str]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "OPENAI"))}
    with (
        (home / "stderr").open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", script + LOOP],
            env=kept
            | {
                "AIRFLOW_HOME": str(home),
                "PYTHONPATH": str(ROOT / "plugins"),
                "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=home,
        ) as running,
    ):
        try:
            yield running
        finally:
            running.kill()


def told(lines: IO[str]) -> str:
    """Return what the process says next; Airflow writes its own lines in between."""
    return next((line.removeprefix("said ").strip() for line in lines if line.startswith("said ")), "nothing")


@pytest.mark.parametrize(
    ("script", "opened", "connection"),
    [
        (
            MODEL,
            GuardedModel,
            '{"conn_type": "pydanticai", "host": "%s", "password": "%s", '
            '"extra": {"model": "openai-chat:gpt-4o-mini"}}',
        ),
        (CONNECTOR, GuardedTarget, '{"conn_type": "http", "host": "%s", "password": "%s"}'),
    ],
    ids=["model", "connector"],
)
def test_a_rotated_secret_takes_effect_without_a_restart(tmp_path: Path, script: str, opened: Any, connection: str):
    with opened() as server, process(script, tmp_path) as running:

        def work_with(key: str) -> str:
            print(connection % (server.base_url, key), file=running.stdin, flush=True)
            return told(running.stdout)

        assert work_with("the-old-key") == "carried out", (tmp_path / "stderr").read_text()
        server.key = "the-new-key"
        assert work_with("the-old-key") != "carried out"
        assert work_with("the-new-key") == "carried out"
        assert "the-new-key" not in (tmp_path / "stderr").read_text()
