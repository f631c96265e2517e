"""
What Interlock declares to Airflow's provider manager: its commands, its settings and its connection type.

A plugin cannot add commands or settings, but a provider can, so the distribution is both. Airflow imports this module
in every process, so it imports nothing itself.
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
    """Return the provider description, as Airflow's ``provider_info.schema.json`` requires."""
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
                "description": "Interlock runs AI agents as governed batch work.",
                "options": {
                    "environment": _option(
                        "Environment of this Airflow: ``test``, ``staging`` or ``production``. Each has its own policy "
                        "versions, approvals and cases in the ledger.",
                        "test",
                    ),
                    "include_path": _option(
                        "Folder with one subfolder per workflow. Empty: ``include`` next to the Dags folder, in "
                        "AIRFLOW_HOME or in the working directory.",
                        "",
                        example="/opt/airflow/include",
                    ),
                    "ledger_conn_id": _option(
                        "Id of the Airflow connection to the ledger's database.", "interlock_ledger"
                    ),
                    "ledger_url": _option(
                        "SQLAlchemy URL of the ledger's database, used if that connection does not exist. "
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
                        "Folder for snapshots of datasets, shared by all workers, or an object storage path. "
                        "Empty: ``interlock_snapshots`` in AIRFLOW_HOME.",
                        "",
                        example="s3://aws_default@company-data/interlock",
                    ),
                    "source_roots": _option(
                        "Folders and files that the sources of runs may be read from, beside the folders ``data`` of "
                        "``include``: a JSON list, or separated by commas. A relative one starts at the project's "
                        "folder; one such as ``s3://bucket/folder`` is for objects without a connection.",
                        "",
                        example="/srv/exports, s3://company-data/inbox",
                    ),
                    "source_hosts": _option(
                        "Hosts (``host`` or ``host:port``) that sources with an open address (``https://…``) may ask: "
                        "a JSON list, or separated by commas. Empty: none; services are reached through connections.",
                        "",
                        example="data.example.com, localhost:8000",
                    ),
                    "source_max_bytes": _option(
                        "Bytes that one source may have, unpacked. A packed one of more than 64 MiB may unpack to at "
                        "most 250 times its size.",
                        "4294967296",
                    ),
                    "source_max_rows": _option("Rows that one source may have.", "50000000"),
                    "source_max_line_bytes": _option("Bytes that a line of a text file may have.", "16777216"),
                    "notifiers": _option(
                        "How notices are sent: a JSON list of Airflow notifiers, each with import path and arguments. "
                        "Empty: notices stay in the ledger, unsent.",
                        "",
                        example='[{"notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier", '
                        '"kwargs": {"to": "{to}", "subject": "{subject}", "html_content": "{body}"}}]',
                    ),
                    "find_names": _option(
                        "Import path of a function ``def f(text) -> [(start, end, kind)]`` that finds names of people, "
                        "places and organisations in a text. Empty: names are not found, and where a policy requires "
                        "it, nothing is sent.",
                        "",
                        example="our_company.names.find",
                    ),
                },
            }
        },
    }
