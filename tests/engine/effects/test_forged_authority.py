"""
Whoever can write to the database, and has no key, sends nothing: what a send rests on is looked at when it is claimed.

Each forgery is tried alone, and together with events that tell of it in chains that verify.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from interlock.domain.approvals.access import Identity
from interlock.domain.base.canonical import keyed_digest
from interlock.domain.base.seal import Sealer
from interlock.engine.approvals.resubmission import resubmit
from interlock.engine.approvals.review_action import see, vote
from interlock.engine.cases.intake import take_up
from interlock.errors import ConfigurationError, InterlockError, Tampered
from interlock.ledger.audit.reseal import reseal
from interlock.ledger.audit.verify import verify
from interlock.ledger.effects.authorisation import standing, withdraw
from interlock.ledger.store import schema
from interlock.ledger.store.ledger import Ledger, as_dict
from interlock.ledger.store.transaction import Actor, new_id
from sealing import SEAL
from sqlalchemy import Table, insert, select, update
from sqlalchemy.engine import URL
from workflows import NAME, Workflow, rows

FORGER = Actor("person", "mallory")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def made(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    module_copies: Any,
    empty_ledger: Callable[[str], URL],
) -> Workflow:
    """R1 and R3 are authorised by a rule, R2 waits for people; made once on each database."""
    ledger = module_copies.of(empty_ledger(request.param))
    flow = Workflow(tmp_path_factory.mktemp("flow"), ledger)
    flow.up_to("send", rows("sure=0.95 one", "not sure", "sure=0.95 three"))
    flow.gate()
    assert flow.states() == {"R1": "authorised", "R2": "waiting", "R3": "authorised"}
    ledger.engine.dispose()
    return flow


@pytest.fixture
def flow(made: Workflow, copies: Any, tmp_path: Path) -> Workflow:
    """That run in a ledger of this test's own."""
    mine = copy(made)
    mine.ledger = copies.of(made.ledger.engine.url)
    mine.outbox_folder = tmp_path / "outbox"
    return mine


@dataclass
class Forger:
    """Who has the database's rights and not the key."""

    flow: Workflow
    tells: bool
    """With events, too, in chains that verify."""

    def change(self, table: Table, name: str, **values: Any) -> str:
        """Change a row; return its name."""
        row = self.row(table, name)
        if "revision" in row and self.tells:
            values["revision"] = row["revision"] + 1
        with self._write() as tx:
            tx.connection.execute(update(table).where(table.c.id == name).values(values))
            if self.tells:
                tx.tell_again(table, [row | values], kind="row.changed")
        return f"{table.name}:{name}"

    def add(self, table: Table, **values: Any) -> str:
        """Add a row; return its name."""
        values = {"id": new_id(), **values}
        with self._write() as tx:
            if self.tells:
                tx.insert(table, [values], kind="row.added")
            else:
                tx.connection.execute(insert(table).values(values))
        return f"{table.name}:{values['id']}"

    def row(self, table: Table, name: str) -> dict[str, Any]:
        """Return a row."""
        with self.flow.ledger.read() as connection:
            return as_dict(connection.execute(select(table).where(table.c.id == name)).one())

    def put_content(self, case_id: str, **changes: Any) -> str:
        """Store the letter of a case with changes; return the digest, which the case's own secret makes."""
        with self._write() as tx:
            secret = tx.connection.execute(
                select(schema.case_secret.c.secret).where(schema.case_secret.c.case_id == case_id)
            ).scalar_one()
            bodies = tx.connection.execute(
                select(schema.payload.c.body).where(schema.payload.c.case_id == case_id)
            ).scalars()
            body = {**next(one for one in bodies if set(changes) <= set(one)), **changes}
            digest = keyed_digest(secret, body)
            tx.insert_quietly(schema.payload, [{"case_id": case_id, "digest": digest, "body": body}])
        return digest

    def grant(self, key: str, basis: str, *, task: str, **values: Any) -> str:
        """Authorise a case by hand and put it before the execution."""
        case = self.flow.cases()[key]
        draft = self.row(schema.handoff, case["draft_id"])
        granted = {
            "case_id": case["id"],
            "action": "payout",
            "payload_digest": draft["payload_digest"],
            "basis": basis,
            "version_id": self.flow.version.id,
            "created_at": case["changed_at"],
            "revision": 1,
        }
        name = self.add(schema.authorisation, **{**granted, **values})
        self.change(schema.case, case["id"], state="authorised", task=task, route="auto")
        return name

    def _write(self) -> Any:
        return replace(self.flow.ledger, seal=None).write(actor=FORGER, chain="run:forged")


