"""
Charts as SVG, drawn on the server: Vega-Lite describes them, vl-convert draws them, a page loads nothing to show them.

A drawing names its colours by roles; in a page they are CSS variables, so that one drawing serves light, dark and
paper, and in a picture for a mail they are the light ones.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from interlock.domain.facts.fact import Fact, show_number
from interlock.domain.reviews.review import Chart

WIDTH, LINE_HEIGHT, BAR_HEIGHT = 620, 190, 30
_TICKS = 6

ROLES = {
    "line": ("#010101", "#1d5fa8"),
    "mark": ("#010102", "#b3261e"),
    "band": ("#010103", "#c9d8ea"),
    "target": ("#010104", "#7a5a00"),
    "up": ("#010105", "#1d5fa8"),
    "down": ("#010106", "#b25a12"),
    "text": ("#010107", "#1b2530"),
    "quiet": ("#010108", "#5b6775"),
    "grid": ("#010109", "#e3e7ec"),
    "page": ("#01010a", "#ffffff"),
}
"""Role to the colour that stands for it in a drawing, and the colour that it has on white."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A chart that is drawn, and what it shows in words."""

    title: str
    words: str
    spec: Mapping[str, Any]

    def svg(self, number: int) -> str:
        """Return it for a page: colours are CSS variables, *number* makes its ids its own."""
        svg = _svg(json.dumps(self.spec, sort_keys=True))
        for role, (stands_for, light) in ROLES.items():
            svg = re.sub(f'"{stands_for}"', f'"var(--chart-{role}, {light})"', svg, flags=re.IGNORECASE)
        named = (
            f'<title id="chart-{number}-title">{html.escape(self.title)}</title>'
            f'<desc id="chart-{number}-words">{html.escape(self.words)}</desc>'
        )
        head, _, rest = svg.partition(">")
        head = re.sub(r'\s(?:width|height|class)="[^"]*"', "", head)
        label = f'class="chart" role="img" aria-labelledby="chart-{number}-title chart-{number}-words"'
        return f"{head} {label}>{named}{rest}"

    def png(self, *, scale: float = 2.0) -> bytes:
        """Return it as a picture on white."""
        import vl_convert

        svg = _svg(json.dumps(self.spec, sort_keys=True))
        for stands_for, light in ROLES.values():
            svg = re.sub(stands_for, light, svg, flags=re.IGNORECASE)
        return bytes(vl_convert.svg_to_png(svg, scale=scale))


@lru_cache(maxsize=128)
def _svg(spec: str) -> str:
    import vl_convert

    return str(vl_convert.vegalite_to_svg(spec))


def draw(chart: Chart, facts: Mapping[str, Fact], finding: Mapping[str, Any]) -> Drawing | None:
    """Return the drawing of *chart*; None when there is nothing to draw."""
    shown = [facts[fact_id] for fact_id in chart.facts if fact_id in facts and facts[fact_id].value is not None]
    return _line(chart, shown, finding) if chart.kind == "line" else _bars(chart, shown)


def _line(chart: Chart, facts: Sequence[Fact], finding: Mapping[str, Any]) -> Drawing | None:
    series = [(str(label), value) for label, value in (finding.get("series") or {}).get(chart.indicator) or ()]
    alarms = set((finding.get("alarms") or {}).get(chart.indicator) or ())
    known = [(label, value) for label, value in series if value is not None]
    if len(known) < 2:
        return None
    days = [_day(label) for label, _ in series]
    is_time = all(days)
    points = [
        {"when": day if is_time else label, "label": label, "value": value, "unusual": label in alarms}
        for (label, value), day in zip(series, days, strict=True)
    ]
    current = _current(points, facts)
    x, y = _time_axis(days, is_time=is_time), _value_axis(max(abs(value) for _, value in known))
    layers = [
        *_expected(facts, current, x, y),
        {
            "data": {"values": points},
            "mark": {"type": "line", "strokeWidth": 2, "color": _role("line"), "interpolate": "linear"},
            "encoding": {"x": x, "y": y},
        },
        *_marks(points, current, x, y),
    ]
    return Drawing(title=chart.title, words=_line_words(known, alarms, facts), spec=_spec(layers, LINE_HEIGHT))


