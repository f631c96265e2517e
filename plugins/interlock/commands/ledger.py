"""``airflow interlock ledger …``"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from interlock.commands.terminal import command, print_json
from interlock.domain.base.plural import counted
from interlock.errors import InputError, Tampered
from interlock.hooks.ledger import LedgerHook
from interlock.ledger.audit.anchor import read_anchor, take_anchor
from interlock.ledger.audit.export import exported_events, read_instant
from interlock.ledger.audit.reseal import reseal
from interlock.ledger.audit.verify import verify as verify_ledger
from interlock.ledger.store.grants import grants as grants_for
from interlock.ledger.store.migrate import migrate as migrate_tables
from interlock.ledger.store.transaction import Actor


@command
def migrate(args: Any) -> None:
    """Create or upgrade the tables."""
    ledger = LedgerHook().get_conn()
    before, after = migrate_tables(ledger.engine)
    place = ledger.engine.url.render_as_string(hide_password=True)
    print(f"{place}: {'already at' if before == after else 'now at'} revision {after}")


@command
def verify(args: Any) -> None:
    """Verify the ledger and print the result; exit code 1 if something is wrong."""
    anchors = [read_anchor(_read(path), where=path) for path in args.anchor]
    found = verify_ledger(LedgerHook().get_conn(), anchors=anchors)
    if args.json:
        print_json(
            {
                "events": found.events,
                "chains": found.chains,
                "rows": found.rows,
                "payloads": found.payloads,
                "payloads_unread": found.unread,
                "forgotten": found.forgotten,
                "anchors": len(anchors),
                "problems": found.problems,
            }
        )
        if not found.is_sound:
            raise SystemExit(1)
        return
    print(f"{found.events} events in {found.chains} chains, {found.rows} rows, {found.payloads} payloads")
    if found.unread:
        print("payloads were not verified: this database role may not read them")
    if found.forgotten:
        print(f"{found.forgotten} {'case was' if found.forgotten == 1 else 'cases were'} forgotten")
    for one in anchors:
        print(f"compared with anchor {one.number} of {one.taken_at}, of {len(one.chains)} chains")
    if not found.is_sound:
        raise Tampered("\n  " + "\n  ".join(found.problems))
    print("the ledger is sound")


@command
def seal(args: Any) -> None:
    """Print which keys sealed the ledger's rows, and seal again what earlier keys or none did."""
    found = reseal(LedgerHook().get_conn(), actor=Actor("command", "ledger seal"), unsealed=args.unsealed)
    for name, rows in sorted(found.by_key.items()):
        print(f"key {name}: {counted(rows, 'row')}")
    for rows, what in (
        (found.renewed, "of earlier keys sealed again with the present one"),
        (found.first, "that had no seal sealed"),
        (found.without, "without a seal"),
    ):
        if rows:
            print(f"{counted(rows, 'row')} {what}")
    if found.to_ask_again:
        print(f"{counted(found.to_ask_again, 'case')} authorised before there were seals: asked again, not sent")
    if found.broken:
        raise Tampered("\n  " + "\n  ".join(found.broken))


@command
def anchor(args: Any) -> None:
    """Create an anchor, and print it or write it to a new file."""
    ledger, actor = LedgerHook().get_conn(), Actor("command", "ledger anchor")
    if args.file is None:
        print_json(take_anchor(ledger, actor=actor).to_json())
        return
    try:
        # "x", and before the anchor is taken: a file that exists is never overwritten.
        with open(args.file, "x", encoding="utf-8") as stream:
            taken = take_anchor(ledger, actor=actor)
            json.dump(taken.to_json(), stream, indent=2, ensure_ascii=False)
            stream.write("\n")
    except FileExistsError:
        raise InputError(f"{args.file!r} exists, and an anchor is never overwritten. Give a new name") from None
    except OSError as error:
        raise InputError(f"{args.file!r} cannot be written: {error.strerror}") from None
    print(f"anchor {taken.number} of {len(taken.chains)} chains is in {args.file}; keep it apart from the ledger")


@command
def export(args: Any) -> None:
    """Print the audit events or write them to a file, one JSON document a line."""
    since = read_instant(args.since) if args.since else None
    events = exported_events(LedgerHook().get_conn(), since=since, chain=args.chain)
    with ExitStack() as stack:
        stream, part = sys.stdout, f"{args.file}.part"
        if args.file:
            try:
                stream = stack.enter_context(open(part, "w", encoding="utf-8"))
            except OSError as error:
                raise InputError(f"{part!r} cannot be written: {error.strerror}") from None
        for event in events:
            stream.write(json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n")
    if args.file:
        os.replace(part, args.file)


@command
def grants(args: Any) -> None:
    """Print the SQL that grants three PostgreSQL roles their rights."""
    print(grants_for(worker=args.worker, console=args.console, auditor=args.auditor))


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path!r} cannot be read: {error}") from None
