from __future__ import annotations

from pathlib import Path

import pytest
from interlock.engine.policy.bundle import PinnedFiles, read_bundle
from interlock.errors import ConfigurationError, PolicyError, UnknownName
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.ledger import Ledger
from workflows import NAME, POLICY, Workflow, rewired, rows


@pytest.fixture
def flow(tmp_path: Path, sqlite_ledger: Ledger) -> Workflow:
    return Workflow(tmp_path, sqlite_ledger)


def test_a_whole_run_brings_every_case_to_its_place(tmp_path: Path, ledger: Ledger):
    flow = Workflow(tmp_path, ledger)

    flow.up_to("nowhere", rows("sure=0.95", "sure=0.5 surer=0.9", "sure=0.5", "nothing said", "sure=0.99 promise me"))

    assert flow.states() == {"R1": "executed", "R2": "executed", "R3": "waiting", "R4": "waiting", "R5": "waiting"}
    assert len(flow.sent()) == 2
    assert verify(ledger).problems == []


def test_a_run_keeps_the_version_that_was_in_force_when_it_began(flow: Workflow):
    flow.intake(rows("sure=0.7"))
    flow.write("policy.yaml", POLICY.replace("threshold: 0.8", "threshold: 0.6"))
    assert flow.publish().number == 2
    flow.role("judge")

    assert flow.branch() == {"fallback": 1}
    assert flow.session("intake", run="r2").version.number == 2


def test_what_stands_in_the_folder_does_not_count_until_it_is_published(flow: Workflow):
    flow.write("policy.yaml", POLICY.replace("threshold: 0.8", "threshold: 0.1"))

    flow.up_to("route", rows("sure=0.7"))

    assert flow.branch() == {"fallback": 1}


def test_a_version_that_cannot_work_with_the_dag_begins_no_run(flow: Workflow):
    flow.wiring = rewired(judge={"agent": "jugde"}, sign_off={"gate": "leeds"})

    with pytest.raises(PolicyError, match=r"there is no agent 'jugde'.*the policy has no gate 'leeds'"):
        flow.session("intake")


def test_a_task_that_came_into_the_dag_after_the_run_began_is_refused(flow: Workflow):
    flow.session("intake")

    with pytest.raises(ConfigurationError, match="task 'novelty' was not part of Dag 'refunds' when the run began"):
        flow.session("novelty")


def test_a_changed_data_file_is_not_used_until_it_is_published(flow: Workflow):
    flow.write("data/examples.csv", "text,label\n")
    version = flow.publish()
    files = PinnedFiles(version.bundle, flow.include)
    assert files.data("data/examples.csv").read_text() == "text,label\n"
    flow.write("data/examples.csv", "text,label\nx,y\n")

    with pytest.raises(ConfigurationError, match=r"data file 'data/examples.csv' changed since the version"):
        PinnedFiles(version.bundle, flow.include).data("data/examples.csv")
    (flow.include / NAME / "data/examples.csv").unlink()
    with pytest.raises(ConfigurationError, match="is missing"):
        PinnedFiles(version.bundle, flow.include).data("data/examples.csv")
    with pytest.raises(UnknownName, match=r"there is no data file 'data/example.csv'.*Did you mean"):
        files.data("data/example.csv")


def test_a_pinned_text_is_the_published_one_whatever_the_file_says_now(flow: Workflow):
    flow.write("prompts/reply.md", "as published")
    version = flow.publish()
    flow.write("prompts/reply.md", "changed")

    assert PinnedFiles(version.bundle, flow.include).text("prompts/reply.md") == "as published"


def test_an_unknown_workflow_is_told_with_the_nearest(flow: Workflow):
    with pytest.raises(UnknownName, match=r"there is no workflow 'refnds'.*Did you mean 'refunds'"):
        read_bundle(flow.include, "refnds")


@pytest.mark.parametrize(
    ("path", "text", "match"),
    [
        ("workflow.yaml", "workflow: refunds\n", r"refunds/workflow.yaml cannot be used: title: Field required"),
        ("workflow.yaml", "a:\n\t- b\n", r"refunds/workflow.yaml, line 2, column 1.*use blanks, not tabs"),
        ("contracts.py", "import nothing_of_that_name\n", "contracts.py cannot be imported: No module named"),
        ("contracts.py", "x = (\n", "contracts.py cannot be imported"),
        ("contracts.py", "x = 1\n", "there is no contract 'Refund' in refunds/contracts.py"),
    ],
)
def test_files_that_cannot_be_used_are_told_with_their_place(tmp_path: Path, sqlite_ledger, path: str, text, match):
    flow = Workflow(tmp_path, sqlite_ledger)
    renamed = flow.include.rename(flow.include.with_name(f"{flow.include.name}_changed"))
    (renamed / NAME / path).write_text(text)

    with pytest.raises(ConfigurationError, match=match):
        read_bundle(renamed, NAME)


def test_a_file_in_another_encoding_is_told_with_the_byte(flow: Workflow):
    (flow.include / NAME / "prompts.md").write_bytes(b"caf\xe9")

    with pytest.raises(ConfigurationError, match=r"prompts.md is not UTF-8 \(byte 3\)"):
        read_bundle(flow.include, NAME)
