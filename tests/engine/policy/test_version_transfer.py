from __future__ import annotations

import base64
import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from interlock.domain.approvals.access import Identity
from interlock.engine.policy.bundle import read_bundle
from interlock.engine.policy.publication import approve, promote, propose, versions
from interlock.engine.policy.version_transfer import bring_over, export_version, import_version, new_key
from interlock.errors import ConfigurationError, InputError, NotAuthorised, UnknownName
from interlock.ledger.audit.verify import verify
from interlock.ledger.policy.version import in_force
from interlock.ledger.store.ledger import Ledger
from workflows import NAME, POLICY, Workflow

PRIVATE, PUBLIC = new_key()
CLEO, OTTO, LEA, LEO = (Identity(name) for name in ("cleo", "otto", "lea", "leo"))


@pytest.fixture
def desk(tmp_path: Path, ledger: Ledger) -> Workflow:
    """The workflow in force in test, in a version that staging does not know."""
    flow = Workflow(tmp_path / "test", ledger)
    flow.write("policy.yaml", POLICY.replace("threshold: 0.8", "threshold: 0.9"))
    bundle = read_bundle(flow.include, NAME).to_json()
    made = propose(ledger, bundle, person=CLEO, reason="stricter", wiring=None)
    promote(ledger, NAME, made["number"], person=CLEO, reason="now")
    return flow


@pytest.fixture
def staging(tmp_path: Path, ledger: Ledger) -> Workflow:
    flow = Workflow(tmp_path / "staging", Ledger(ledger.engine, "staging"))
    flow.write("../company/approvals.yaml", f"trusted_keys: {{test: '{PUBLIC}'}}\n")
    flow.publish()
    return flow


def exported(flow: Workflow, number: int | None = None, key: str = PRIVATE) -> dict[str, Any]:
    document = export_version(flow.ledger, NAME, number, person=CLEO, private_key=key)
    return json.loads(json.dumps(document))


def arrives(flow: Workflow, document: dict[str, Any], person: Identity = OTTO) -> dict[str, Any]:
    return import_version(flow.ledger, document, person=person, reason="brought over")


def test_a_version_goes_on_to_the_next_environment_and_is_approved_anew(desk: Workflow, staging: Workflow):
    there = arrives(staging, exported(desk))

    assert (there["number"], there["author"], there["is_new"]) == (2, "person:cleo", True)
    assert in_force(staging.ledger, NAME).number == 1
    with pytest.raises(NotAuthorised, match="lacks approvals in 'staging'"):
        promote(staging.ledger, NAME, 2, person=OTTO, reason="now")
    with pytest.raises(NotAuthorised, match="'cleo' wrote version 2"):
        approve(staging.ledger, NAME, 2, person=CLEO, answer="approve", reason="mine", digest=there["digest"])
    approve(staging.ledger, NAME, 2, person=LEA, answer="approve", reason="read", digest=there["digest"])
    promote(staging.ledger, NAME, 2, person=OTTO, reason="now")

    assert in_force(staging.ledger, NAME).bundle.policy.threshold == 0.9
    origin = versions(staging.ledger, NAME)[0]["origin"]
    assert (origin["environment"], origin["number"], origin["key"]) == ("test", 2, PUBLIC)
    assert verify(staging.ledger).problems == []


def takes_over(flow: Workflow, origin: str = "test", person: Identity = OTTO) -> dict[str, Any]:
    return bring_over(flow.ledger, NAME, origin=origin, person=person, reason="rehearse", wiring=None)


def test_in_one_ledger_a_version_goes_on_without_a_file_and_is_approved_anew(desk: Workflow, staging: Workflow):
    there, again = takes_over(staging), takes_over(staging)

    assert (there["number"], there["author"], there["is_new"], again["is_new"]) == (2, "person:cleo", True, False)
    assert there["lacks"] != []
    with pytest.raises(NotAuthorised, match="'cleo' wrote version 2"):
        approve(staging.ledger, NAME, 2, person=CLEO, answer="approve", reason="mine", digest=there["digest"])
    approve(staging.ledger, NAME, 2, person=LEA, answer="approve", reason="read", digest=there["digest"])
    promote(staging.ledger, NAME, 2, person=OTTO, reason="now")

    assert in_force(staging.ledger, NAME).bundle.policy.threshold == 0.9
    origin = versions(staging.ledger, NAME)[0]["origin"]
    assert (origin["environment"], origin["number"]) == ("test", 2)


