"""Words that go with a number."""

from __future__ import annotations


def counted(number: int, noun: str, verb: str = "") -> str:
    """Return ``1 case`` or ``2 cases``; with the verb ``wait`` also ``1 case waits``, ``2 cases wait``."""
    if number == 1:
        singular = {"are": "is", "have": "has", "": ""}.get(verb, f"{verb}s")
        return f"1 {noun} {singular}".rstrip()
    many = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{number} {many} {verb}".rstrip()
