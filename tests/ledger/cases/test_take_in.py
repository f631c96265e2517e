from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interlock.errors import UnknownName
from interlock.ledger.audit.verify import verify
from interlock.ledger.cases.case import (
    DATA_CHECK,
    NewCase,
    Taken,
    cases_at,
    find_case,
    list_cases,
    load_files,
    move,
    take_in,
)
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Case, CaseChange
from interlock.ledger.store.schema import case, label, payload
from sqlalchemy import event
from workflows import WORKFLOW, Clock, Workflow, rows, together


def new(key: str, text: str = "hello", **more) -> NewCase:
    return NewCase(business_key=key, payload={"text": text}, contract="Refund@1", source="a test", **more)


def take(flow: Workflow, *given: NewCase, run: str = "r1") -> Taken:
    session = flow.session("intake", run=run)
    with session.write() as tx:
        return take_in(tx, session.run, given, task="judge")


@pytest.fixture
def flow(tmp_path: Path, ledger: Ledger) -> Workflow:
    return Workflow(tmp_path, ledger)


def test_a_row_becomes_an_open_case_at_the_task_behind_the_intake(flow: Workflow):
    assert take(flow, new("A")) == Taken(opened=1)

    row = flow.cases()["A"]
    assert (row["state"], row["task"], row["attempt"], row["revision"]) == ("open", "judge", 0, 1)


def test_a_row_with_a_reason_is_quarantined_and_stands_at_no_task(flow: Workflow):
    assert take(flow, new("A", reason="text: is empty")) == Taken(quarantined=1)

    row = flow.cases()["A"]
    assert (row["state"], row["task"], row["reason"]) == ("quarantined", None, "text: is empty")


def test_the_same_content_under_the_same_key_opens_no_second_case(flow: Workflow):
    assert take(flow, new("A"), new("A")) == Taken(opened=1, seen_before=1)
    assert take(flow, new("A")) == Taken(seen_before=1)
    assert take(flow, new("A"), run="r2") == Taken(seen_before=1)
    assert list(flow.cases()) == ["A"]


@pytest.mark.parametrize("at_once", [True, False])
def test_other_content_under_the_same_key_is_quarantined_under_a_key_of_its_own(flow: Workflow, at_once: bool):
    if at_once:
        take(flow, new("A"), new("A", "other"), new("A", "third"))
    else:
        take(flow, new("A"))
        take(flow, new("A", "other"))
        take(flow, new("A", "third"))

    cases = flow.cases()
    assert sorted(row["state"] for row in cases.values()) == ["open", "quarantined", "quarantined"]
    assert cases["A"]["state"] == "open"
    held = [row for key, row in cases.items() if key != "A"]
    said = "business key 'A' has a case with other content. Close this one, or resubmit it as a case of its own"
    assert all(row["reason"] == said for row in held)
    assert {body["body"]["text"] for body in flow.table(payload)} == {"hello", "other", "third"}


@pytest.mark.parametrize("at_once", [True, False])
def test_a_corrected_row_takes_the_place_of_one_that_was_never_opened(flow: Workflow, at_once: bool):
    bad, worse, good = new("A", "x,", reason="bad"), new("A", "y,", reason="worse"), new("A", "fine", labels={"k": "v"})
    if at_once:
        assert take(flow, bad, worse, good) == Taken(opened=1, quarantined=2)
    else:
        assert take(flow, bad) == Taken(quarantined=1)
        assert take(flow, worse, run="r2") == Taken(quarantined=1)
        assert take(flow, good, run="r3") == Taken(opened=1)

    cases = flow.cases()
    assert list(cases) == ["A"]
    assert (cases["A"]["state"], cases["A"]["task"], cases["A"]["reason"]) == ("open", "judge", None)
    assert {body["body"]["text"] for body in flow.table(payload)} == {"x,", "y,", "fine"}
    assert [row["value"] for row in flow.table(label)] == ["v"]
    assert take(flow, good, run="r4") == Taken(seen_before=1)
    assert verify(flow.ledger).problems == []


def test_a_row_that_its_contract_takes_by_now_is_opened(flow: Workflow):
    take(flow, new("A", reason="bad"))

    assert take(flow, new("A"), run="r2") == Taken(opened=1)


def test_a_case_that_a_data_check_quarantined_was_open_and_is_not_replaced(flow: Workflow):
    take(flow, new("A"))
    session = flow.session("intake")
    with session.write() as tx:
        change = CaseChange(state="quarantined", task=None, reason=f"{DATA_CHECK}too old")
        move(tx, [(flow.case_records()["A"], change)], kind="quality.quarantined")

    assert take(flow, new("A", "other"), run="r2") == Taken(quarantined=1)
    assert flow.cases()["A"]["reason"] == f"{DATA_CHECK}too old"


def test_a_key_that_an_earlier_version_kept_as_it_was_written_opens_no_second_case(flow: Workflow):
    take(flow, new("Mu\u0308ller"))

    assert take(flow, new("M\u00fcller", written_key="Mu\u0308ller"), run="r2") == Taken(seen_before=1)


def test_other_content_is_quarantined_only_once(flow: Workflow):
    take(flow, new("A"), new("A", "other"))

    assert take(flow, new("A"), new("A", "other"), new("A", "other")) == Taken(seen_before=3)


def test_workflows_of_two_environments_do_not_share_business_keys(flow: Workflow, tmp_path: Path):
    take(flow, new("A"))
    staging = Workflow(tmp_path, Ledger(flow.ledger.engine, "staging"))

    assert take(staging, new("A", "other"), run="r2") == Taken(opened=1)