def test_in_one_ledger_a_version_skips_no_environment(desk: Workflow, staging: Workflow):
    with pytest.raises(InputError, match="come from 'test'"):
        takes_over(staging, origin="production")
    with pytest.raises(InputError, match="do not come from elsewhere"):
        takes_over(desk, origin="staging")
    with pytest.raises(NotAuthorised, match="'propose'"):
        takes_over(staging, person=LEO)


def test_what_arrives_twice_is_there_once(desk: Workflow, staging: Workflow):
    document = exported(desk)
    first, second = arrives(staging, document), arrives(staging, document)

    assert (first["number"], second["number"], second["is_new"]) == (2, 2, False)


def test_no_changed_byte_arrives(desk: Workflow, staging: Workflow):
    text = json.dumps(exported(desk))
    source = random.Random(3)
    tried = 0
    while tried < 60:
        at = source.randrange(len(text))
        changed = text[:at] + source.choice("abcxyz019{}") + text[at + 1 :]
        try:
            document = json.loads(changed)
        except ValueError:
            continue
        if document == json.loads(text):
            continue
        tried += 1
        with pytest.raises((InputError, ConfigurationError, NotAuthorised)):
            arrives(staging, document)
    assert len(versions(staging.ledger, NAME)) == 1


def test_a_key_that_is_not_trusted_is_refused(desk: Workflow, staging: Workflow):
    other, _ = new_key()

    with pytest.raises(InputError, match=r"its key is not the one that approvals.yaml trusts for 'test'"):
        arrives(staging, exported(desk, key=other))


def test_a_key_that_is_named_but_did_not_sign_is_refused(desk: Workflow, staging: Workflow):
    other, _ = new_key()
    document = {**exported(desk, key=other), "key": PUBLIC}

    with pytest.raises(InputError, match="not as it was signed"):
        arrives(staging, document)


def test_a_version_comes_from_the_environment_before(desk: Workflow, tmp_path: Path):
    production = Workflow(tmp_path / "production", Ledger(desk.ledger.engine, "production"))
    document = exported(desk)

    with pytest.raises(InputError, match="is from 'test'; versions of 'production' come from 'staging'"):
        arrives(production, document)
    with pytest.raises(InputError, match="versions of 'test' are proposed from include"):
        arrives(desk, document)


def test_only_what_was_in_force_is_exported_by_whoever_may_propose(desk: Workflow):
    desk.write("policy.yaml", POLICY.replace("threshold: 0.8", "threshold: 0.7"))
    bundle = read_bundle(desk.include, NAME).to_json()
    waiting = propose(desk.ledger, bundle, person=CLEO, reason="laxer", wiring=None)

    with pytest.raises(InputError, match=f"version {waiting['number']} of 'refunds' was never in force in 'test'"):
        exported(desk, waiting["number"])
    with pytest.raises(UnknownName, match="there is no version of 'refunds' '17'"):
        exported(desk, 17)
    with pytest.raises(NotAuthorised, match="'leo' does not have the right 'propose'"):
        export_version(desk.ledger, NAME, None, person=LEO, private_key=PRIVATE)
    with pytest.raises(ConfigurationError, match="not the base64 of 32 bytes"):
        exported(desk, key=base64.b64encode(b"short").decode())
    assert exported(desk, 1)["number"] == 1


def test_what_is_no_export_is_refused(staging: Workflow, desk: Workflow):
    document = exported(desk)
    for broken in ({}, {"interlock_version": 2}, {**copy.deepcopy(document), "bundle": "text"}):
        with pytest.raises(InputError, match="this is no exported version"):
            arrives(staging, broken)
    with pytest.raises(NotAuthorised):
        arrives(staging, document, person=LEO)
