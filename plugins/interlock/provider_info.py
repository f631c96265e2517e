"""
What Airflow's provider manager asks of Interlock: its commands, its settings and its connection type.

A plugin cannot add commands or settings, a provider can, so the one distribution is both. Airflow reads this in every
process, so nothing is imported here.
"""

from __future__ import annotations

from typing import Any


def _option(description: str, default: str, *, example: str | None = None) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": "string",
        "example": example,
        "default": default,
    }


def get_provider_info() -> dict[str, Any]:
    """Return the provider description, in the form that Airflow's ``provider_info.schema.json`` asks."""
    return {
        "package-name": "interlock",
        "name": "Interlock",
        "description": "AI agents as governed batch work: rules decide, people sign off, one ledger remembers.",
        "versions": ["0.1.0"],
        "cli": ["interlock.cli.get_commands"],
        "connection-types": [
            {
                "connection-type": "interlock",
                "hook-class-name": "interlock.hooks.ledger.LedgerHook",
                "hook-name": "Interlock ledger",
            }
        ],
        "config": {
            "interlock": {
                "description": "AI agents as governed batch work.",
                "options": {
                    "environment": _option(
                        "Which policy versions are in force here: ``test``, ``staging`` or ``production``.", "test"
                    ),
                    "include_path": _option(
                        "A folder per workflow. Empty: ``include`` beside the Dags folder or in AIRFLOW_HOME.",
                        "",
                        example="/opt/airflow/include",
                    ),
                    "ledger_conn_id": _option("Airflow connection of the ledger's database.", "interlock_ledger"),
                    "ledger_url": _option(
                        "SQLAlchemy URL of the ledger where that connection does not exist. "
                        "Empty: the SQLite file ``interlock.db`` in AIRFLOW_HOME.",
                        "",
                        example="postgresql+psycopg://interlock@db.example.com/interlock",
                    ),
                    "cache_path": _option(
                        "Folder for trained classifiers. Empty: ``interlock_cache`` in AIRFLOW_HOME.",
                        "",
                        example="/var/cache/interlock",
                    ),
                    "snapshot_path": _option(
                        "Folder for snapshots of datasets, which all workers share, or an object storage path. "
                        "Empty: ``interlock_snapshots`` in AIRFLOW_HOME.",
                        "",
                        example="s3://aws_default@company-data/interlock",
                    ),
                    "notifiers": _option(
                        "How notices are sent: a JSON list of Airflow notifiers by dotted path, with their arguments. "
                        "Empty: notices wait in the ledger.",
                        "",
                        example='[{"notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier", '
                        '"kwargs": {"to": "{to}", "subject": "{subject}", "html_content": "{body}"}}]',
                    ),
                    "find_names": _option(
                        "Function ``def f(text) -> [(start, end, kind)]`` by dotted path, which says where a text "
                        "names people, places and organisations. Empty: nobody can, and a policy that requires it "
                        "sends nothing.",
                        "",
                        example="our_company.names.find",
                    ),
                },
            }
        },
    }
