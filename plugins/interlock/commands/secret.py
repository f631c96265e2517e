"""``airflow interlock secrets``."""

from __future__ import annotations

from typing import Any

from interlock.commands.terminal import command, print_json, print_table
from interlock.engine.policy.secret_report import secret_report
from interlock.hooks.ledger import LedgerHook


@command
def secrets(args: Any) -> None:
    """Print the connections in use, and problems with them; never a secret."""
    found = secret_report(LedgerHook().get_conn(), _find)
    if args.json:
        print_json(found)
        return
    print_table(
        found["connections"],
        {"conn_id": "CONNECTION", "users": "USED BY", "environments": "ALLOWED IN", "age": "AGE"},
        empty="No policy or connector here uses a connection",
    )
    for row in found["connections"]:
        for finding in row["findings"]:
            print(f"warning: {row['conn_id']}: {finding}")
    for warning in found["warnings"]:
        print(f"warning: {warning}")


def _find(conn_id: str) -> Any:
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return None