def case_id(forger: Forger, key: str) -> str:
    return str(forger.flow.cases()[key]["id"])


def a_case_says_something_else(forger: Forger) -> str:
    digest = forger.put_content(case_id(forger, "R1"), refund_id="R1", amount=1_000_000.0)
    return forger.change(schema.case, case_id(forger, "R1"), payload_digest=digest)


def a_case_has_another_key(forger: Forger) -> str:
    return forger.change(schema.case, case_id(forger, "R1"), business_key="R1-again")


def a_case_sends_the_draft_of_another(forger: Forger) -> str:
    theirs = forger.flow.cases()["R3"]
    context = {**forger.flow.cases()["R1"]["context"], "Letter": theirs["draft_id"]}
    return forger.change(schema.case, case_id(forger, "R1"), draft_id=theirs["draft_id"], context=context)


def a_draft_is_another(forger: Forger) -> str:
    """And its authorisation fits it: the forger writes both."""
    row = forger.flow.cases()["R1"]
    digest = forger.put_content(row["id"], text="Pay me", amount=1_000_000.0)
    [granted] = [one for one in forger.flow.table(schema.authorisation) if one["case_id"] == row["id"]]
    forger.change(schema.authorisation, granted["id"], payload_digest=digest)
    return forger.change(schema.handoff, row["draft_id"], payload_digest=digest)


def what_a_draft_says_is_another(forger: Forger) -> str:
    row = forger.flow.cases()["R1"]
    digest = forger.row(schema.handoff, row["draft_id"])["payload_digest"]
    body = {"text": "Pay me", "amount": 1_000_000.0}
    same = (schema.payload.c.case_id == row["id"]) & (schema.payload.c.digest == digest)
    with forger._write() as tx:
        tx.connection.execute(update(schema.payload).where(same).values(body=body))
    return f"payload:{row['id']}:{digest}"


def an_agent_was_surer(forger: Forger) -> str:
    return forger.change(schema.handoff, forger.flow.cases()["R1"]["handoff_id"], confidence=1.0)


def a_decision_says_that_a_rule_lets_it_go(forger: Forger) -> str:
    decision = forger.flow.cases()["R2"]["decision_id"]
    forger.grant("R2", f"decision:{decision}", task="send")
    return forger.change(schema.decision, decision, route="auto")


def a_later_decision_says_so(forger: Forger) -> str:
    before = forger.row(schema.decision, forger.flow.cases()["R2"]["decision_id"])
    name = forger.add(schema.decision, **{**before, "id": new_id(), "route": "auto", "attempt": 9})
    forger.grant("R2", name, task="send")
    return name


def an_authorisation_is_put_in_by_hand(forger: Forger) -> str:
    return forger.grant("R2", f"decision:{forger.flow.cases()['R2']['decision_id']}", task="send")


def an_authorisation_has_the_seal_of_another(forger: Forger) -> str:
    seal = forger.flow.table(schema.authorisation)[0]["seal"]
    name = forger.grant("R2", f"decision:{forger.flow.cases()['R2']['decision_id']}", task="send")
    with forger._write() as tx:
        row = schema.authorisation.c.id == name.partition(":")[2]
        tx.connection.execute(update(schema.authorisation).where(row).values(seal=seal))
    return name


def a_withdrawn_authorisation_counts_again(forger: Forger) -> str:
    row = forger.flow.cases()["R1"]
    with forger.flow.ledger.write(actor=Actor("person", "cleo"), chain="case:withdrawn") as tx:
        [granted] = standing(tx, [row["id"]])
        withdraw(tx, row["id"])
    return forger.change(schema.authorisation, granted.id, withdrawn_at=None, withdrawn_by=None)


def request_of(forger: Forger) -> str:
    return str(forger.flow.table(schema.gate_request)[0]["id"])


def a_request_needs_nobody(forger: Forger) -> str:
    name = request_of(forger)
    forger.grant("R2", f"gate_request:{name}", task="send_signed")
    return forger.change(schema.gate_request, name, state="approved", votes_needed=0)


