"""Whether the score that the benchmark prints is NAB's: its fixed points, its weights, and who got what in it."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from bench_anomaly import SHIPPED, after_silence, detections, windowed_gaussian  # noqa: E402  # the path is made above
from interlock.domain.facts.anomaly import Detector, score  # noqa: E402
from nab import PROFILES, Series, judge, read_corpus, sigmoid  # noqa: E402

ONE = Series("one", np.zeros(1000), ((400, 499), (700, 799)), 288)
STANDARD = PROFILES["standard"]


def at(*rows: int) -> dict[str, np.ndarray]:
    scores = np.zeros(1000)
    scores[list(rows)] = 1
    return {"one": scores}


@pytest.fixture(scope="module")
def corpus() -> list[Series]:
    return read_corpus(SHIPPED, SHIPPED / "windows.json")


@pytest.mark.parametrize("name", PROFILES)
def test_silence_is_0_and_the_first_row_of_each_window_100(name: str, corpus: list[Series]):
    silent = {series.name: np.zeros(len(series.values)) for series in corpus}
    perfect = {series.name: np.zeros(len(series.values)) for series in corpus}
    for series in corpus:
        perfect[series.name][[left for left, _ in series.windows]] = 1

    assert judge(corpus, silent, PROFILES[name]).score == 0
    assert judge(corpus, perfect, PROFILES[name]).score == pytest.approx(100)


def test_a_hit_is_worth_less_the_later_it_comes_and_only_the_first_counts():
    first = judge([ONE], at(400), STANDARD).score
    middle = judge([ONE], at(450), STANDARD).score
    last = judge([ONE], at(499), STANDARD).score

    assert first == pytest.approx(50)
    assert middle == pytest.approx(25 + 25 * float(sigmoid(-0.5) / sigmoid(-1.0)))
    assert first > middle > last > 0
    assert judge([ONE], at(450, 460, 499), STANDARD).score == middle


def test_a_false_alarm_costs_its_weight_and_less_right_after_a_window():
    def cost(row: int) -> float:
        together = judge([ONE], at(400, 700, row), STANDARD, threshold=1)
        return (100 - together.score) / 100 * 4  # in hits: null and perfect are four apart

    assert cost(300) == pytest.approx(0.11)
    assert cost(505) < 0.04
    assert cost(999) == pytest.approx(0.11, abs=0.001)
    assert judge([ONE], at(10), STANDARD, threshold=1).false_alarms == 0  # probation


def test_the_threshold_is_the_best_for_the_whole_corpus():
    scores = {"one": np.zeros(1000)}
    scores["one"][[400, 700, 300, 350]] = [3, 2, 2.5, 1]
    best = judge([ONE], scores, STANDARD)

    assert (best.threshold, best.hits, best.false_alarms) == (2, 2, 1)
    assert judge([ONE], scores, STANDARD, threshold=3).hits == 1


def test_the_weights_are_those_of_the_paper():
    assert sigmoid([-1.0, 0.0, 1.0, 3.5]).tolist() == pytest.approx([0.98661, 0, -0.98661, -1], abs=1e-5)


def test_the_shipped_series_are_whole(corpus: list[Series]):
    assert [(Path(series.name).stem, len(series.values), len(series.windows)) for series in corpus] == [
        ("ambient_temperature_system_failure", 7267, 2),
        ("cpu_utilization_asg_misconfiguration", 18050, 1),
        ("ec2_request_latency_system_failure", 4032, 3),
        ("machine_temperature_system_failure", 22695, 4),
        ("nyc_taxi", 10320, 5),
        ("rogue_agent_key_hold", 1882, 2),
        ("rogue_agent_key_updown", 5315, 2),
    ]
    assert [series.day for series in corpus] == [24, 288, 288, 288, 48, 288, 288]
    with gzip.open(SHIPPED / "nyc_taxi.csv.gz", "rt") as file:
        assert file.readline() == "timestamp,value\n"


def test_the_detector_as_shipped_beats_a_gaussian_whose_threshold_saw_the_labels(corpus: list[Series]):
    scored = {series.name: score(series.values, Detector()) for series in corpus}
    ours = judge(corpus, detections(corpus, scored, None), STANDARD, threshold=1).score
    surprise = {series.name: windowed_gaussian(series) for series in corpus}
    gaussian = max(
        judge(corpus, {name: after_silence(values, silence) for name, values in surprise.items()}, STANDARD).score
        for silence in (0, 100, 400)
    )

    assert ours > gaussian + 5
    assert ours > 50
