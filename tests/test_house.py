"""The drawing in the contributor's page is made from the imports, and the page names what there is."""

from __future__ import annotations

import re

import house
import pytest
from test_architecture import BELOW, ROOMS


@pytest.fixture(scope="module")
def page() -> str:
    return house.PAGE.read_text("utf-8")


def test_the_drawing_is_that_of_the_imports_of_now(page: str):
    assert house.drawn(page) == page, "the imports have changed: `make format` draws the house again"


def test_it_shows_every_layer_and_every_room(page: str):
    for names in (BELOW, *ROOMS.values()):
        assert [name for name in names if not re.search(rf"^  (.* )?{name}( .*)?$", page, re.MULTILINE)] == []


def test_only_arrows_that_a_longer_way_replaces_are_left_away():
    arrows = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": set()}

    assert house.reduced(arrows) == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": set()}
    assert house.chart({"a": {"b"}, "b": set(), "c": set()}).splitlines()[2:-1] == ["  a --> b", "  c"]


def test_the_page_says_where_each_layer_and_each_target_of_make_belongs(page: str):
    makefile = (house.PLUGINS.parent / "Makefile").read_text("utf-8")
    targets = set(re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE).group(1).split()) - {"help", "clean"}

    assert [layer for layer in BELOW if f"`interlock/{layer}/`" not in page] == []
    assert [target for target in targets if f"`make {target}`" not in page] == []