def _time_axis(days: Sequence[str | None], *, is_time: bool) -> dict[str, Any]:
    axis: dict[str, Any] = {"grid": False, "labelFlush": True, "tickCount": _TICKS}
    if is_time:
        return {"field": "when", "type": "temporal", "title": None, "axis": {**axis, "format": _times(days)}}
    return {"field": "when", "type": "ordinal", "title": None, "axis": axis, "sort": None}


def _value_axis(biggest: float) -> dict[str, Any]:
    return {
        "field": "value",
        "type": "quantitative",
        "title": None,
        "scale": {"zero": False, "nice": True},
        "axis": {"tickCount": 4, "format": "~s" if biggest >= 10_000 else ",f"},
    }


def _current(points: Sequence[Mapping[str, Any]], facts: Sequence[Fact]) -> str | None:
    """Return where on the time axis the period of the chart's first fact is; None when it is not drawn."""
    period = facts[0].period if facts else None
    return next((point["when"] for point in points if point["label"] == period), None)


def _expected(
    facts: Sequence[Fact], current: str | None, x: Mapping[str, Any], y: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the layers of what was expected: the band of the current period, and the target."""
    by_kind = {fact.name.rpartition(".")[2]: fact for fact in facts}
    if current is not None and "low" in by_kind and "high" in by_kind:
        band = {"when": current, "low": _number(by_kind["low"]), "high": _number(by_kind["high"])}
        yield {
            "data": {"values": [band]},
            "mark": {"type": "rule", "strokeWidth": 14, "color": _role("band"), "strokeCap": "butt"},
            "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
        }
    if "target" in by_kind:
        yield {
            "data": {"values": [{"value": _number(by_kind["target"])}]},
            "mark": {"type": "rule", "strokeDash": [5, 4], "color": _role("target"), "strokeWidth": 1.5},
            "encoding": {"y": y},
        }


def _marks(
    points: Sequence[Mapping[str, Any]], current: str | None, x: Mapping[str, Any], y: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the layer with the dots on the line: unusual periods and the current one."""
    marked = [p for p in points if p["value"] is not None and (p["unusual"] or p["when"] == current)]
    if marked:
        color = {"condition": {"test": "datum.unusual", "value": _role("mark")}, "value": _role("line")}
        yield {
            "data": {"values": marked},
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1, "stroke": _role("page")},
            "encoding": {"x": x, "y": y, "fill": color},
        }


def _line_words(known: Sequence[tuple[str, float]], alarms: Collection[str], facts: Sequence[Fact]) -> str:
    unit, decimals = (facts[0].unit, facts[0].decimals) if facts else ("", 2)
    low, high = min(value for _, value in known), max(value for _, value in known)
    words = (
        f"A line over {len(known)} periods, {known[0][0]} to {known[-1][0]}, between {_shown(low, unit, decimals)} and "
        f"{_shown(high, unit, decimals)}."
    )
    unusual = [label for label, _ in known if label in alarms]
    return f"{words} Unusual: {', '.join(unusual)}." if unusual else words


