from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st
from interlock.domain.base.event_chain import GENESIS, Link, link_digest, verify_links

bodies = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=8)


def chain(texts: list[str], name: str = "run:1") -> list[Link]:
    links: list[Link] = []
    for number, body in enumerate(texts, 1):
        previous = links[-1].digest if links else GENESIS
        links.append(Link(name, number, body, previous, link_digest(name, number, body, previous)))
    return links


def problems(links: list[Link], sound: list[Link]) -> list[str]:
    return verify_links(links, length=len(sound), head=sound[-1].digest)


@given(bodies)
def test_a_chain_as_it_was_written_is_sound(texts: list[str]):
    assert problems(chain(texts), chain(texts)) == []


@given(bodies, st.data())
def test_a_change_of_any_byte_of_a_body_digest_or_number_is_found(texts: list[str], data):
    sound = chain(texts)
    at = data.draw(st.integers(0, len(sound) - 1))
    part = data.draw(st.sampled_from(["body", "digest", "previous", "number"]))
    before = getattr(sound[at], part)
    if part == "number":
        after = data.draw(st.integers(-3, 20))
    else:
        place = data.draw(st.integers(0, len(before) - 1))
        letter = data.draw(st.characters(exclude_categories=["Cs"]))
        after = before[:place] + letter + before[place + 1 :]
    assume(after != before)
    links = [*sound[:at], sound[at]._replace(**{part: after}), *sound[at + 1 :]]

    assert problems(links, sound)


@given(bodies, st.data())
def test_a_removed_event_is_found_also_the_last(texts: list[str], data):
    sound = chain(texts)
    at = data.draw(st.integers(0, len(sound) - 1))

    assert problems([*sound[:at], *sound[at + 1 :]], sound)


@given(bodies, st.data())
def test_an_inserted_event_is_found_however_well_it_is_made(texts: list[str], data):
    sound = chain(texts)
    at = data.draw(st.integers(0, len(sound)))
    previous = sound[at - 1].digest if at else GENESIS
    forged = Link("run:1", at + 1, "forged", previous, link_digest("run:1", at + 1, "forged", previous))

    assert problems([*sound[:at], forged, *sound[at:]], sound)


@given(bodies, st.data())
def test_two_events_that_change_places_are_found(texts: list[str], data):
    sound = chain(texts)
    assume(len(sound) > 1)
    one, other = data.draw(st.lists(st.integers(0, len(sound) - 1), min_size=2, max_size=2, unique=True))
    links = list(sound)
    links[one], links[other] = links[other], links[one]

    assert problems(links, sound)


@given(bodies, st.text(min_size=1, max_size=5))
def test_a_chain_that_was_written_anew_does_not_fit_its_head(texts: list[str], other: str):
    sound = chain(texts)
    forged = chain([*texts[:-1], texts[-1] + other])

    assert problems(forged, sound)


@given(bodies)
def test_events_of_one_chain_do_not_fit_another(texts: list[str]):
    moved = [link._replace(chain="run:2") for link in chain(texts)]

    assert problems(moved, chain(texts))
