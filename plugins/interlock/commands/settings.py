"""``airflow interlock settings import``"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interlock.commands.terminal import command
from interlock.settings_import import import_settings


@command
def import_(args: Any) -> None:
    """Import the file into Airflow."""
    summary = import_settings(Path(args.file))
    for kind in ("connections", "pools", "variables"):
        names = getattr(summary, kind)
        if names:
            print(f"{kind}: {', '.join(names)}")
    for warning in summary.warnings:
        print(f"warning: {warning}")
