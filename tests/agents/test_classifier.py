"""The text classifier on a small made-up help desk: five topics, phrased by a seeded generator, some mislabelled."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import itertools
import json
import random
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from interlock.agents.classifier import TextClassifierAgent, read_examples
from interlock.domain.agents.agent import ClassifierAgent
from interlock.domain.agents.agent_protocol import Answer, Failure, Work
from interlock.domain.base.contract import Contract
from interlock.domain.routing.calibration import CurvePoint, threshold_for
from interlock.errors import ConfigurationError, InputError, UnknownName

TOPICS = {
    "refund": (["refund", "money back", "reimbursement"], ["the late parcel", "a double charge", "my order"]),
    "password": (["reset my password", "log in", "unlock the account"], ["after the update", "on my phone", "today"]),
    "delivery": (
        ["where is my parcel", "track the shipment", "the courier is late"],
        ["since Monday", "in Bern"],
    ),
    "invoice": (["a copy of the invoice", "the bill", "a receipt"], ["for March", "for our accounts", "with VAT"]),
    "cancel": (["cancel the subscription", "end my plan", "close my contract"], ["from next month", "now", "please"]),
}
OPENINGS = ["hello,", "hi team,", "urgent:", "good morning,", "sorry to ask,", "again:", "dear support,", ""]
ASKS = ["I need", "can you help with", "how about", "question on", "I want", "we are waiting for", "please look at"]


class Triage(Contract):
    topic: str
    others: list[dict[str, object]] = []


def a_text(topic: str, chance: random.Random) -> str:
    what, detail = TOPICS[topic]
    return f"{chance.choice(OPENINGS)} {chance.choice(ASKS)} {chance.choice(what)} {chance.choice(detail)}".strip()


def some_examples(each: int = 60, mislabelled: float = 0.0, seed: int = 1) -> list[tuple[str, str]]:
    chance = random.Random(seed)
    rows = []
    for topic in TOPICS:
        for _ in range(each):
            said = chance.choice(sorted(TOPICS)) if chance.random() < mislabelled else topic
            rows.append((a_text(topic, chance), said))
    return rows


class Folder:
    """A workflow's files in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def data(self, path: str) -> Path:
        return self.root / path

    def data_digest(self, path: str) -> str:
        return hashlib.sha256((self.root / path).read_bytes()).hexdigest()


def write_examples(root: Path, rows: list[tuple[str, str]], header: tuple[str, str] = ("text", "label")) -> Folder:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "train.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return Folder(root)


def an_agent(files: Folder, cache: Path, **settings) -> TextClassifierAgent:
    said = {"examples": "train.csv", "label_field": "topic", "alternatives_field": "others"} | settings
    return TextClassifierAgent("sorter", ClassifierAgent(kind="classifier", **said), files, cache)


def work_on(*texts: object) -> list[Work]:
    return [Work(case_id=f"c{n}", case={"text": text}) for n, text in enumerate(texts)]


