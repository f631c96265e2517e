"""``airflow interlock forget``"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from interlock.commands.person import call
from interlock.commands.terminal import command


@command
def forget(args: Any) -> None:
    """Erase a case's personal data as the person who is logged in."""
    body = {"reason": args.reason, "key_too": args.key_too}
    answer = call("POST", f"/cases/{quote(args.case, safe='')}/forget", body)
    print(
        f"{answer['case']} is forgotten and {answer['state']}: {answer['payloads']} payloads erased, "
        f"{answer['texts']} texts blanked"
    )
