"""
Renders templates: one Jinja environment, in which everything is escaped, and the format of values on a page.

Texts of customers and models are rendered here, so no template may mark anything as safe. Styles and scripts are files
of our own: the Content-Security-Policy forbids inline ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from interlock.console.address import base_path, console_path
from interlock.engine.reports.value import tell_cost, tell_usd

LONG = 70
"""Characters from which a text gets a block of its own."""


@cache
def templates() -> Environment:
    """Return the environment of the console's templates."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"moment": moment, "ago": ago, "percent": percent, "words": words, "arranged": arranged}
    made.filters |= {"usd": tell_usd, "cost": tell_cost}
    made.tests |= {"long": is_long, "listing": is_listing, "mapping_list": is_mapping_list}
    made.globals |= {"url": console_path, "form_fields": form_fields, "blank_fields": blank_fields, "as_text": as_text}
    return made


def render(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return the page *template*, filled in."""
    values = {"person": None, "here": "", "base": base_path(), **values}
    return HTMLResponse(templates().get_template(template).render(**values), status_code=status)


def moment(value: datetime | str | None) -> str:
    """Return an instant as ``2026-11-23 07:46 UTC``."""
    if value is None:
        return ""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def ago(value: datetime | str, now: datetime) -> str:
    """Return how long ago *value* was, in its largest unit: ``3 h``."""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    seconds = max((now - at).total_seconds(), 0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return "just now"


def percent(share: float | None) -> str:
    """Return a share as ``98.5%``; none is a dash. Only a whole one reads as 100%, and only nothing as 0%."""
    if share is None:
        return "–"
    if 0.9995 <= share < 1:
        return "> 99.9%"
    if 0 < share < 0.0005:
        return "< 0.1%"
    return f"{share * 100:.1f}%".replace(".0%", "%")


def words(name: str) -> str:
    """Return a field's or an event's name as words: ``business_key`` is ``business key``."""
    return name.replace("_", " ").replace(".", " ")


def arranged(values: Mapping[str, Any]) -> list[tuple[str, Any, bool]]:
    """
    Return the fields that are not empty as (name, value, whether it needs a block of its own), the short ones first.

    The ledger returns payloads in alphabetical order, in which a subject follows its citations.
    """
    filled = [(name, value) for name, value in values.items() if value is not None and value not in ("", [], {})]
    texts = [value for _, value in filled if isinstance(value, str) and " " in value]
    main = max(texts, key=len, default="")

    def is_wide(value: Any) -> bool:
        return is_long(value) or is_mapping_list(value) or isinstance(value, Mapping) or (value == main and main != "")

    return sorted(
        ((name, value, is_wide(value)) for name, value in filled), key=lambda field: (field[2], is_long(field[1]))
    )


def is_long(value: Any) -> bool:
    """Return whether *value* is a text that needs a block of its own."""
    return isinstance(value, str) and (len(value) > LONG or "\n" in value)


def is_listing(value: Any) -> bool:
    """Return whether *value* is a list of plain values."""
    return isinstance(value, (list, tuple)) and not any(isinstance(item, (Mapping, list, tuple)) for item in value)


def is_mapping_list(value: Any) -> bool:
    """Return whether *value* is a list of objects: alternatives, passages."""
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, Mapping) for item in value)


def field_kind(value: Any) -> str:
    """Return how a field is edited: ``text``, ``long``, ``lines``, ``number``, ``flag`` or ``json``."""
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "long" if is_long(value) else "text"
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) and "\n" not in item for item in value):
        return "lines"
    return "json"


def form_fields(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the fields of a form that edits *payload*: ``name``, ``kind`` (see :func:`field_kind`) and ``value``."""
    return [{"name": name, "kind": field_kind(value), "value": value} for name, value in payload.items()]


def blank_fields(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the fields of a form in which a person writes what a contract's JSON *schema* asks for."""
    kinds = {"string": "long", "number": "number", "integer": "number", "boolean": "flag"}
    fields = []
    for name, of in schema.get("properties", {}).items():
        one = next((variant for variant in of.get("anyOf", []) if variant.get("type") != "null"), of)
        is_lines = one.get("type") == "array" and one.get("items", {}).get("type") == "string"
        kind = "lines" if is_lines else kinds.get(str(one.get("type")), "json")
        fields.append({"name": name, "kind": kind, "value": of.get("default", [] if is_lines else None)})
    return fields


def as_text(value: Any) -> str:
    """Return *value* as the text of a form's field."""
    import json

    kind = field_kind(value)
    if kind == "lines":
        return "\n".join(value)
    if kind == "json":
        return "" if value is None else json.dumps(value, ensure_ascii=False, indent=2)
    return str(value)


def message_of(payload: Mapping[str, Any]) -> str:
    """Return the text that a case is about, in one line: its longest one; of a finding, its title and what to do."""
    if payload.get("kind") in ("review", "insight") and "facts" in payload:
        title, advice = str(payload.get("title") or ""), str(payload.get("recommendation") or "")
        return f"{title.rstrip('.')}. {advice}" if advice else title
    texts: Sequence[str] = [value for value in payload.values() if isinstance(value, str)]
    return " ".join(max(texts, key=len, default="").split())