@pytest.fixture(scope="module", params=["words", "words+chars"])
def trained(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("desk")
    files = write_examples(root, some_examples(mislabelled=0.1))
    agent = an_agent(files, root / "cache", features=request.param)
    return agent, agent.prepare()


def test_it_labels_texts_that_it_has_not_seen(trained):
    agent, _ = trained
    chance = random.Random(99)
    topics = [topic for topic in TOPICS for _ in range(20)]

    answers = list(agent.answer(work_on(*(a_text(topic, chance) for topic in topics)), Triage))

    assert [a.case_id for a in answers] == [f"c{n}" for n in range(100)]
    right = sum(a.payload["topic"] == topic for a, topic in zip(answers, topics, strict=True))
    assert right >= 95


def test_the_report_is_out_of_fold_so_it_sees_the_wrong_labels(trained):
    """One label in ten was drawn at random, so four in fifty of them cannot be predicted from a text not seen."""
    _, report = trained

    assert 0.85 <= report["accuracy"] <= 0.95
    assert report["calibration_error"] < 0.1
    assert (report["classes"], report["examples"], report["folds"]) == (5, 300, 5)


def test_the_report_is_json_and_its_coverage_is_the_curves(trained):
    agent, report = trained

    told = json.loads(json.dumps(report, allow_nan=False))

    curve = [CurvePoint(**point) for point in told["curve"]]
    assert told["artefact"] == agent.digest
    assert set(told["coverage"]) == {"0.01", "0.02", "0.03", "0.05"}
    for error, coverage in told["coverage"].items():
        threshold = threshold_for(curve, float(error))
        assert coverage == max((p.coverage for p in curve if p.threshold >= threshold), default=0)
    assert told["temperature"] > 0
    assert told["seconds"] > 0


def test_the_confidence_is_the_chance_of_the_first_alternative(trained):
    agent, _ = trained

    (answer,) = agent.answer(work_on("I want to reset my password"), Triage)

    first, second, third = answer.payload["others"]
    assert answer.payload["topic"] == first["label"] == "password"
    assert answer.confidence == pytest.approx(first["probability"], abs=1e-4)
    assert 1 >= first["probability"] >= second["probability"] >= third["probability"] >= 0
    assert answer.provenance["margin"] == pytest.approx(first["probability"] - second["probability"], abs=2e-4)
    assert answer.provenance["artefact"] == agent.digest
    Triage.model_validate(dict(answer.payload))


def test_nonsense_is_less_sure_than_what_was_learnt(trained):
    agent, _ = trained

    known, strange = agent.answer(work_on("I need a copy of the invoice for March", "quux blorp zzz"), Triage)

    assert strange.confidence < known.confidence


def test_a_call_of_a_local_agent_costs_nothing_and_says_so(trained):
    agent, report = trained

    (answer,) = agent.answer(work_on("track the shipment"), Triage)

    (usage,) = answer.usage
    assert usage.model == f"scikit-learn {report['features']}"
    assert (usage.outcome, usage.cost) == ("ok", Decimal(0))
    assert usage.seconds > 0


@pytest.mark.parametrize("text", ["", "   \n", None, 17, ["a list"]])
def test_a_case_without_text_fails_alone(trained, text):
    agent, _ = trained

    answers = list(agent.answer(work_on("track the shipment", text, "close my contract"), Triage))

    by_case = {a.case_id: a for a in answers}
    assert isinstance(by_case["c1"], Failure)
    assert isinstance(by_case["c1"].error, InputError)
    assert "'text'" in str(by_case["c1"].error)
    assert [by_case[c].payload["topic"] for c in ("c0", "c2")] == ["delivery", "cancel"]


def test_a_case_without_the_field_is_told_which_fields_it_has(trained):
    agent, _ = trained

    (failure,) = agent.answer([Work(case_id="c", case={"subject": "secret", "body": "x"})], Triage)

    assert "'body', 'subject'" in str(failure.error)
    assert "secret" not in str(failure.error)


def test_more_cases_than_one_chunk_are_each_answered_once(trained):
    agent, _ = trained
    texts = itertools.islice(itertools.cycle(["the bill for March", "", "end my plan now"]), 9001)

    answers = list(agent.answer(work_on(*texts), Triage))

    assert sorted(a.case_id for a in answers) == sorted(f"c{n}" for n in range(9001))
    assert {a.payload["topic"] for a in answers if isinstance(a, Answer)} == {"invoice", "cancel"}
    assert sum(isinstance(a, Failure) for a in answers) == 3000


def test_without_an_alternatives_field_only_the_label_is_handed_on(tmp_path):
    agent = an_agent(write_examples(tmp_path, some_examples(each=8)), tmp_path / "c", alternatives_field=None)

    (answer,) = agent.answer(work_on("a receipt"), Triage)

    assert set(answer.payload) == {"topic"}


def test_two_labels_are_enough(tmp_path):
    rows = [(t, label) for t, label in some_examples(each=15) if label in ("refund", "password")]
    agent = an_agent(write_examples(tmp_path, rows), tmp_path / "c")

    answers = list(agent.answer(work_on("reimbursement for my order", "unlock the account"), Triage))

    assert [a.payload["topic"] for a in answers] == ["refund", "password"]
    assert len(answers[0].payload["others"]) == 2


def test_a_label_with_one_example_does_not_stop_the_training(tmp_path):
    agent = an_agent(write_examples(tmp_path, [*some_examples(each=12), ("my cat is ill", "pets")]), tmp_path / "c")

    assert agent.prepare()["classes"] == 6


def test_the_same_text_twice_is_never_judged_by_its_twin(tmp_path):
    """Every text stands there five times under a label that nothing in it tells; a leak would get all right."""
    chance = random.Random(5)
    pairs = [(f"word{n} thing{chance.randrange(9)}", chance.choice(["yes", "no"])) for n in range(60)]
    rows = [(variant, label) for text, label in pairs for variant in (text, text.upper(), f" {text} ", text, text)]

    report = an_agent(write_examples(tmp_path, rows), tmp_path / "c").prepare()

    assert report["accuracy"] < 0.75


def test_the_digest_moves_with_what_makes_answers_and_only_with_it(tmp_path):
    files = write_examples(tmp_path / "one", some_examples(each=3))
    more = write_examples(tmp_path / "two", some_examples(each=4))
    base = an_agent(files, tmp_path).digest

    assert an_agent(files, tmp_path / "elsewhere").digest == base
    assert an_agent(files, tmp_path, description="other words").digest == base
    others = [
        an_agent(files, tmp_path, features="words+chars").digest,
        an_agent(files, tmp_path, seed=1).digest,
        an_agent(files, tmp_path, alternatives_field=None).digest,
        an_agent(more, tmp_path).digest,
    ]
    assert len({base, *others}) == 5


def test_the_same_examples_give_the_same_answers(tmp_path):
    files = write_examples(tmp_path, some_examples(each=20, mislabelled=0.1))
    texts = work_on(*(a_text(t, random.Random(n)) for n, t in enumerate(TOPICS)))

    one = [a.confidence for a in an_agent(files, tmp_path / "a").answer(texts, Triage)]
    other = [a.confidence for a in an_agent(files, tmp_path / "b").answer(texts, Triage)]

    assert one == pytest.approx(other, abs=1e-3)


PREPARE = """
import json, sys
from pathlib import Path
from test_classifier import Folder, an_agent
root = Path(sys.argv[1])
agent = an_agent(Folder(root), root / "cache")
report = agent.prepare()
print(json.dumps([report["from_cache"], report["accuracy"], report["seconds"]]))
"""


def prepare_in_another_process(root: Path) -> subprocess.Popen[str]:
    here = Path(__file__)
    paths = [str(here.parent), str(here.parents[2] / "plugins")]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{PREPARE}", str(root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_that_need_the_artefact_at_once_train_it_once(tmp_path):
    write_examples(tmp_path, some_examples(each=20))

    both = [prepare_in_another_process(tmp_path) for _ in range(2)]
    told = [json.loads(process.communicate()[0]) for process in both]

    assert sorted(from_cache for from_cache, *_ in told) == [False, True]
    assert told[0][1:] == told[1][1:]
    assert len(list((tmp_path / "cache").glob("*.joblib"))) == 1
    assert not list((tmp_path / "cache").glob(".*"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
        lambda raw: b"cos\nsystem\n(S'exit 1'\ntR.",
    ],
    ids=["empty", "cut off", "one bit turned", "not ours"],
)
def test_a_damaged_artefact_is_trained_anew_and_never_unpickled(tmp_path, damage):
    files = write_examples(tmp_path, some_examples(each=6))
    cache = tmp_path / "cache"
    first = an_agent(files, cache)
    accuracy = first.prepare()["accuracy"]
    artefact = cache / f"{first.digest}.joblib"
    artefact.write_bytes(damage(artefact.read_bytes()))

    second = an_agent(files, cache).prepare()

    assert (second["from_cache"], second["accuracy"]) == (False, accuracy)
    assert an_agent(files, cache).prepare()["from_cache"] is True


def test_a_cache_that_cannot_be_written_to_costs_time_only(tmp_path, caplog):
    files = write_examples(tmp_path, some_examples(each=6))
    (tmp_path / "file").write_text("in the way")

    report = an_agent(files, tmp_path / "file" / "cache").prepare()

    assert report["from_cache"] is False
    assert "is not kept" in caplog.text


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "0 different examples"),
        ([("a b", "x"), ("c d", "x")], "at least two labels"),
        ([("a b", "x"), ("A  B", "x"), ("c", "y"), ("d", "y")], "at least two labels"),
        ([("!!", "x"), ("??", "x"), ("..", "y"), ("--", "y")], "no words"),
    ],
)
def test_examples_that_nothing_can_be_learnt_from_are_refused(tmp_path, rows, message):
    agent = an_agent(write_examples(tmp_path, rows), tmp_path / "c")

    with pytest.raises(ConfigurationError, match=rf"'sorter' cannot learn from 'train.csv'.*{message}"):
        agent.prepare()