def a_request_is_approved_without_a_vote(forger: Forger) -> str:
    name = request_of(forger)
    forger.change(schema.gate_request, name, state="approved")
    return forger.grant("R2", f"gate_request:{name}", task="send_signed")


def somebody_voted(forger: Forger) -> str:
    request = forger.row(schema.gate_request, request_of(forger))
    forger.change(schema.gate_request, request["id"], state="approved")
    forger.grant("R2", f"gate_request:{request['id']}", task="send_signed")
    cast = {name: request[name] for name in ("case_id", "seen_digest")}
    given = {"person": "lea", "answer": "approve", "way": "api", "stage_order": 1, "created_at": request["opened_at"]}
    return forger.add(schema.vote, request_id=request["id"], **cast, **given)


def a_case_is_new(forger: Forger) -> str:
    """With all that one needs: content, draft, decision, authorisation."""
    model, new = forger.flow.cases()["R1"], new_id()
    with forger._write() as tx:
        tx.insert_quietly(
            schema.case, [{**model, "id": new, "business_key": "R9", "context": {}, "seal": model["seal"]}]
        )
        tx.insert_quietly(schema.case_secret, [{"case_id": new, "secret": b"k" * 32}])
        content, letter = {"refund_id": "R9", "text": "mine"}, {"text": "Pay me", "amount": 9.0}
        digests = [keyed_digest(b"k" * 32, one) for one in (content, letter)]
        bodies = zip(digests, (content, letter), strict=True)
        tx.insert_quietly(schema.payload, [{"case_id": new, "digest": d, "body": body} for d, body in bodies])
    draft = {**forger.row(schema.handoff, model["draft_id"]), "id": new_id(), "case_id": new}
    forger.add(schema.handoff, **{**draft, "payload_digest": digests[1]})
    names = {"draft_id": draft["id"], "context": {"Letter": draft["id"]}}
    subject = forger.change(schema.case, new, payload_digest=digests[0], **names)
    decision = {**forger.row(schema.decision, model["decision_id"]), "id": new_id(), "case_id": new, "handoff_id": None}
    forger.grant("R9", forger.add(schema.decision, **decision), task="send")
    return subject


FORGERIES = [
    a_case_says_something_else,
    a_case_has_another_key,
    a_case_sends_the_draft_of_another,
    a_draft_is_another,
    what_a_draft_says_is_another,
    an_agent_was_surer,
    a_decision_says_that_a_rule_lets_it_go,
    a_later_decision_says_so,
    an_authorisation_is_put_in_by_hand,
    an_authorisation_has_the_seal_of_another,
    a_withdrawn_authorisation_counts_again,
    a_request_needs_nobody,
    a_request_is_approved_without_a_vote,
    somebody_voted,
    a_case_is_new,
]


@pytest.mark.parametrize("tells", [False, True], ids=["alone", "with events"])
@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_nothing_that_was_forged_is_sent_and_an_incident_names_the_row(
    flow: Workflow, forge: Callable[[Forger], str], tells: bool
):
    before = flow.states()

    subject = forge(Forger(flow, tells))

    assert flow.execute("send").get("sent", 0) + flow.execute("send_signed").get("sent", 0) < 3
    [forged] = [key for key, state in flow.states().items() if state == "dead"]
    sent = {key for key, state in flow.states().items() if state == "executed"}
    allowed = {key for key, state in before.items() if state == "authorised"}
    assert sent == allowed - {forged.removesuffix("-again")}
    assert len(flow.sent()) == len(sent)
    [incident] = flow.table(schema.incident)
    assert (incident["kind"], incident["cases"]) == ("Tampered", 1)
    if tells:  # an event tells of the case as it was forged, so it is the row itself that is named
        assert incident["subject"] == subject
    assert incident["subject"].partition(":")[2] in incident["reason"] or "payload" in incident["reason"]
    assert "Nothing was sent" in flow.cases()[forged]["reason"]


@pytest.mark.parametrize("forge", [a_draft_is_another, a_decision_says_that_a_rule_lets_it_go, somebody_voted])
def test_verifying_calls_it_sound_without_the_key_and_finds_it_with_the_key(
    flow: Workflow, forge: Callable[[Forger], str]
):
    assert verify(flow.ledger).problems == []

    forge(Forger(flow, tells=True))

    assert verify(replace(flow.ledger, seal=None)).problems == []
    assert verify(flow.ledger).problems


