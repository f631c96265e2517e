"""
Airflow connections become models and connectors, each in a process with an Airflow home of its own.

The process has no metadata database and no supervisor: ``AIRFLOW_CONN_<ID>`` is all there is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers.effect_target import EffectTarget
from servers.openai_like import OpenAILike, error, ok

ROOT = Path(__file__).parents[2]

ASK = """
import json, sys
from typing import Literal
from interlock.agents.model import TextModelAgent
from interlock.domain.agents.agent import ModelAgent
from interlock.domain.contract import Contract
from interlock.domain.agents.agent_protocol import Work
from interlock.hooks.model import resolve_model

class Label(Contract):
    label: Literal["billing", "technical"]

class Files:
    def text(self, path): return "{{ case.text }}"
    def data(self, path): raise LookupError
    def data_digest(self, path): raise LookupError

agent = TextModelAgent("sorter", ModelAgent(kind="model", conn_id="llm", prompt="p.j2"), Files(), resolve_model)
works = [Work(case_id=str(n), case={"text": t}) for n, t in enumerate(["good", "bad"])]
for result in sorted(filter(None, agent.answer(works, Label)), key=lambda result: result.case_id):
    said = type(result.error).__name__ if hasattr(result, "error") else dict(result.payload)
    print(json.dumps([result.case_id, said, result.usage[0].model]))
"""

FAIL = """
import json, sys
from interlock.domain.effects.connector import OutboxConnector
from interlock.errors import ConfigurationError
from interlock.hooks.model import resolve_model
from interlock.hooks.connector import open_connector_from_airflow

def missing_outbox():
    open_connector_from_airflow("box", OutboxConnector(kind="outbox", conn_id="nowhere"))

tries = {
    "missing": lambda: resolve_model("nowhere"),
    "type": lambda: resolve_model("files"),
    "provider": lambda: resolve_model("llm", "openi:gpt-4o"),
    "bare": lambda: resolve_model("llm", "gpt-4o"),
    "none": lambda: resolve_model("nameless"),
    "package": lambda: resolve_model("llm", "anthropic:claude-sonnet-4-5"),
    "outbox": missing_outbox,
}
said = {}
for name, attempt in tries.items():
    try:
        attempt()
    except ConfigurationError as error:
        said[name] = str(error)
print(json.dumps(said))
"""

SEND = """
from interlock.domain.effects.connector import EffectRequest, parse_ecosystem
from interlock.hooks.connector import open_connector_from_airflow

declared = parse_ecosystem({"connectors": {
    "crm": {"kind": "http", "conn_id": "crm", "path": "/effects", "look_path": "/effects/{key}"},
    "box": {"kind": "outbox", "conn_id": "files"},
}})
effect = EffectRequest(key="k1", business_key="T-1", action="reply", payload={"a": 1}, environment="test")
for name, declaration in declared.items():
    connector = open_connector_from_airflow(name, declaration)
    print(connector.send(effect).reference)
    connector.close()
"""


def run(script: str, home: Path, **connections: dict) -> list[str]:
    """Run *script* with *connections* in the environment and return the lines that it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "OPENAI"))}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=kept
        | {"AIRFLOW_HOME": str(home), "PYTHONPATH": str(ROOT / "plugins"), "AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
        | {f"AIRFLOW_CONN_{name.upper()}": json.dumps(fields) for name, fields in connections.items()},
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line and not line.startswith("20")]


def a_model(base_url: str, model: str | None = "openai-chat:gpt-4o-mini") -> dict:
    return {
        "conn_type": "pydanticai",
        "host": base_url,
        "password": "a-secret-key",
        "extra": {"model": model} if model else {},
    }


@pytest.fixture(scope="module")
def refusals(tmp_path_factory) -> dict[str, str]:
    llm = a_model("http://127.0.0.1:9/v1")
    [line] = run(
        FAIL,
        tmp_path_factory.mktemp("airflow"),
        llm=llm,
        nameless=a_model("http://127.0.0.1:9/v1", None),
        files={"conn_type": "fs", "extra": {"path": "/tmp"}},
    )
    return json.loads(line)


def test_a_connection_of_common_ai_answers_a_case_with_one_request_each(tmp_path):
    """A client that retries by itself would send the failing one three times."""
    with OpenAILike() as server:
        server.when("good", ok({"label": "billing"}))
        server.when("bad", error(500))

        lines = run(ASK, tmp_path, llm=a_model(server.base_url))

        assert [json.loads(line) for line in lines] == [
            ["0", {"label": "billing"}, "gpt-4o-mini"],
            ["1", "AgentUnavailable", "gpt-4o-mini"],
        ]
        assert server.total == 2
        assert set(server.authorizations) == {"Bearer a-secret-key"}


def test_a_missing_connection_says_how_to_add_it(refusals):
    assert "there is no connection 'nowhere'" in refusals["missing"]
    assert "airflow connections add nowhere --conn-type pydanticai" in refusals["missing"]
    assert "connector 'box' needs it" in refusals["outbox"]
    assert "airflow connections add nowhere --conn-type generic" in refusals["outbox"]


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("type", "'fs'"),
        ("provider", "'openi' is not a provider"),
        ("bare", "bare model name 'gpt-4o'"),
        ("none", "No model specified"),
        ("package", "anthropic"),
    ],
)
def test_a_connection_that_gives_no_model_says_why(refusals, case, said):
    assert said in refusals[case]


def test_connections_open_the_connectors_of_the_ecosystem(tmp_path):
    with EffectTarget() as target:
        lines = run(
            SEND,
            tmp_path,
            crm={"conn_type": "http", "host": target.base_url, "password": "a-secret-token"},
            files={"conn_type": "fs", "extra": {"path": str(tmp_path / "box")}},
        )

        assert lines == ["effect-k1", "k1.json"]
        assert target.stored[0].headers["Authorization"] == "Bearer a-secret-token"
        assert (tmp_path / "box" / "k1.json").is_file()