def test_a_missing_column_names_those_that_are_there(tmp_path):
    files = write_examples(tmp_path, some_examples(each=3), header=("texts", "label"))

    with pytest.raises(UnknownName, match=r"'text' in train.csv. Did you mean 'texts'\? Known: 'label', 'texts'"):
        an_agent(files, tmp_path / "c").prepare()


def test_an_example_without_a_label_names_its_line(tmp_path):
    files = write_examples(tmp_path, [("a\nb", "x"), ("c", " ")])

    with pytest.raises(ConfigurationError, match="line 4 has no 'label'"):
        read_examples(files.data("train.csv"), "text", "label")


def test_examples_in_another_encoding_are_refused(tmp_path):
    (tmp_path / "train.csv").write_bytes("text,label\ngrüezi,hallo\n".encode("latin-1"))

    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_examples(tmp_path / "train.csv", "text", "label")


def test_knowing_the_digest_needs_no_scikit_learn(tmp_path):
    """A policy is pinned and shown by processes that never train."""
    write_examples(tmp_path, some_examples(each=3))
    assert importlib.util.find_spec("sklearn") is not None
    code = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[2] / "plugins")]!r}
from pathlib import Path
from test_classifier import Folder, an_agent
root = Path({str(tmp_path)!r})
assert len(an_agent(Folder(root), root).digest) == 64
print([name for name in ("sklearn", "scipy", "numpy", "pandas") if name in sys.modules])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    # numpy comes with the calibration that this file's own imports take in
    assert json.loads(told.stdout.replace("'", '"')) in ([], ["numpy"])
