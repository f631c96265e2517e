"""A review as HTML and Markdown: each number leads to its fact, and nothing is asked of the network."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from interlock.domain.reviews.review import is_review
from interlock.reporting.chart import draw
from interlock.reporting.markdown import render_markdown
from interlock.reporting.page import render_body, render_html, style
from interlock.reporting.view import View
from reviews import WEEK, a_fact, a_finding, measured, written

SERIES = {"spend": [("week of 2014-06-02", 900.0), ("week of 2014-06-09", 1342.5), (WEEK, 1672.25)]}


def a_view(**fields: Any) -> View:
    expected = [
        a_fact(f"spend.{name}", value, kind="expected", label=f"Spend, {name}")
        for name, value in (("expected", "1400"), ("low", "1200"), ("high", "1500"))
    ]
    facts = [*measured(), *expected]
    case = a_finding(facts, series=SERIES, alarms={"spend": [WEEK]}, **fields)
    return View.of(written(case), case)


class Links(HTMLParser):
    """What a page holds: ids, links with their texts, and the addresses that a browser would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[tuple[str, str]] = []
        self.numbers: list[int] = []
        """Places in ``links`` of those that are numbers."""
        self.loaded: list[str] = []
        self._open: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.loaded += [given[name] or "" for name in ("src", "data", "srcset") if name in given]
        self.loaded += [given.get("href") or ""] if tag in ("link", "use", "image") else []
        if tag == "a":
            self._open = given.get("href") or ""
            if (given.get("class") or "").split(" ")[0] in ("n", "value", "change"):
                self.numbers.append(len(self.links))
            self.links.append((self._open, ""))

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.links[-1] = (self._open, self.links[-1][1] + data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._open = None


def test_every_number_of_a_sentence_leads_to_the_fact_that_carries_it():
    view = a_view()
    page = Links(render_html(view))

    numbers = [page.links[place] for place in page.numbers]
    assert len(numbers) > 20
    for href, text in numbers:
        fact = view.facts[href.removeprefix("#fact-")]
        assert f"fact-{fact.id}" in page.ids
        text = text.replace(" pp", " percentage points")
        assert text.lstrip("▲▼■ +-") in fact.shown or fact.shown in text, (text, fact.shown)
    for section in view.sections:
        for sentence in section.sentences:
            plain = "".join(piece.text for piece in view.pieces(sentence.text, sentence.facts) if piece.fact is None)
            for fact in (view.facts[i] for i in sentence.facts):
                for name in (fact.period, *fact.segment.values()):
                    plain = plain.replace(name, "")
            assert not re.search(r"\d", plain), plain


def test_ids_are_unique_and_every_link_of_the_page_has_its_place():
    page = Links(render_html(a_view()))

    assert len(page.ids) == len(set(page.ids))
    assert {href[1:] for href, _ in page.links if href.startswith("#")} <= set(page.ids)


def test_a_file_loads_nothing():
    html = render_html(a_view(), console="https://airflow.example.com/interlock")

    assert Links(html).loaded == []
    assert "<script" not in html
    assert "@import" not in style()
    assert "url(" not in style()


def test_sources_lead_to_the_rows_behind_them_where_the_console_is_known():
    view = a_view()
    page = Links(render_html(view, console="https://airflow.example.com/interlock/"))

    assert {f"https://airflow.example.com/interlock/fact/{fact.id}" for fact in view.sources} <= {
        href for href, _ in page.links
    }


def test_what_people_wrote_is_escaped():
    case = a_finding(measured(), warnings=["<script>alert(1)</script>"])
    html = render_html(View.of(written(case), case))
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_charts_say_in_words_what_they_show_and_take_their_colours_from_the_page():
    view = a_view()
    line, bars = view.drawings(view.sections[0].charts)

    assert line.words == (
        "A line over 3 periods, week of 2014-06-02 to week of 2014-06-16, between 900.00 USD and 1,672.25 USD. "
        "Unusual: week of 2014-06-16."
    )
    assert bars.words == "Bars: Fitness 24/7 +500.00 USD; 3M -180.25 USD; Litware +10.00 USD."
    svg = line.svg(1)
    assert "<title id=" in svg
    assert "var(--chart-mark, #b3261e)" in svg
    assert "#0101" not in svg + bars.svg(2)
    assert "style=" not in svg + bars.svg(2)  # the console's pages let no inline style through
    assert bars.png(scale=1.0).startswith(b"\x89PNG")


def test_there_is_no_chart_of_nothing():
    view = a_view()
    chart = view.sections[0].charts[0]
    assert draw(chart.model_copy(update={"indicator": "unknown"}), view.facts, view.finding) is None
    assert draw(chart.model_copy(update={"kind": "bars", "facts": []}), view.facts, view.finding) is None


@pytest.mark.parametrize("label", ["2014-06-16", "2014-06-16 14:00", "2014-06", "2014-Q2", "week of 2014-06-16", "odd"])
def test_every_kind_of_period_can_be_drawn(label: str):
    view = a_view()
    finding = {**view.finding, "series": {"spend": [("2014-06-02", 1.0), (label, 2.0)]}}
    drawing = draw(view.sections[0].charts[0], view.facts, finding)
    assert drawing is not None
    assert drawing.svg(1).startswith("<svg")


def test_an_axis_over_a_day_tells_hours_and_no_day_twice():
    view = a_view()
    hours = [(f"2014-07-{10 + hour // 24} {hour % 24:02}:00", float(hour)) for hour in range(36)]
    drawing = draw(view.sections[0].charts[0], view.facts, {**view.finding, "series": {"spend": hours}})

    told = re.findall(r">(\d+ Jul[^<]*)<", drawing.svg(1))
    assert len(told) >= 4
    assert len(set(told)) == len(told), told


def test_markdown_has_the_same_numbers_with_reference_links():
    view = a_view(warnings=["2 rows have no vendor"])
    text = render_markdown(view)

    for fact in view.sources:
        assert f"fact `{fact.id}`" in text
    used = set(re.findall(r"\]\[(\d+)\]", text))
    assert used <= set(re.findall(r"^\[(\d+)\]: ", text, re.MULTILINE))
    assert "2 rows have no vendor" in text
    assert "https://x/fact/" in render_markdown(view, console="https://x")


def test_what_is_withheld_is_told():
    case = a_finding(measured(withheld="source orders is 9 days older than allowed"))
    view = View.of(written(case), case)

    assert "source orders is 9 days older than allowed" in render_html(view)
    assert "- **Spend**: source orders is 9 days older than allowed" in render_markdown(view)


def test_a_review_is_told_from_other_drafts():
    view = a_view()
    assert is_review(view.review.model_dump(mode="json"))
    assert not is_review({"text": "Dear customer"})
    assert not is_review({**view.review.model_dump(mode="json"), "sections": 5})


def test_a_part_of_a_page_begins_at_the_level_that_it_is_asked_for():
    body = str(render_body(a_view(), level=2))
    assert "<h1" not in body
    assert "<h2>" in body