def forged_version(forger: Forger) -> str:
    """Put a version in force by which nobody is asked."""
    before = forger.row(schema.workflow_version, forger.flow.version.id)
    files = {**before["bundle"]["files"]}
    [policy] = [name for name in files if name.endswith("policy.yaml")]
    files[policy] = files[policy].replace("default: review", "default: auto")
    number = {"number": before["number"] + 1, "bundle": {**before["bundle"], "files": files}}
    name = forger.add(schema.workflow_version, **{**before, "id": new_id(), **number})
    put = {"environment": "test", "workflow": NAME, "version_id": name.partition(":")[2], "set_by": "person:cleo"}
    return forger.add(schema.version_in_force, **put, since=forger.flow.ledger.clock())


def changed_version(forger: Forger) -> str:
    """Change the text of the version that the run pinned."""
    before = forger.row(schema.workflow_version, forger.flow.version.id)
    return forger.change(schema.workflow_version, before["id"], bundle={**before["bundle"], "data": {"x": "y"}})


def changed_run(forger: Forger) -> str:
    """Let the run rest on the company's files as if they were the workflow's version."""
    [run] = forger.flow.table(schema.workflow_run)
    return forger.change(schema.workflow_run, run["id"], triggered_by="cleo")


def changed_deployment(forger: Forger) -> str:
    [row] = forger.flow.table(schema.deployment)
    return forger.change(schema.deployment, row["id"], set_by="person:lea")


@pytest.mark.parametrize("tells", [False, True], ids=["alone", "with events"])
@pytest.mark.parametrize(
    ("forge", "run"),
    [(forged_version, "r2"), (changed_version, "r1"), (changed_run, "r1"), (changed_deployment, "r2")],
    ids=["version in force", "text of a version", "run", "deployment"],
)
def test_no_task_works_by_a_forged_version(flow: Workflow, forge: Callable[[Forger], str], run: str, tells: bool):
    subject = forge(Forger(flow, tells))
    work = {"r1": lambda: flow.execute("send"), "r2": lambda: flow.intake(rows("a", "b"), run="r2")}

    with pytest.raises(Tampered, match=subject):
        work[run]()

    assert flow.sent() == []
    assert len(flow.cases()) == 3
    told = [one["subject"] for one in flow.table(schema.incident)]
    assert told == ([] if forge is changed_version else [subject])  # no version is left that says whom to tell


@pytest.mark.parametrize("place", ["judge", "route", "draft", "validate"])
def test_what_is_forged_on_the_way_is_not_sent_either(tmp_path: Path, ledger: Ledger, place: str):
    """The tasks go on with what they find; the seal of what it was stays what it was."""
    flow = Workflow(tmp_path, ledger)
    flow.up_to(place, rows("sure=0.95 one", "sure=0.95 two"))
    forger = Forger(flow, tells=True)
    digest = forger.put_content(case_id(forger, "R1"), refund_id="R1", amount=9_000.0)
    subject = forger.change(schema.case, case_id(forger, "R1"), payload_digest=digest)

    steps: Mapping[str, Callable[[], Any]] = {
        "judge": lambda: flow.role("judge"),
        "route": flow.branch,
        "draft": lambda: flow.role("draft"),
        "validate": flow.validate,
    }
    for step in list(steps)[list(steps).index(place) :]:
        steps[step]()

    assert flow.execute() == {"refused_unauthorised": 1, "sent": 1}
    assert flow.states() == {"R1": "dead", "R2": "executed"}
    assert [one["subject"] for one in flow.table(schema.incident)] == [subject]
    with pytest.raises(Tampered, match=subject):
        resubmit(flow.ledger, "R1", person="cleo", changes={}, include=flow.include)


def test_a_vote_on_a_forged_request_does_not_count(flow: Workflow):
    """Else who wrote the draft could sign it off."""
    forger = Forger(flow, tells=True)
    subject = forger.change(schema.gate_request, request_of(forger), barred={}, voters=["mallory"])

    with pytest.raises(Tampered, match=subject):
        vote(flow.ledger, "R2", person=Identity("lea"), answer="approve", seen_digest=see(flow.ledger, "R2")["digest"])
    assert flow.table(schema.vote) == []


