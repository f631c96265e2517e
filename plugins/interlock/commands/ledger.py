"""``airflow interlock ledger …``"""

from __future__ import annotations

from typing import Any

from interlock.commands.terminal import command, print_json
from interlock.errors import Tampered
from interlock.hooks.ledger import LedgerHook
from interlock.ledger.migrate import migrate as bring_up
from interlock.ledger.verify import verify as prove


@command
def migrate(args: Any) -> None:
    """Bring the tables to the newest shape."""
    ledger = LedgerHook().get_conn()
    before, after = bring_up(ledger.engine)
    place = ledger.engine.url.render_as_string(hide_password=True)
    print(f"{place}: {'already at' if before == after else 'now at'} revision {after}")


@command
def verify(args: Any) -> None:
    """Print what verifying found; exit code 1 when something is wrong."""
    found = prove(LedgerHook().get_conn())
    if args.json:
        print_json(
            {
                "events": found.events,
                "chains": found.chains,
                "rows": found.rows,
                "payloads": found.payloads,
                "problems": found.problems,
            }
        )
        if not found.is_sound:
            raise SystemExit(1)
        return
    print(f"{found.events} events in {found.chains} chains, {found.rows} rows, {found.payloads} payloads")
    if not found.is_sound:
        raise Tampered("\n  " + "\n  ".join(found.problems))
    print("the ledger is sound")
