"""
A review as HTML: a file of its own, with its styles and drawings inside, or the part of a page that holds it.

The file asks for nothing over the network. Its numbers lead to its own list of sources, and those, where the console's
address is known, to the rows behind each number.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from interlock.reporting.view import View

FOLDER = Path(__file__).parent


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style() -> str:
    """Return the styles of a review."""
    return (FOLDER / "static" / "review.css").read_text(encoding="utf-8")


def render_html(view: View, *, console: str | None = None, charts: str = "drawn", level: int = 1) -> str:
    """
    Return the review as a file of its own.

    :param console: address of Interlock's console, for links to the rows behind each fact; default: none.
    :param charts: ``drawn``, or ``attached``: pictures that come with a mail, as ``cid:chart-1`` and so on.
    """
    return (
        _templates()
        .get_template("file.html.j2")
        .render(view=view, style=Markup(style()), body=render_body(view, console=console, charts=charts, level=level))
    )


def render_body(
    view: View, *, console: str | None = None, charts: str = "drawn", level: int = 2, is_folded: bool = False
) -> Markup:
    """
    Return the review as a part of a page, whose own heading is above it: *level* is that of the review's title.

    :param is_folded: its sources, often longer than all else, open at a click on them or on a number.
    """
    numbers = iter(range(1, 10_000))
    body = (
        _templates()
        .get_template("review.html.j2")
        .render(
            view=view,
            console=console.rstrip("/") if console else None,
            charts=charts,
            level=level,
            is_folded=is_folded,
            draw=lambda drawing: Markup(drawing.svg(next(numbers))),
            count=lambda: next(numbers),
        )
    )
    return Markup(body)