def test_an_intake_that_was_cut_off_between_groups_is_simply_repeated(flow: Workflow):
    texts = [f"text {number}" for number in range(1200)]

    def breaks_off():
        yield from rows(*texts)[:700]
        raise ConnectionError("the line went dead")

    with pytest.raises(ConnectionError):
        flow.intake(breaks_off())
    assert len(flow.cases()) == 500, "a whole group, and nothing of the next"

    assert flow.intake(rows(*texts)) == {"rows": 1200, "opened": 700, "seen_before": 500}
    assert set(flow.states().values()) == {"open"}
    assert len(flow.cases()) == 1200
    assert verify(flow.ledger).problems == []


def test_labels_are_kept_apart_from_what_agents_see(flow: Workflow):
    take(flow, new("A", labels={"kind": "refund"}))

    assert [row["value"] for row in flow.table(label)] == ["refund"]
    assert all("kind" not in body["body"] for body in flow.table(payload))


def test_two_intakes_of_the_same_rows_at_the_same_instant_open_each_case_once(flow: Workflow):
    flow.session("intake", run="r1")
    flow.session("intake", run="r2")
    given = [new(f"K{number}") for number in range(40)]

    said = together(lambda: take(flow, *given, run="r1"), lambda: take(flow, *reversed(given), run="r2"))

    assert sorted([taken.opened for taken in said]) == [0, 40], said
    assert len(flow.cases()) == 40
    assert verify(flow.ledger).problems == []


def test_a_case_is_found_by_key_by_id_and_by_the_end_of_its_id(flow: Workflow):
    take(flow, new("A"), new("B"))
    wanted = flow.cases()["A"]["id"]

    with flow.ledger.read() as connection:
        for name in ("A", wanted, wanted[-8:]):
            assert find_case(connection, flow.ledger, name).id == wanted
        with pytest.raises(UnknownName, match=r"there is no case 'AA'.*Did you mean 'A'"):
            find_case(connection, flow.ledger, "AA")


def test_cases_are_gone_through_in_the_order_of_their_intake(flow: Workflow):
    take(flow, *[new(f"K{number}") for number in (5, 3, 9, 1)])

    run = flow.session("judge").run
    with flow.ledger.read() as connection:
        first = cases_at(connection, run, "judge", limit=3)
        rest = cases_at(connection, run, "judge", limit=3, after=first[-1].id)

    assert [row.business_key for row in first + rest] == ["K5", "K3", "K9", "K1"]


def test_a_page_of_cases_is_read_from_an_index_in_its_order(sqlite_ledger: Ledger, tmp_path: Path):
    """Sorting all the cases of a task for each page of it would make a case dearer, the more of them there are."""
    seen: list[str] = []
    run = Workflow(tmp_path, sqlite_ledger).session("judge").run

    @event.listens_for(sqlite_ledger.engine, "before_cursor_execute")
    def _keep(connection, cursor, statement, parameters, context, many):
        if statement.startswith("SELECT"):
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            seen.extend(row[3] for row in cursor.fetchall())

    with sqlite_ledger.read() as connection:
        cases_at(connection, run, "judge", limit=500)
        load_files(connection, [Case.from_values({"id": "c", "payload_digest": "d", "context": {}})])

    assert "SEARCH case USING INDEX ix_case_place (run_id=? AND task=? AND id>?)" in seen
    assert not [step for step in seen if "TEMP B-TREE" in step or "digest=?" in step]


keys = st.sampled_from(["A", "B", "C"])
contents = st.sampled_from(["x", "y", "z"])
batches = st.lists(st.lists(st.tuples(keys, contents, st.booleans()), max_size=8), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches)
def test_no_row_is_lost_whatever_repeats_it_meets(tmp_path_factory, migrated_file: Path, given_batches):
    """Every content that came in under a key is or was that of a case of it, and each row was counted exactly once."""
    import shutil

    folder = tmp_path_factory.mktemp("rows")
    shutil.copy(migrated_file, folder / "ledger.db")
    flow = Workflow(folder, Ledger.open(f"sqlite:///{folder}/ledger.db", "test"))
    for batch in given_batches:
        taken = take(flow, *[new(k, c, reason="bad" if bad else None) for k, c, bad in batch])
        assert taken.opened + taken.quarantined + taken.seen_before == len(batch)

    keys_of = {row["id"]: row["business_key"].split("~")[0] for row in flow.table(case)}
    there = {(keys_of[row["case_id"]], row["body"]["text"]) for row in flow.table(payload)}
    assert there == {(key, content) for batch in given_batches for key, content, _ in batch}
    assert verify(flow.ledger).problems == []


def test_a_case_has_an_owner_and_is_late_once_its_time_has_come(tmp_path: Path, ledger: Ledger):
    rules = "case_owner: [{owner: leads}]\nservice_levels: [{name: all, within: 4h}]\n"
    clock = Clock()
    flow = Workflow(tmp_path, Ledger(ledger.engine, "test", clock), workflow=WORKFLOW + rules)
    flow.intake(rows("a", "b"))

    def late() -> list[str]:
        return sorted(row.business_key for row in list_cases(flow.ledger, is_late=True))

    assert {row["owner"] for row in flow.cases().values()} == {"leads"}
    assert late() == []
    clock.forward(hours=5)
    assert late() == ["R1", "R2"]
    assert verify(ledger).problems == []
