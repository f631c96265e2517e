"""The outbox on a real file system: whole files, once each, and words for what goes wrong."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from interlock.connectors.load import open_connector
from interlock.connectors.outbox import Outbox
from interlock.domain.effects.connector import ConnectionFields, EffectRequest, OutboxConnector
from interlock.errors import ConfigurationError, ConnectorUnavailable, EffectRefused
from reviews import a_finding, measured, written

DECLARED = OutboxConnector(kind="outbox", conn_id="interlock_outbox")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def an_effect(key: str = "a1", **payload) -> EffectRequest:
    return EffectRequest(
        key=key,
        business_key="T-1",
        action="reply",
        payload=payload or {"text": "Grüße, 40 €"},
        environment="test",
    )


def an_outbox(folder: Path) -> Outbox:
    return Outbox("outbox", DECLARED, folder, now=lambda: NOON)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_effect_is_one_file_named_by_its_key(tmp_path):
    receipt = an_outbox(tmp_path / "new" / "outbox").send(an_effect())

    assert files(tmp_path / "new" / "outbox") == ["a1.json"]
    assert json.loads((tmp_path / "new" / "outbox" / "a1.json").read_text(encoding="utf-8")) == {
        "key": "a1",
        "business_key": "T-1",
        "action": "reply",
        "payload": {"text": "Grüße, 40 €"},
        "sent_at": "2026-11-23T12:00:00+00:00",
    }
    assert (receipt.reference, receipt.detail) == ("a1.json", {"sent_at": "2026-11-23T12:00:00+00:00"})


def test_an_effect_that_was_not_sent_is_not_there(tmp_path):
    assert an_outbox(tmp_path).look(an_effect()) is None


def test_sending_twice_is_sending_once_and_the_first_receipt_counts(tmp_path):
    first = an_outbox(tmp_path).send(an_effect())
    written = (tmp_path / "a1.json").stat()

    later = Outbox("outbox", DECLARED, tmp_path, now=lambda: datetime(2027, 1, 1, tzinfo=UTC))

    assert later.send(an_effect()) == first
    assert later.look(an_effect()) == first
    assert (tmp_path / "a1.json").stat().st_ino == written.st_ino
    assert (tmp_path / "a1.json").stat().st_mtime_ns == written.st_mtime_ns


@pytest.mark.parametrize(
    "content", ['{"key": "a1", "payload": {"text": "other"}}', "not json", "[]", '"a1"', "", b"\xff\xfe"]
)
def test_a_file_with_another_content_is_refused_and_left_alone(tmp_path, content):
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "a1.json").write_bytes(raw)

    for attempt in (an_outbox(tmp_path).send, an_outbox(tmp_path).look):
        with pytest.raises(EffectRefused, match=r"'a1.json' with other content"):
            attempt(an_effect())

    assert (tmp_path / "a1.json").read_bytes() == raw
    assert files(tmp_path) == ["a1.json"]


def test_what_a_killed_attempt_left_half_written_is_not_an_effect(tmp_path):
    (tmp_path / ".a1.x7.part").write_text('{"key": "a1", "busi')

    assert an_outbox(tmp_path).look(an_effect()) is None
    an_outbox(tmp_path).send(an_effect())
    assert json.loads((tmp_path / "a1.json").read_text())["key"] == "a1"


def _send_to(folder: str, start, said) -> None:
    outbox = Outbox("outbox", DECLARED, Path(folder))
    start.wait(30)
    said.put(outbox.send(an_effect()).detail["sent_at"])


def test_processes_that_send_the_same_effect_at_once_write_it_once(tmp_path):
    context = multiprocessing.get_context("fork")
    start, said = context.Event(), context.Queue()
    senders = [context.Process(target=_send_to, args=(str(tmp_path), start, said)) for _ in range(4)]
    for sender in senders:
        sender.start()
    start.set()

    receipts = {said.get(timeout=30) for _ in senders}

    for sender in senders:
        sender.join(30)
    assert files(tmp_path) == ["a1.json"]
    assert receipts == {json.loads((tmp_path / "a1.json").read_text())["sent_at"]}


def test_threads_that_send_different_contents_under_one_key_get_one_effect(tmp_path):
    outcomes: list[str] = []

    def attempt(number: int) -> None:
        try:
            an_outbox(tmp_path).send(an_effect(number=number))
            outcomes.append("sent")
        except EffectRefused:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(outcomes) == ["refused"] * 5 + ["sent"]
    assert files(tmp_path) == ["a1.json"]


def test_a_folder_that_went_away_is_not_an_empty_folder(tmp_path):
    outbox = an_outbox(tmp_path / "share")
    outbox.send(an_effect())
    (tmp_path / "share").rename(tmp_path / "unmounted")

    with pytest.raises(ConnectorUnavailable, match="is gone"):
        outbox.look(an_effect())
    with pytest.raises(ConnectorUnavailable, match="No such file"):
        outbox.send(an_effect())


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="needs /dev/full")
def test_a_full_disk_is_told_and_leaves_nothing_behind(tmp_path, monkeypatch):
    """The write really fails with ENOSPC: the temporary file is opened on the device that is always full."""
    real = tempfile.mkstemp

    def on_a_full_device(**wanted):
        handle, part = real(**wanted)
        os.close(handle)
        return os.open("/dev/full", os.O_WRONLY), part

    outbox = an_outbox(tmp_path)
    monkeypatch.setattr(tempfile, "mkstemp", on_a_full_device)

    with pytest.raises(ConnectorUnavailable, match=r"No space left on device\. Make room; nothing was sent") as caught:
        outbox.send(an_effect())

    assert caught.value.retryable
    assert files(tmp_path) == []


def test_a_file_where_the_folder_should_be_is_told(tmp_path):
    (tmp_path / "outbox").write_text("")

    with pytest.raises(ConfigurationError, match="cannot be created: File exists"):
        an_outbox(tmp_path / "outbox")
    with pytest.raises(ConfigurationError, match="cannot be created: Not a directory"):
        an_outbox(tmp_path / "outbox" / "below")


def _try_without_rights(folder: str, said) -> None:
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    try:
        Outbox("outbox", DECLARED, Path(folder)).send(an_effect())
    except ConfigurationError as error:
        said.put(str(error))
    else:
        said.put("sent")


def test_a_folder_without_the_right_to_write_is_told():
    """In a process of its own that gives up root, because root may write anywhere."""
    context = multiprocessing.get_context("fork")
    said = context.Queue()
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        Path(folder).chmod(0o555)
        process = context.Process(target=_try_without_rights, args=(folder, said))
        process.start()

        assert "cannot be written to: Permission denied. Give the user of the worker" in said.get(timeout=30)

        process.join(30)
        Path(folder).chmod(0o755)


@pytest.mark.parametrize(
    "fields", [{"extra": {"path": "$OUTBOX_HOME/box"}}, {"host": "$OUTBOX_HOME/box"}], ids=["path of the extra", "host"]
)
def test_the_connection_names_the_folder(tmp_path, monkeypatch, fields):
    monkeypatch.setenv("OUTBOX_HOME", str(tmp_path))

    connector = open_connector("outbox", DECLARED, ConnectionFields(conn_id="interlock_outbox", **fields))
    connector.send(an_effect())
    connector.close()

    assert files(tmp_path / "box") == ["a1.json"]
    assert (connector.name, connector.kind, connector.timeout_seconds) == ("outbox", "outbox", 30.0)


@pytest.mark.parametrize("fields", [{}, {"host": "outbox"}, {"extra": {"path": "$NOT_SET_ANYWHERE/x"}}])
def test_a_connection_without_an_absolute_folder_says_what_to_set(fields):
    with pytest.raises(ConfigurationError, match=r'"path": "/srv/outbox"'):
        open_connector("outbox", DECLARED, ConnectionFields(conn_id="interlock_outbox", **fields))


def test_a_review_stands_beside_its_file_as_people_read_it(tmp_path):
    case = a_finding(measured())
    effect = EffectRequest(
        key="a1",
        business_key="2014-06-16/review",
        action="outbox",
        payload=written(case).model_dump(mode="json"),
        environment="test",
        case=case,
    )
    outbox = Outbox("outbox", OutboxConnector(kind="outbox", conn_id="o", undo="withdraw"), tmp_path, now=lambda: NOON)

    outbox.send(effect)
    assert outbox.send(effect) == outbox.look(effect)
    assert files(tmp_path) == ["a1.html", "a1.json", "a1.md"]
    assert "Spend stood at" in (tmp_path / "a1.html").read_text(encoding="utf-8")

    outbox.undo(effect)
    assert files(tmp_path) == []
