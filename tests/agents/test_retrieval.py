from __future__ import annotations

import hashlib
import itertools
import math
import random
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from interlock.agents.bm25 import Bm25, words
from interlock.agents.retrieval import PassageAgent, read_passages
from interlock.domain.agents.agent import RetrievalAgent
from interlock.domain.agents.agent_protocol import Failure, Work
from interlock.domain.base.contract import Contract
from interlock.errors import ConfigurationError, InputError

PASSAGES = [
    {"id": "card", "title": "Your card is late", "text": "A new card comes by post within ten working days."},
    {"id": "pin", "title": "Changing the PIN", "text": "The PIN is changed at any cash machine, or in the app."},
    {"id": "fees", "title": "Fees", "text": "Cash abroad costs two percent.", "keywords": ["charge", "currencies"]},
]


class Context(Contract):
    passages: list[dict[str, object]]


class Folder:
    def __init__(self, root: Path) -> None:
        self.root = root

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def data(self, path: str) -> Path:
        return self.root / path

    def data_digest(self, path: str) -> str:
        return hashlib.sha256((self.root / path).read_bytes()).hexdigest()


def an_agent(root: Path, passages: object = PASSAGES, query: str = "{{ case.text }}", **settings) -> PassageAgent:
    (root / "passages.yaml").write_text(yaml.safe_dump(passages))
    said = RetrievalAgent(kind="retrieval", documents="passages.yaml", query=query, **settings)
    return PassageAgent("finder", said, Folder(root))


def found(agent: PassageAgent, text: str, **handoffs) -> list[str]:
    (answer,) = agent.answer([Work(case_id="c", case={"text": text}, handoffs=handoffs)], Context)
    return [passage["id"] for passage in answer.payload["passages"]]


def test_the_passage_that_fits_comes_first(tmp_path):
    agent = an_agent(tmp_path)

    assert found(agent, "My card has not arrived by post")[0] == "card"
    assert found(agent, "how do I change a pin?")[0] == "pin"


def test_a_keyword_finds_a_passage_whose_text_does_not_say_it(tmp_path):
    assert found(an_agent(tmp_path), "extra charge, foreign currency?") == ["fees"]


def test_the_query_reads_case_and_earlier_handoffs_and_splits_a_label_into_words(tmp_path):
    agent = an_agent(tmp_path, query="{{ case.text }} {{ triage.intent }}")

    assert found(agent, "please help", Triage={"intent": "change_pin"}) == ["pin"]


def test_what_shares_no_word_finds_nothing_and_is_still_an_answer(tmp_path):
    assert found(an_agent(tmp_path), "zebra") == []
    assert found(an_agent(tmp_path), "") == []


def test_no_more_than_top_passages_are_given_best_first(tmp_path):
    passages = [{"id": f"p{n}", "title": "", "text": "card " * n + "word " * 9} for n in range(1, 8)]
    agent = an_agent(tmp_path, passages, top=4)

    (answer,) = agent.answer([Work(case_id="c", case={"text": "card"})], Context)

    scores = [p["score"] for p in answer.payload["passages"]]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    assert answer.payload["passages"][0]["id"] == "p7"
    assert answer.confidence is None
    assert answer.provenance["passages"] == [p["id"] for p in answer.payload["passages"]]


def test_equal_passages_come_in_the_order_of_their_ids_wherever_they_stand(tmp_path):
    same = [{"id": i, "title": "Card", "text": "a late card"} for i in "dbace"]

    for seed in range(3):
        random.Random(seed).shuffle(same)
        assert found(an_agent(tmp_path, same, top=5), "card") == list("abcde")


def test_a_case_that_lacks_what_the_query_asks_fails_alone(tmp_path):
    agent = an_agent(tmp_path, query="{{ case.subject }}")
    work = [Work(case_id="one", case={"text": "x"}), Work(case_id="two", case={"subject": "pin"})]

    failure, answer = agent.answer(work, Context)

    assert isinstance(failure, Failure)
    assert isinstance(failure.error, InputError)
    assert "query of agent 'finder'" in str(failure.error)
    assert "'subject' is undefined; there is 'text'" in str(failure.error)
    assert failure.usage[0].outcome == "InputError"
    assert answer.payload["passages"][0]["id"] == "pin"


def test_prepare_tells_how_many_passages_there_are(tmp_path):
    assert an_agent(tmp_path).prepare()["passages"] == 3


def test_the_digest_moves_with_passages_and_query(tmp_path):
    base = an_agent(tmp_path).digest

    assert an_agent(tmp_path, description="other words").digest == base
    assert an_agent(tmp_path, query="{{ case.title }}").digest != base
    assert an_agent(tmp_path, PASSAGES[:2]).digest != base


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("- {id: a, title: A}", r"0\.text: Field required"),
        ("- {id: a, title: A, text: x, keyword: [b]}", r"0\.keyword: Extra inputs"),
        ("- {id: a, title: A, text: x}\n- {id: a, title: B, text: y}", "more than one passage 'a'"),
        ("text: [", "not YAML"),
        ("", "not a list of passages"),
    ],
)
def test_a_file_that_is_no_list_of_passages_is_refused(tmp_path, written, message):
    path = tmp_path / "passages.yaml"
    path.write_text(written)

    with pytest.raises(ConfigurationError, match=message):
        read_passages(path)


def test_an_empty_list_of_passages_finds_nothing(tmp_path):
    assert found(an_agent(tmp_path, []), "card") == []


def test_the_score_is_the_textbooks():
    """Two passages of three and one words; the word is in one of them, twice."""
    index = Bm25([["card", "card", "late"], ["pin"]])

    rarity = math.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    expected = rarity * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 3 / 2))
    assert index.scores(["card"]).tolist() == pytest.approx([expected, 0])


vocabulary = st.sampled_from(["card", "pin", "fee", "late", "app"])


@given(st.lists(st.lists(vocabulary, max_size=8), max_size=8), st.lists(vocabulary, max_size=5), st.integers(1, 9))
def test_exactly_the_passages_that_share_a_word_are_found(passages, query, top):
    best = Bm25(passages).best(query, top)

    sharing = {n for n, passage in enumerate(passages) if set(passage) & set(query)}
    assert {n for n, _ in best} <= sharing
    assert len(best) == min(top, len(sharing))
    assert all(a > b or (a == b and m < n) for (m, a), (n, b) in itertools.pairwise(best))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cards, PINs & fees", ["card", "pin", "fee"]),
        ("card_arrival", ["card", "arrival"]),
        ("currencies business status", ["currency", "business", "status"]),
        ("Größe is GAS", ["grösse", "is", "gas"]),
    ],
)
def test_words_are_compared_without_case_and_plural(text, expected):
    assert words(text) == expected
