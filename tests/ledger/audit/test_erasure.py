"""What is left of a case after its person was forgotten: everything that happened, and nothing that was said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from interlock.commands.case_text import case_text
from interlock.domain.approvals.access import Identity
from interlock.engine.approvals import review_action
from interlock.engine.approvals.resubmission import resubmit
from interlock.errors import InputError, UnknownName
from interlock.ledger.audit.anchor import take_anchor
from interlock.ledger.audit.case_history import show_case
from interlock.ledger.audit.erasure import forget_case
from interlock.ledger.audit.verify import verify
from interlock.ledger.reports.summary import summarize
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import audit_event, case_secret, decision, effect, label, metadata, payload, vote
from interlock.ledger.store.transaction import Actor
from sqlalchemy import update
from workflows import Workflow, rows

NAME = "Xaviera Quill"


@pytest.fixture
def flow(tmp_path: Path, ledger: Ledger) -> Workflow:
    """R1 was sent, R2 was rejected with words, R3 waits, R4 is dead; people typed a name wherever they could."""
    flow = Workflow(tmp_path, ledger)
    said = rows(
        f"sure=0.95 says {NAME}", f"not sure, says {NAME}", "not sure", f"far too much, {NAME}", account_id=NAME
    )
    said[3].values["amount"] = 20_000.0  # type: ignore[index]  # these rows have values
    flow.intake(said)
    with ledger.write(actor=Actor("person", "ann"), chain="labels") as tx:
        known = {"case_id": flow.cases()["R1"]["id"], "field": "kind", "value": NAME, "source": "inbox.csv, row 1"}
        tx.insert(label, [known], kind="label.known")
    for stage in ("judge", "route", "again", "route_again", "draft"):
        flow.branch(stage) if stage.startswith("route") else flow.role(stage)
    review_action.request_review(ledger, "R2", person="otto", reason=f"call {NAME}")
    flow.validate()
    flow.execute("send")
    flow.gate()
    seen = review_action.see(ledger, "R2")["digest"]
    review_action.vote(
        ledger, "R2", person=Identity("lea"), answer="reject", seen_digest=seen, reason=f"{NAME} is no customer"
    )
    flow.report()
    assert flow.states() == {"R1": "executed", "R2": "rejected", "R3": "waiting", "R4": "dead"}
    assert verify(ledger).problems == []
    return flow


def everything(flow: Workflow) -> str:
    """Return every value of every table as text."""
    return "".join(repr(flow.table(table)) for table in metadata.tables.values())


def forget(flow: Workflow, name: str, **more: Any) -> dict[str, Any]:
    return forget_case(flow.ledger, name, person="otto", reason="asked to, DSR-12", **more)


def test_nothing_that_was_said_is_left_and_the_ledger_is_sound(flow: Workflow):
    before = len(flow.table(audit_event))
    assert everything(flow).count(NAME) > 10

    review_action.close(flow.ledger, "R3", person="otto", reason="asked to")
    for name in ("R1", "R2", "R3", "R4"):
        forget(flow, name)

    assert NAME not in everything(flow)
    assert flow.table(payload) == flow.table(case_secret) == []
    found = verify(flow.ledger)
    assert (found.problems, found.forgotten) == ([], 4)
    assert len(flow.table(audit_event)) > before


def test_texts_of_people_labels_and_rules_are_blanked_each_with_an_event(flow: Workflow):
    assert forget(flow, "R2")["texts"] >= 1
    forget(flow, "R1")

    assert [row["reason"] for row in flow.table(vote)] == ["(forgotten)"]
    assert [row["value"] for row in flow.table(label)] == ["(forgotten)"]
    assert NAME not in repr([row for row in flow.table(decision) if row["case_id"] == flow.cases()["R2"]["id"]])
    assert flow.cases()["R2"]["reason"] == "forgotten by otto: asked to, DSR-12"
    kinds = [row["kind"] for row in flow.table(audit_event)]
    assert (kinds.count("case.forgotten"), kinds.count("vote.forgotten"), kinds.count("label.forgotten")) == (2, 1, 1)


def test_what_happened_stays_and_its_state_and_figures_too(flow: Workflow):
    before = {table.name: len(flow.table(table)) for table in metadata.tables.values()}
    sent = flow.table(effect)

    came_of_it = forget(flow, "R1")

    after = {table.name: len(flow.table(table)) for table in metadata.tables.values()}
    shrunk = {name for name in before if after[name] < before[name]}
    assert shrunk == {"payload", "case_secret"}
    assert flow.table(effect) == sent
    assert (came_of_it["state"], flow.states()["R1"]) == ("executed", "executed")
    assert came_of_it["payloads"] == before["payload"] - after["payload"] > 2
    assert summarize(flow.ledger, "r1")["effects_sent"] == 1


def test_a_dead_letter_is_closed_because_nothing_is_left_to_work_on(flow: Workflow):
    forget(flow, "R4")

    assert flow.states()["R4"] == "closed"
    with pytest.raises(InputError, match="only quarantined and dead ones"):
        resubmit(flow.ledger, "R4", person="otto", changes={}, include=flow.include)


def test_a_case_that_waits_or_is_in_work_is_not_forgotten(flow: Workflow):
    with pytest.raises(InputError, match="'R3' is 'waiting'"):
        forget(flow, "R3")
    flow.intake([*rows("a", "b", "c", "d", "e")[4:]], run="r2")
    with pytest.raises(InputError, match="'R5' is 'open'"):
        forget(flow, "R5")

    assert verify(flow.ledger).forgotten == 0
    review_action.close(flow.ledger, "R3", person="otto", reason="asked to")
    assert forget(flow, "R3")["state"] == "closed"


def test_a_case_whose_effect_may_have_arrived_is_not_forgotten_before_it_is_closed(flow: Workflow):
    case_id = flow.cases()["R1"]["id"]
    row = next(row for row in flow.table(effect) if row["case_id"] == case_id)
    with flow.ledger.write(actor=Actor("task", "send"), chain="x") as tx:
        tx.update(effect, [{**row, "state": "intended"}], kind="effect.intended")

    with pytest.raises(InputError, match="whether the effect of case 'R1' arrived is not known"):
        forget(flow, "R1")
    review_action.close(flow.ledger, "R1", person="otto", reason="asked to")

    assert forget(flow, "R1")["state"] == "closed"


def test_it_needs_a_reason_and_a_case_and_is_done_once(flow: Workflow):
    with pytest.raises(InputError, match="needs a reason"):
        forget_case(flow.ledger, "R1", person="otto", reason=" ")
    with pytest.raises(UnknownName):
        forget(flow, "R9")
    forget(flow, "R1")
    with pytest.raises(InputError, match="was forgotten already; its key goes with --key-too"):
        forget(flow, "R1")


def test_the_key_goes_when_asked_for_also_later(flow: Workflow):
    forget(flow, "R1")
    key = forget(flow, "R1", key_too=True)["case"]

    assert key.startswith("forgotten-")
    assert key in flow.cases()
    assert "R1" not in flow.cases()
    with pytest.raises(InputError, match="was forgotten already"):
        forget(flow, key, key_too=True)
    assert verify(flow.ledger).problems == []


@pytest.mark.parametrize("text", [f"sure=0.95 says {NAME}", "something else"])
def test_the_row_of_a_forgotten_case_does_not_bring_the_person_back(flow: Workflow, text: str):
    forget(flow, "R1")
    before = len(flow.cases())

    counts = flow.intake(rows(text, account_id=NAME), run="r2")

    assert (counts["seen_before"], len(flow.cases())) == (1, before)
    assert flow.cases()["R1"]["id"] not in {row["case_id"] for row in flow.table(payload)}


def test_a_row_whose_key_was_forgotten_too_is_a_new_case(flow: Workflow):
    forget(flow, "R1", key_too=True)

    counts = flow.intake(rows("sure=0.95"), run="r2")

    assert (counts["opened"], flow.states()["R1"]) == (1, "open")


def test_show_says_forgotten_and_prints_nothing_else_of_it(flow: Workflow):
    forget(flow, "R2")

    found = show_case(flow.ledger, "R2")

    assert found["forgotten"]["why"] == "forgotten by otto: asked to, DSR-12"
    printed = case_text(found)
    assert "forgotten at 20" in printed
    assert NAME not in printed
    assert show_case(flow.ledger, "R3")["forgotten"] is None


def test_a_blanked_text_that_is_changed_afterwards_is_found(flow: Workflow):
    forget(flow, "R2")

    with flow.ledger.engine.begin() as connection:
        connection.execute(update(vote).values(reason="it was me"))

    assert [p for p in verify(flow.ledger).problems if p.startswith("vote:")]


def test_a_secret_that_comes_back_is_found(flow: Workflow):
    forget(flow, "R2")
    case_id = flow.cases()["R2"]["id"]

    with flow.ledger.engine.begin() as connection:
        connection.execute(case_secret.insert().values(case_id=case_id, secret=b"x" * 32))

    assert f"case:{case_id}: an event tells that it was forgotten, and it has a secret" in verify(flow.ledger).problems


def test_anchors_that_were_kept_before_still_hold(flow: Workflow):
    before = take_anchor(flow.ledger, actor=Actor("command", "x"))
    forget(flow, "R1", key_too=True)

    assert verify(flow.ledger, anchors=[before]).problems == []


def test_the_bytes_are_gone_from_the_file_as_well(tmp_path: Path, sqlite_ledger: Ledger):
    """SQLite leaves what is deleted in its pages and in its log, unless it is told otherwise."""
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.up_to("report", rows(f"sure=0.95 says {NAME}", "not sure"))
    file = Path(str(sqlite_ledger.engine.url.database))

    def stored() -> bytes:
        return b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))

    assert NAME.encode() in stored()
    forget(flow, "R1")

    assert NAME.encode() not in stored()


def test_a_quarantined_double_does_not_hide_behind_a_key_that_was_forgotten(tmp_path: Path, sqlite_ledger: Ledger):
    """The same key with other content opened a case of its own before; it is forgotten on its own, too."""
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.intake(rows("one"))
    flow.intake(rows("two"), run="r2")
    double = next(key for key in flow.cases() if key.startswith("R1~"))

    assert forget(flow, double)["state"] == "closed"
    assert verify(sqlite_ledger).problems == []
