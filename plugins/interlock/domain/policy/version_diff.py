"""
What is another between two versions: texts line by line, data and contracts by their digests.

Two bundles that differ in nothing give an empty text; a data file whose digest is the same is not named.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import unified_diff

from interlock.domain.policy.version import Bundle


def difference(before: Bundle, after: Bundle, *, names: tuple[str, str]) -> str:
    """
    Return the unified difference of two bundles of a workflow, empty when they say the same.

    :param names: what the two are called in the headings: ``version 3``, ``include``.
    """
    lines: list[str] = []
    for path in sorted({*before.files, *after.files}):
        lines += _text(path, before.files.get(path), after.files.get(path), names)
    lines += _digests("data", before.data, after.data, names)
    contracts = [
        {name: f"{contract['digest'][:16]} ({contract['ref']})" for name, contract in bundle.contracts.items()}
        for bundle in (before, after)
    ]
    lines += _digests("contract", contracts[0], contracts[1], names)
    return "\n".join(lines)


def _text(path: str, before: str | None, after: str | None, names: tuple[str, str]) -> list[str]:
    if before == after:
        return []
    found = list(
        unified_diff(
            (before or "").splitlines(),
            (after or "").splitlines(),
            f"{names[0]}: {path}" if before is not None else f"{names[0]}: (no such file)",
            f"{names[1]}: {path}" if after is not None else f"{names[1]}: (no such file)",
            lineterm="",
        )
    )
    return found or [f"{path}: line ends or the last line's end differ"]


def _digests(kind: str, before: Mapping[str, str], after: Mapping[str, str], names: tuple[str, str]) -> list[str]:
    lines = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        lines.append(f"{kind} {name}")
        lines += [f"- {names[0]}: {_short(old)}", f"+ {names[1]}: {_short(new)}"]
    return lines


def _short(digest: str | None) -> str:
    if digest is None:
        return "is not there"
    return digest if "(" in digest else f"sha256 {digest[:16]}"
