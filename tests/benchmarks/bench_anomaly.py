"""
How well the detector finds what people labelled: ``python tests/benchmarks/bench_anomaly.py [--nab FOLDER]``.

Numenta's benchmark and score on the seven series shipped in ``include/anomaly_watch/data``, or on all of a checkout's
(``data/`` and ``labels/combined_windows.json`` below FOLDER). Peers, in the same run: a Gaussian over the last 6,400
values, as NAB has it, and the difference from the median of the last seven days by a standard deviation over 2,000;
both as they are and with a silence after an alarm. NAB chooses one threshold with the labels in hand, for each row of
the table and each column of a profile; the row "default budget" is the detector as it is shipped, with none chosen.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import log_ndtr

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT / "tests" / "benchmarks")]

from interlock.domain.facts.anomaly import Detector, Scored, alarms_of, score  # noqa: E402  # the path is made above
from nab import PROFILES, Floats, Result, Series, judge, read_corpus  # noqa: E402

SHIPPED = ROOT / "include" / "anomaly_watch" / "data"
DETECTOR = Detector()
THRESHOLDS = np.round(np.arange(0.8, 4.01, 0.1), 1)
"""Minus log10 of the geometric mean of the p-values; the default budget of 1 in 1,000 is 1.7."""

SEEN = {
    *("art_daily_no_noise", "art_daily_small_noise", "art_noisy", "art_daily_jumpsdown", "art_daily_nojump"),
    *("art_load_balancer_spikes", "cpu_utilization_asg_misconfiguration", "machine_temperature_system_failure"),
    *("rogue_agent_key_hold", "TravelTime_387", "occupancy_6005", "speed_6005", "speed_t4013"),
}
"""The series on which window, signs and their spans were chosen: every other one of four folders, by name."""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nab", type=Path, help="a folder with NAB's data/ and labels/")
    nab: Path | None = parser.parse_args(arguments).nab
    if nab:
        corpus = read_corpus(nab / "data", nab / "labels" / "combined_windows.json")
    else:
        corpus = read_corpus(SHIPPED, SHIPPED / "windows.json")
    parts = {"all": corpus}
    for folder in sorted({series.name.split("/")[0] for series in corpus}):
        parts[folder] = [series for series in corpus if series.name.startswith(folder)]
    if nab:
        parts["seen"] = [series for series in corpus if Path(series.name).stem in SEEN]
        parts["not seen"] = [series for series in corpus if Path(series.name).stem not in SEEN]
    else:
        del parts["realKnownCause"]  # which is all
    rows = sum(len(series.values) for series in corpus)
    print(f"{len(corpus)} series, {rows} rows, {sum(len(series.windows) for series in corpus)} windows\n")

    print(f"{'':34} {'standard':>9} {'low FP':>7} {'low FN':>7}   hits  false  threshold   seconds")
    started = time.perf_counter()
    scored = {series.name: score(series.values, DETECTOR) for series in corpus}
    seconds = time.perf_counter() - started
    tell("Interlock, default budget", fixed(corpus, scored), seconds)
    tell("Interlock, NAB's threshold", swept(corpus, scored), seconds)
    peers: dict[str, tuple[dict[str, Floats], float]] = {}
    for name, peer in (("seasonal naive z", seasonal_naive), ("windowed Gaussian", windowed_gaussian)):
        started = time.perf_counter()
        surprise = {series.name: peer(series) for series in corpus}
        seconds = time.perf_counter() - started
        for silence in (0, 100, 200, 400):
            label = f"{name}, silence {silence}" if silence else name
            peers[label] = ({n: after_silence(values, silence) for n, values in surprise.items()}, seconds)
            tell(label, [judge(corpus, peers[label][0], profile) for profile in PROFILES.values()], seconds)

    print(f"\n{'standard profile':31}" + "".join(f"{name[:18]:>19}" for name in parts))
    line("Interlock, default", parts, lambda part: fixed(part, scored)[0])
    line("Interlock, NAB's", parts, lambda part: swept(part, scored)[0])
    for label, (surprise, _) in peers.items():
        line(label, parts, lambda part, surprise=surprise: judge(part, surprise, PROFILES["standard"]))  # type: ignore[misc]

    print("\nthe threshold, standard profile, all series: " + curve(corpus, scored))
    print(
        "alarms per 1,000 rows outside windows at the default: " + f"{1000 * false_alarms(corpus, scored) / rows:.2f}"
    )


def detections(corpus: Sequence[Series], scored: dict[str, Scored], threshold: float | None) -> dict[str, Floats]:
    """Return 1 at each row where an alarm begins."""
    found = {}
    for series in corpus:
        said = scored[series.name]
        if threshold is not None:
            said = replace(said, threshold=1 - 10**-threshold)
        at = np.zeros(len(series.values))
        at[[alarm.index for alarm in alarms_of(said, DETECTOR)]] = 1
        found[series.name] = at
    return found


def fixed(corpus: Sequence[Series], scored: dict[str, Scored]) -> list[Result]:
    """Return what the detector gets with its own threshold. Its alarms are all taken, whether that pays or not."""
    found = detections(corpus, scored, None)
    return [judge(corpus, found, profile, threshold=1.0) for profile in PROFILES.values()]


def swept(corpus: Sequence[Series], scored: dict[str, Scored]) -> list[Result]:
    """Return what it gets with the best threshold, which is NAB's way; alarms are told apart anew at each."""
    found = {threshold: detections(corpus, scored, threshold) for threshold in THRESHOLDS}
    best = []
    for profile in PROFILES.values():
        results = [replace(judge(corpus, at, profile, threshold=1.0), threshold=t) for t, at in found.items()]
        best.append(max(results, key=lambda result: (result.score, -result.false_alarms)))
    return best


