"""
Draws the house from its imports: the layers, and the rooms of those that have rooms.

``python tests/house.py`` prints the drawing; with ``--write`` it renews the one in the contributor's page, which
``make format`` does, too. An arrow leads from who imports to what is imported; where a longer way leads there, it is
omitted.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

PLUGINS = Path(__file__).parents[1] / "plugins"
PACKAGE = PLUGINS / "interlock"
PAGE = PLUGINS.parent / "include" / "docs" / "contributing.md"
BEGIN, END = "<!-- Made by tests/house.py: `make format` renews it. -->", "<!-- The end of what is made. -->"
WITH_ROOMS = ("domain", "ledger", "engine")


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted name of everything that a file imports, inside functions as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def dotted(path: Path) -> str:
    """Return the name under which a file of the package is imported."""
    return ".".join(path.relative_to(PLUGINS).with_suffix("").parts).removesuffix(".__init__")


def module_graph() -> dict[str, set[str]]:
    """Return what each module of the package imports of it, at its top, for types, and inside functions."""
    files = {dotted(path): path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts}
    found: dict[str, set[str]] = {}
    for name, path in files.items():
        asked = {(said if said in files else said.rpartition(".")[0]) for said in imported(path)}
        found[name] = (asked & set(files)) - {name}
    return found


def folders(graph: Mapping[str, set[str]], inside: Path) -> dict[str, set[str]]:
    """Return which of the folders in *inside* imports which of them."""
    names = sorted(path.parent.name for path in inside.glob("*/__init__.py"))
    before = dotted(inside / "__init__.py").split(".")
    found: dict[str, set[str]] = {name: set() for name in names}

    def folder_of(module: str) -> str | None:
        parts = module.split(".")
        is_inside = parts[: len(before)] == before and len(parts) > len(before)
        return parts[len(before)] if is_inside and parts[len(before)] in found else None

    for module, asked in graph.items():
        if here := folder_of(module):
            found[here] |= {there for other in asked if (there := folder_of(other)) and there != here}
    return found


def reduced(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return *arrows*, which make no circle, without those that a longer way makes superfluous."""

    def reached(name: str) -> set[str]:
        return set(arrows[name]).union(*map(reached, arrows[name]))

    return {name: asked - set().union(*map(reached, asked)) for name, asked in arrows.items()}


def chart(arrows: Mapping[str, set[str]]) -> str:
    """Return *arrows* as a Mermaid flowchart, who imports above what is imported."""
    lines = [f"  {name} --> {other}" for name, asked in sorted(reduced(arrows).items()) for other in sorted(asked)]
    connected = set(arrows).intersection(word for line in lines for word in line.split())
    alone = [f"  {name}" for name in sorted(set(arrows) - connected)]
    return "\n".join(["```mermaid", "flowchart TD", *lines, *alone, "```"])


def drawing() -> str:
    """Return the layers and the rooms, as Markdown."""
    graph = module_graph()
    parts = [chart(folders(graph, PACKAGE))]
    for layer in WITH_ROOMS:
        parts += [f"The rooms of `{layer}`:", chart(folders(graph, PACKAGE / layer))]
    return "\n\n".join(parts)


def drawn(page: str) -> str:
    """Return *page* with the drawing of now."""
    said, count = re.subn(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: f"{BEGIN}\n\n{drawing()}\n\n{END}", page, flags=re.DOTALL
    )
    assert count == 1, f"{PAGE.name} has no place for the drawing: {BEGIN} … {END}"
    return said


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(drawn(PAGE.read_text("utf-8")), "utf-8")
    else:
        print(drawing())
