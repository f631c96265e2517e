from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interlock.domain.base.strict_yaml import load_yaml
from interlock.domain.policy.version import Bundle
from interlock.domain.routing.routing import Router
from interlock.errors import ConfigurationError, PolicyError, UnknownName
from workflows import AGENTS, POLICY, WORKFLOW


def bundle(**files: str) -> Bundle:
    texts = {"policy.yaml": POLICY, "agents.yaml": AGENTS, "workflow.yaml": WORKFLOW}
    return Bundle("refunds", texts | {name.replace("__", "/") + ".yaml": text for name, text in files.items()})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a:\n\t- b: 1", r"f.yaml, line 2, column 1: .*use blanks, not tabs"),
        ("a: 1\nb: 2\na: 3", "f.yaml, line 3, column 1: key 'a' is written twice"),
        ("a:\n  b: 1\n  b: 2", "f.yaml, line 3, column 3: key 'b' is written twice"),
        ("a: [1, 2", "f.yaml, line 1, column 9: expected"),
        ("a: b: c", "f.yaml, line 1, column 5: mapping values are not allowed here"),
        ("? [1]\n: 2", "f.yaml, line 1, column 3: a key must be one word or number"),
        ("a: !!python/object:os.system x", "f.yaml, line 1, column 4: could not determine a constructor"),
        ("a: \x00", "f.yaml: unacceptable character #x0000"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(text: str, told: str):
    with pytest.raises(ConfigurationError, match=told):
        load_yaml(text, where="f.yaml")


def test_a_mapping_can_be_written_once_and_taken_over():
    assert load_yaml("a: &base {x: 1, y: 2}\nb:\n  <<: *base\n  y: 3\n", where="f.yaml")["b"] == {"x": 1, "y": 3}


names = st.text("abc/.", min_size=1, max_size=8)


@given(st.dictionaries(names, st.text()), st.dictionaries(names, names))
def test_a_bundles_digest_is_that_of_its_content_whatever_the_order(files: dict[str, str], data: dict[str, str]):
    one = Bundle("w", files, data, {"C": {"ref": "C@1", "digest": "x", "schema": {}}})
    turned = Bundle("w", dict(reversed(files.items())), dict(reversed(data.items())), one.contracts)

    assert one.digest == turned.digest
    assert Bundle.from_json(json.loads(json.dumps(one.to_json()))) == one


@given(st.dictionaries(names, st.text(), min_size=1), st.data())
def test_any_change_of_a_file_changes_the_digest(files: dict[str, str], data):
    name = data.draw(st.sampled_from(sorted(files)))
    text = data.draw(st.text())

    assert (Bundle("w", {**files, name: text}).digest == Bundle("w", files).digest) == (text == files[name])


def test_a_bundle_reads_its_own_files():
    whole = bundle()

    assert whole.policy.gates["leads"].voters == "leads"
    assert set(whole.agents) == {"judge", "careful_judge", "writer"}
    assert whole.settings.intake.key == "refund_id"


@pytest.mark.parametrize(
    ("files", "read", "error", "told"),
    [
        ({"policy": "policy: x\n"}, "policy", PolicyError, "refunds/policy.yaml cannot be used: contract: Field requ"),
        ({"policy": "a: 1\na: 2\n"}, "policy", ConfigurationError, "refunds/policy.yaml, line 2"),
        (
            {"agents": "judge: {kind: oracle}\n"},
            "agents",
            ConfigurationError,
            "refunds/agents.yaml cannot be used: judge",
        ),
        ({"workflow": "workflow: x\n"}, "settings", ConfigurationError, "refunds/workflow.yaml cannot be used: title"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_place(files, read, error, told):
    with pytest.raises(error, match=told):
        getattr(bundle(**files), read)


def test_a_file_that_is_not_there_is_told_with_the_nearest():
    with pytest.raises(UnknownName, match=r"there is no file 'polcy.yaml'.*Did you mean 'policy.yaml'"):
        bundle().text("polcy.yaml")


def test_what_is_no_bundle_is_refused():
    with pytest.raises(ConfigurationError, match="no bundle of a workflow"):
        Bundle.from_json({"workflow": "w"})


def test_the_bundle_that_ships_can_be_read():
    from interlock.engine.policy.bundle import read_bundle

    shipped = read_bundle(Path(__file__).parents[3] / "include", "support_triage")
    assert Router.of(shipped).rules