def _bars(chart: Chart, facts: Sequence[Fact]) -> Drawing | None:
    if not facts:
        return None
    rows: list[dict[str, Any]] = [
        {
            "part": ", ".join(fact.segment.values()) or fact.label,
            "value": _number(fact),
            "shown": f"+{fact.shown}" if fact.kind == "contribution" and (fact.value or 0) > 0 else fact.shown,
        }
        for fact in facts
    ]
    values = [float(row["value"]) for row in rows]
    span = max([*values, 0.0]) - min([*values, 0.0]) or 1.0
    beside = max(0.15, 0.022 * max(len(row["shown"]) for row in rows)) * span  # for what is written at a bar's end
    room = [min([*values, 0.0]) - (beside if min(values) < 0 else 0), max([*values, 0.0]) + beside]
    y = {
        "field": "part",
        "type": "nominal",
        "sort": None,
        "title": None,
        "axis": {"labelLimit": 190, "domain": False, "ticks": False, "labelPadding": 8, "grid": False},
    }
    x = {"field": "value", "type": "quantitative", "axis": None, "scale": {"domain": room, "nice": False}}
    color = {"condition": {"test": "datum.value < 0", "value": _role("down")}, "value": _role("up")}
    text: dict[str, Any] = {"type": "text", "fontSize": 12.5, "color": _role("text")}
    positive, negative = [r for r in rows if r["value"] >= 0], [r for r in rows if r["value"] < 0]
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": rows},
            "mark": {"type": "bar", "cornerRadiusEnd": 3, "height": 17},
            "encoding": {"x": x, "y": y, "fill": color},
        },
        {
            "data": {"values": [{"value": 0}]},
            "mark": {"type": "rule", "color": _role("quiet"), "strokeWidth": 1},
            "encoding": {"x": x},
        },
    ]
    for side, align, offset in ((positive, "left", 6), (negative, "right", -6)):
        if side:
            layers.append(
                {
                    "data": {"values": [row | {"shown": _short(row["shown"])} for row in side]},
                    "mark": {**text, "align": align, "dx": offset},
                    "encoding": {"x": x, "y": y, "text": {"field": "shown"}},
                }
            )
    words = "Bars: " + "; ".join(f"{row['part']} {row['shown']}" for row in rows) + "."
    return Drawing(title=chart.title, words=words, spec=_spec(layers, BAR_HEIGHT * len(rows), left=40))


def _short(shown: str) -> str:
    """Return a number as a bar has room for it."""
    return shown.replace("percentage points", "pp")


def _spec(layers: Sequence[Mapping[str, Any]], height: int, *, left: int = 14) -> dict[str, Any]:
    """*left* is room for labels whose font is wider in a browser than where they were measured."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": WIDTH,
        "height": height,
        "background": None,
        "padding": {"left": left, "top": 4, "right": 10, "bottom": 4},
        "layer": list(layers),
        "config": {
            "font": "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif",
            "view": {"stroke": None},
            "axis": {
                "labelColor": _role("quiet"),
                "labelFontSize": 12.5,
                "gridColor": _role("grid"),
                "domainColor": _role("grid"),
                "tickColor": _role("grid"),
            },
        },
    }


def _role(name: str) -> str:
    return ROLES[name][0]


def _number(fact: Fact) -> float:
    return float(fact.value or 0)


def _shown(value: float, unit: str, decimals: int) -> str:
    from decimal import Decimal

    return show_number(Decimal(repr(value)), unit, decimals)


def _times(instants: Sequence[str | None]) -> str:
    """Return how the axis shows *instants*: with the hour where days would be written twice."""
    days = sorted({str(each)[:10] for each in instants})
    few = (date.fromisoformat(days[-1]) - date.fromisoformat(days[0])).days < _TICKS
    return "%-d %b %H:%M" if few and len(days) < len(instants) else "%-d %b %Y"


def _day(label: str) -> str | None:
    """Return the first day of the period *label* as ISO; None when it is no date."""
    text = label.removeprefix("week of ")
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return f"{text}T12:00:00"
    if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", text):
        return text.replace(" ", "T") + ":00"
    if re.fullmatch(r"\d{4}-\d\d", text):
        return f"{text}-01T12:00:00"
    if quarter := re.fullmatch(r"(\d{4})-Q([1-4])", text):
        return f"{quarter[1]}-{3 * int(quarter[2]) - 2:02d}-01T12:00:00"
    return None
