"""
The score of the Numenta Anomaly Benchmark, written after its description.

Lavin and Ahmad 2015, "Evaluating Real-Time Anomaly Detection Algorithms", https://arxiv.org/abs/1510.03336. A detection
inside a labelled window earns more the earlier it comes; only the first one of a window counts. Every detection outside
costs, less so right after a window. One threshold is chosen for the whole corpus, for the best total. What a reader
would get wrong: that threshold is chosen with the labels in hand, by NAB's rules, so a score says how well a detector
*orders* the observations of many series, and not that a threshold set in advance would have done as well.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """What a hit, a miss and a false alarm are worth to somebody."""

    hit: float
    miss: float
    false_alarm: float


PROFILES = {
    "standard": Profile(1.0, 1.0, 0.11),
    "reward_low_FP_rate": Profile(1.0, 1.0, 0.22),
    "reward_low_FN_rate": Profile(1.0, 2.0, 0.11),
}


@dataclass(frozen=True)
class Series:
    """One file of the corpus: its values and the first and last row of each labelled window."""

    name: str
    values: Floats
    windows: tuple[tuple[int, int], ...]
    day: int
    """Rows a day, by the usual distance of two."""

    @property
    def probation(self) -> int:
        """Rows at the start on which a detector may learn and is not judged: 15 %, at most 750."""
        return int(0.15 * min(len(self.values), 5000))


def read_corpus(data: Path, windows: Path) -> list[Series]:
    """
    Return the series below *data* (``folder/name.csv`` or ``.csv.gz``) that *windows* has labels for.

    :param windows: NAB's ``combined_windows.json``: first and last time of each window, by file.
    """
    labels = json.loads(windows.read_text(encoding="utf-8"))
    corpus = []
    for name, spans in sorted(labels.items()):
        path = next(
            (p for p in (data / name, data / f"{name}.gz", data / f"{Path(name).name}.gz") if p.is_file()), None
        )
        if path is None:
            continue
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            rows = list(csv.DictReader(file))
        times = [datetime.fromisoformat(row["timestamp"]) for row in rows]
        values = np.array([float(row["value"]) for row in rows])
        day = round(timedelta(days=1) / median(later - at for at, later in pairwise(times)))
        corpus.append(Series(name, values, tuple(_rows_of(span, times) for span in spans), day))
    return corpus


def _rows_of(span: Sequence[str], times: Sequence[datetime]) -> tuple[int, int]:
    start, end = (datetime.fromisoformat(at) for at in span)
    inside = [row for row, at in enumerate(times) if start <= at <= end]
    return inside[0], inside[-1]


def sigmoid(position: npt.ArrayLike) -> Floats:
    """Return the weight of a detection at *position* windows from a window's right end: 1 before, 0 at it, -1 past."""
    x = np.asarray(position, dtype=np.float64)
    return np.where(x > 3, -1.0, 2 / (1 + np.exp(5 * np.minimum(x, 3))) - 1)


def weights(series: Series, profile: Profile) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return what a detection at each row is worth, and the window that the row lies in, or -1."""
    rows = np.arange(len(series.values))
    worth = np.full(len(rows), -profile.false_alarm)
    inside = np.full(len(rows), -1)
    for number, (left, right) in enumerate(series.windows):
        after = rows > right
        worth[after] = profile.false_alarm * sigmoid((rows[after] - right) / max(right - left, 1))
        within = (rows >= left) & (rows <= right)
        width = right - left + 1
        worth[within] = profile.hit * sigmoid(-(right - rows[within] + 1) / width) / sigmoid(-1.0)
        inside[within] = number
    return worth, inside


@dataclass(frozen=True)
class Result:
    """What a detector got under one profile."""

    score: float
    """0 is who never speaks, 100 is who names the first row of every window and nothing else."""
    threshold: float
    hits: int
    windows: int
    false_alarms: int


def judge(
    corpus: Sequence[Series], scores: Mapping[str, Floats], profile: Profile, *, threshold: float | None = None
) -> Result:
    """
    Return the result of *scores* (one per row of each series, any scale).

    A row is a detection when its score is at least the threshold.

    :param threshold: left out, it is the one that is best for the corpus, as NAB does it.
    """
    value, worth, window = [], [], []
    total = 0
    for series in corpus:
        weight, inside = weights(series, profile)
        judged = slice(series.probation, None)
        value.append(np.asarray(scores[series.name], dtype=np.float64)[judged])
        worth.append(weight[judged])
        window.append(np.where(inside >= 0, inside + total, -1)[judged])
        total += len(series.windows)
    every, gain, place = np.concatenate(value), np.concatenate(worth), np.concatenate(window)
    order = np.argsort(-every, kind="stable")
    if threshold is not None:
        order = order[every[order] >= threshold]
    null, perfect = -profile.miss * total, profile.hit * total
    score, wrong = null, 0
    earned: dict[int, float] = {}

    def result(at: float) -> Result:
        normal = 100 * (score - null) / (perfect - null) if total else 0.0
        return Result(normal, at, len(earned), total, wrong)

    best, highest = result(float("inf") if threshold is None else threshold), null
    for number, row in enumerate(order.tolist()):
        if (at := int(place[row])) < 0:
            score += gain[row]
            wrong += 1
        else:
            before = earned.get(at, -profile.miss)
            earned[at] = max(before, float(gain[row]))
            score += earned[at] - before
        last_of_its_score = number + 1 == len(order) or every[order[number + 1]] < every[row]
        if threshold is None and last_of_its_score and score > highest:
            best, highest = result(float(every[row])), score
    return best if threshold is None else result(threshold)
