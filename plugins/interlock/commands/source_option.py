"""The options that say how the texts of a source are written, beside the source itself."""

from __future__ import annotations

from typing import Any

from interlock.domain.data.source import SourceSpec

OPTIONS = ("delimiter", "encoding", "decimal", "thousands", "day_first")


def notation_of(args: Any) -> dict[str, Any]:
    """Return the options that were given, as keys of a source."""
    return {name: found for name in OPTIONS if (found := getattr(args, name, None))}


def as_declared(source: str, spec: SourceSpec) -> Any:
    """Return *source* as a declaration has it: the text, or a mapping where options say more than it does."""
    given = spec.model_dump(exclude_unset=True)
    return source if set(given) == {"path"} else given