def curve(corpus: Sequence[Series], scored: dict[str, Scored]) -> str:
    results = {
        t: judge(corpus, detections(corpus, scored, t), PROFILES["standard"], threshold=1.0).score
        for t in (1.2, 1.4, 1.6, 1.7, 1.8, 2.0, 2.2, 2.6)
    }
    return ", ".join(f"{t}: {result:.1f}" for t, result in results.items())


def false_alarms(corpus: Sequence[Series], scored: dict[str, Scored]) -> int:
    return judge(corpus, detections(corpus, scored, None), PROFILES["standard"], threshold=1.0).false_alarms


def seasonal_naive(series: Series, window: int = 2000) -> Floats:
    """Return how many standard deviations a value is from the median at its time of day in the last seven days."""
    values = pd.Series(series.values)
    base = pd.concat([values.shift(series.day * back) for back in range(1, 8)], axis=1).median(axis=1)
    apart = (values - base).fillna(0)
    mean = apart.rolling(window, min_periods=50).mean().shift(1)
    spread = apart.rolling(window, min_periods=50).std().shift(1)
    least = max(1e-3 * float(values[: series.probation].std()), 1e-9)
    z: Floats = ((apart - mean).abs() / spread.clip(lower=least)).fillna(0).to_numpy()
    return z


def windowed_gaussian(series: Series, window: int = 6400, step: int = 100) -> Floats:
    """Return minus the log of a value's tail in a normal fitted to those before; after *window* rows by steps."""
    surprise = np.zeros(len(series.values))
    mean, spread = 0.0, 1.0
    for row, value in enumerate(series.values):
        if row:
            surprise[row] = -log_ndtr(-abs(value - mean) / spread)
        if row < window or row % step == 0:
            past = series.values[max(0, row + 1 - window) : row + 1]
            mean, spread = float(past.mean()), float(past.std()) or 1e-6
    return surprise


def after_silence(surprise: Floats, silence: int) -> Floats:
    """Keep what is above all of the *silence* rows before it: at any threshold, an alarm and not its echo."""
    if not silence:
        return surprise
    before = pd.Series(surprise).shift(1).rolling(silence, min_periods=1).max().fillna(-np.inf).to_numpy()
    return np.where(surprise > before, surprise, surprise.min())


def tell(label: str, results: Sequence[Result], seconds: float) -> None:
    standard = results[0]
    marks = " ".join(f"{result.score:>{width}.1f}" for result, width in zip(results, (9, 7, 7), strict=True))
    hits = f"{standard.hits}/{standard.windows}"
    print(
        f"{label:34} {marks} {hits:>6} {standard.false_alarms:>6} {standard.threshold:>10.3g} {seconds:>9.1f}",
        flush=True,
    )


def line(label: str, parts: dict[str, list[Series]], result: Callable[[list[Series]], Result]) -> None:
    cells = [
        f"{result(part).score:.1f}" if any(s.windows for s in part) else f"{result(part).false_alarms} false"
        for part in parts.values()
    ]
    print(f"{label:31}" + "".join(f"{cell:>19}" for cell in cells), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
