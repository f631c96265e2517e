from __future__ import annotations

import json
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from interlock.commands import ledger as commands
from interlock.errors import InputError, UnknownName
from interlock.ledger.audit.export import exported_events, read_instant
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import audit_event
from workflows import Clock, Workflow, rows


@pytest.fixture
def flow(tmp_path: Path, ledger: Ledger) -> Workflow:
    flow = Workflow(tmp_path, ledger)
    flow.up_to("report", rows("sure=0.95 my card is 4000-1234", "not sure, says Xaviera Quill"))
    return flow


def test_every_event_is_exported_once_with_its_place_and_digest(flow: Workflow):
    exported = list(exported_events(flow.ledger))

    stored = {(row["chain"], row["number"]): row for row in flow.table(audit_event)}
    assert len(exported) == len(stored)
    for event in exported:
        row = stored[event["chain"], event["number"]]
        assert list(event) == ["chain", "number", "at", "actor", "kind", "subject", "facts", "digest"]
        assert (event["digest"], event["kind"], event["subject"]) == (row["digest"], row["kind"], row["subject"])
        assert datetime.fromisoformat(event["at"]) == row["at"]
        assert event["actor"].split(":")[0] in ("person", "task", "agent")
    routed = [event for event in exported if event["kind"] == "case.routed"]
    assert {event["facts"]["route"] for event in routed} == {"auto", "fallback", "review"}
    assert [event["at"] for event in exported] == sorted(event["at"] for event in exported)


def test_no_content_is_exported(flow: Workflow):
    told = json.dumps(list(exported_events(flow.ledger)))

    assert "4000-1234" not in told
    assert "Xaviera" not in told


def test_only_the_chain_that_is_asked_for_is_exported_in_its_order(flow: Workflow):
    chain = next(row["chain"] for row in flow.table(audit_event) if row["chain"].startswith("run:"))

    exported = list(exported_events(flow.ledger, chain=chain))

    assert {event["chain"] for event in exported} == {chain}
    assert [event["number"] for event in exported] == list(range(1, len(exported) + 1))
    with pytest.raises(UnknownName, match="Did you mean 'run:"):
        list(exported_events(flow.ledger, chain=chain[:-1] + "~"))


def test_events_since_an_instant_are_those_of_it_and_later(sqlite_ledger: Ledger, tmp_path: Path):
    clock = Clock()
    flow = Workflow(tmp_path, Ledger(sqlite_ledger.engine, "test", clock))
    flow.intake(rows("sure=0.95"))
    clock.forward(minutes=5)
    flow.role("judge")

    later = list(exported_events(flow.ledger, since=clock.now))

    assert {event["at"] for event in later} == {clock.now.isoformat(timespec="microseconds")}
    assert "handoff.made" in {event["kind"] for event in later}
    assert "case.taken_in" not in {event["kind"] for event in later}
    assert list(exported_events(flow.ledger, since=clock.now + timedelta(microseconds=1))) == []


def test_an_instant_needs_a_time_zone():
    assert read_instant("2026-03-02T10:00:00+01:00") == datetime(2026, 3, 2, 9, tzinfo=UTC)
    for text in ("2026-03-02", "2026-03-02T09:00:00", "yesterday", ""):
        with pytest.raises(InputError, match="is no instant with a time zone"):
            read_instant(text)


def test_the_command_writes_a_line_for_each_event(
    tmp_path: Path, sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(commands, "LedgerHook", lambda: Namespace(get_conn=lambda: sqlite_ledger))
    Workflow(tmp_path, sqlite_ledger).intake(rows("sure=0.95"))
    file = tmp_path / "events.jsonl"

    commands.export(Namespace(since=None, chain=None, file=None))
    printed = capsys.readouterr().out
    commands.export(Namespace(since=None, chain=None, file=str(file)))

    assert [json.loads(line) for line in printed.splitlines()] == list(exported_events(sqlite_ledger))
    assert file.read_text("utf-8") == printed
    assert list(tmp_path.glob("*.part")) == []