def test_forged_company_files_give_nobody_a_vote(flow: Workflow):
    forger = Forger(flow, tells=True)
    [run] = flow.table(schema.workflow_run)
    bundle = forger.row(schema.workflow_version, run["company_id"])["bundle"]
    forger.change(schema.workflow_version, run["company_id"], bundle={**bundle, "data": {"x": "y"}})

    with pytest.raises(Tampered, match="workflow_version"):
        vote(flow.ledger, "R2", person=Identity("lea"), answer="approve", seen_digest="0" * 64)


def test_without_the_key_nothing_is_executed_and_the_message_says_how_to_add_it(flow: Workflow):
    flow._ledger = replace(flow.ledger, seal=None)

    with pytest.raises(ConfigurationError, match="airflow connections add interlock_seal"):
        flow.execute()

    assert flow.sent() == []
    assert flow.states()["R1"] == "authorised"


def unsealed(flow: Workflow) -> None:
    """Let the ledger be as it was before there were seals."""
    with replace(flow.ledger, seal=None).write(actor=FORGER, chain="run:forged") as tx:
        for table in (t for t in schema.metadata.tables.values() if "seal" in t.columns):
            tx.connection.execute(update(table).values(seal=None))


def test_what_was_authorised_before_there_were_seals_is_asked_again(flow: Workflow):
    vote(flow.ledger, "R2", person=Identity("lea"), answer="approve", seen_digest=see(flow.ledger, "R2")["digest"])
    unsealed(flow)
    with pytest.raises(Tampered, match="ledger seal --unsealed"):
        flow.execute()

    done = reseal(flow.ledger, actor=Actor("command", "ledger seal"), unsealed=True)

    assert (done.to_ask_again, done.without, done.broken) == (3, 3, [])
    assert flow.execute() == {"asked_again": 2}
    assert flow.execute("send_signed") == {"asked_again": 1}
    assert flow.sent() == []
    assert flow.table(schema.incident) == []
    assert flow.states() == {"R1": "routed", "R2": "waiting", "R3": "routed"}
    vote(flow.ledger, "R2", person=Identity("lea"), answer="approve", seen_digest=see(flow.ledger, "R2")["digest"])
    assert flow.execute("send_signed") == {"sent": 1}
    flow.report()
    take_up(flow.session("intake", run="r2", is_resume=True))
    flow.validate(run="r2")
    assert flow.execute(run="r2") == {"sent": 2}
    assert verify(flow.ledger).problems == []


def test_keys_are_rotated_and_an_earlier_one_counts_until_it_is_dropped(flow: Workflow):
    second = Sealer.of("2", "b" * 32, {"tests": SEAL.keys["tests"].decode()})
    flow._ledger = replace(flow.ledger, seal=second)
    assert flow.execute() == {"sent": 2}

    done = reseal(flow.ledger, actor=Actor("command", "ledger seal"))

    assert set(done.by_key) == {"tests"}
    assert done.renewed == done.by_key["tests"] > 20
    flow._ledger = replace(flow.ledger, seal=Sealer.of("2", "b" * 32))
    assert verify(flow.ledger).problems == []
    vote(flow.ledger, "R2", person=Identity("lea"), answer="approve", seen_digest=see(flow.ledger, "R2")["digest"])
    assert flow.execute("send_signed") == {"sent": 1}
    flow._ledger = replace(flow.ledger, seal=Sealer.of("3", "c" * 32))
    with pytest.raises(Tampered, match="sealed with key '2', and known are 3"):
        flow.execute()


def test_what_was_forged_gets_no_seal_by_sealing_again(flow: Workflow):
    subject = a_draft_is_another(Forger(flow, tells=True))

    done = reseal(flow.ledger, actor=Actor("command", "ledger seal"), unsealed=True)

    assert any(subject in why for why in done.broken)
    an_authorisation_is_put_in_by_hand(Forger(flow, tells=False))
    with pytest.raises(Tampered, match="sound"):
        reseal(flow.ledger, actor=Actor("command", "ledger seal"), unsealed=True)


@pytest.mark.parametrize("key", ["short", ""])
def test_a_key_that_can_be_guessed_is_refused(key: str):
    with pytest.raises(InterlockError, match="32 or more"):
        Sealer.of("1", key)
