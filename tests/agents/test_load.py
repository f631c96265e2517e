from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from interlock.agents.load import load_agent
from interlock.domain.agents.agent import parse_agents
from interlock.errors import ConfigurationError

AGENTS = """
sorter:   {kind: classifier, examples: train.csv, label_field: topic}
finder:   {kind: retrieval, documents: passages.yaml, query: "{{ case.text }}"}
writer:   {kind: template, fields: {body: "Dear {{ case.name }}"}}
adder:    {kind: function, function: "no_such_module:f"}
thinker:  {kind: model, conn_id: llm, model: "openai:gpt", prompt: prompt.j2}
"""


class Folder:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "train.csv").write_text("text,label\n")
        (root / "passages.yaml").write_text("[]")
        (root / "prompt.j2").write_text("{{ case.text }}")

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def data(self, path: str) -> Path:
        return self.root / path

    def data_digest(self, path: str) -> str:
        return hashlib.sha256((self.root / path).read_bytes()).hexdigest()


def a_declaration(name: str):
    return parse_agents(yaml.safe_load(AGENTS))[name]


def unused(conn_id: str, model: str | None):
    raise AssertionError("asked for a model before it was needed")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sorter", "classifier"),
        ("finder", "retrieval"),
        ("writer", "template"),
        ("adder", "function"),
        ("thinker", "model"),
    ],
)
def test_each_kind_becomes_an_agent_that_knows_its_digest_before_it_works(tmp_path, name, kind):
    agent = load_agent(name, a_declaration(name), Folder(tmp_path), cache=tmp_path / "cache", resolve_model=unused)

    assert (agent.name, agent.kind) == (name, kind)
    assert len(agent.digest) == 64
    assert not (tmp_path / "cache").exists()


def test_a_model_without_a_way_to_connections_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigurationError, match="agent 'thinker' asks a model by connection 'llm'"):
        load_agent("thinker", a_declaration("thinker"), Folder(tmp_path), cache=tmp_path)


def test_a_workflow_pays_for_no_library_that_its_agents_do_not_use(tmp_path):
    code = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[2] / "plugins")]!r}
import interlock.agents.load
print(sorted({{"sklearn", "pandas", "jinja2", "pydantic_ai", "numpy", "yaml", "httpx"}} & set(sys.modules)))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"
