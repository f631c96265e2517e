"""
How far a confidence can be believed, and which threshold keeps the error among the automatic cases below a bound.

All of it is estimated from answers whose truth is known, and is as honest as those answers: give confidences of cases
the model was *not* fitted on (out of fold), never of its own training examples. A threshold found here is an estimate
without proof; a certificate is the one with proof. A threshold always means "automatic when confidence >= threshold".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from interlock.domain.routing.routing import NEVER
from interlock.errors import InputError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CurvePoint:
    """What a threshold would do to the cases it was measured on."""

    threshold: float
    coverage: float
    """Share of all cases whose confidence is at least the threshold."""
    error: float
    """Share of *those* cases that are wrong."""

    def as_json(self) -> dict[str, float]:
        """Return the point as a report stores it."""
        return asdict(self)


def expected_calibration_error(confidence: npt.ArrayLike, correct: npt.ArrayLike, bins: int = 15) -> float:
    """
    Return the mean gap between confidence and accuracy over *bins* of equal width, weighted by cases.

    The measure is that of Naeini et al. 2015; 0 is perfect.

    :param confidence: one number between 0 and 1 per case.
    :param correct: whether the answer was right, per case.
    :raises InputError: no case, different lengths, or a confidence outside 0 to 1.
    """
    sure, right = _checked(confidence, correct)
    place = np.minimum((sure * bins).astype(np.int64), bins - 1)
    gap = np.bincount(place, weights=sure - right, minlength=bins)
    return float(np.abs(gap).sum()) / len(sure)


def risk_coverage(confidence: npt.ArrayLike, correct: npt.ArrayLike, points: int = 200) -> list[CurvePoint]:
    """
    Return coverage and error at up to *points* thresholds, by rising threshold, so by falling coverage.

    Thresholds are confidences that occur, spread evenly over the cases; the first one lets every case through. Cases of
    equal confidence are never separated, so there are fewer points when confidences repeat.

    :raises InputError: no case, different lengths, or a confidence outside 0 to 1.
    """
    sure, right = _checked(confidence, correct)
    order = np.argsort(-sure, kind="stable")
    sure, right = sure[order], right[order]
    # The last case of each run of equal confidence: only there does "confidence >= threshold" end.
    ends = np.flatnonzero(np.append(sure[1:] != sure[:-1], True))
    wrong = np.cumsum(1.0 - right)
    wanted = np.ceil(np.linspace(len(sure) / points, len(sure), points)).astype(np.int64) - 1
    picked = np.unique(ends[np.searchsorted(ends, np.clip(wanted, 0, len(sure) - 1))])
    curve = [CurvePoint(float(sure[i]), float((i + 1) / len(sure)), float(wrong[i] / (i + 1))) for i in picked]
    return curve[::-1]


def threshold_for(curve: Sequence[CurvePoint], max_error: float, *, min_coverage: float = 0.05) -> float:
    """
    Return the lowest threshold that keeps the error at or below *max_error*, at it and at every threshold above it.

    "Above it" matters: an error that dips under the bound only because easy cases of low confidence dilute it is luck.
    Points with less than *min_coverage* are too few cases to judge by: they are neither chosen nor do they rule out
    others.

    :param curve: from :func:`risk_coverage`, in any order.
    :param max_error: the share of wrong answers among the automatic ones that is still accepted, 0.05 for 5 %.
    :return: a confidence, or :data:`NEVER` when no threshold will do.
    """
    best = NEVER
    for point in sorted(curve, key=lambda p: p.threshold, reverse=True):
        if point.coverage < min_coverage:
            continue
        if point.error > max_error:
            break
        best = point.threshold
    return best


def coverage_at(curve: Sequence[CurvePoint], threshold: float) -> float:
    """Return the coverage of the nearest measured threshold that is not below *threshold*; 0 when there is none."""
    return max((p.coverage for p in curve if p.threshold >= threshold), default=0.0)


def softmax(scores: npt.ArrayLike) -> Floats:
    """Return *scores* (cases by classes) as probabilities, row by row."""
    z = np.asarray(scores, dtype=np.float64)
    e: Floats = np.exp(z - z.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    return e


def fit_weights(scores: Sequence[npt.ArrayLike], truth: npt.ArrayLike, *, prior: float = 0.01) -> list[float]:
    """
    Return a weight for each score, so that the softmax of the weighted sum has the least log loss on *truth*.

    With one score this is temperature scaling (the weight is 1/T); with several, a log-linear pool of models that is
    calibrated in the same step (Genest and Zidek 1986). Weights are never negative: one that would be becomes 0. The
    loss is convex, so Newton's method finds the one best answer, the same on every machine.

    :param scores: arrays of cases by classes, out of fold, all of one shape.
    :param truth: the right class of each case, as a column number.
    :param prior: pulls the weights towards 0 by as much as this many cases would; without it, scores that are never
        wrong would have no best weight.
    :raises InputError: no case, or shapes that do not fit together.
    """
    label = np.asarray(truth, dtype=np.int64)
    stack = [np.asarray(s, dtype=np.float64) for s in scores]
    if not stack or not len(label) or any(s.shape != stack[0].shape or len(s) != len(label) for s in stack):
        shapes = ", ".join(str(s.shape) for s in stack) or "none"
        raise InputError(
            f"scores of shape {shapes} do not go with {len(label)} labels. Give one row of scores per label, "
            "and as many columns in each."
        )
    # What is equal in a whole row does not move its softmax, so neither may it move the scale that the prior is in.
    stack = [s - s.mean(axis=1, keepdims=True) for s in stack]
    spread = [float(s.std()) or 1.0 for s in stack]
    scaled = [s / d for s, d in zip(stack, spread, strict=True)]
    used = list(range(len(stack)))
    weights = np.zeros(len(stack))
    while used:
        found = _newton(np.stack([scaled[k] for k in used]), label, prior)
        if (found >= 0).all():
            weights[used] = found
            break
        used.pop(int(found.argmin()))
    return [float(w / d) for w, d in zip(weights, spread, strict=True)]


def _newton(stack: Floats, label: npt.NDArray[np.int64], prior: float) -> Floats:
    """Minimise the mean log loss plus the prior over the weights of *stack* (scores by cases by classes)."""
    cases = len(label)
    right = stack[:, np.arange(cases), label]
    weights = np.ones(len(stack))

    def loss(at: Floats) -> float:
        z = np.tensordot(at, stack, 1)
        z -= z.max(axis=1, keepdims=True)
        fit = np.log(np.exp(z).sum(axis=1)) - z[np.arange(cases), label]
        return float(fit.sum() + prior / 2 * (at @ at)) / cases

    now = loss(weights)
    for _ in range(100):
        chance = softmax(np.tensordot(weights, stack, 1))
        mean = np.einsum("nc,knc->kn", chance, stack)
        gradient = ((mean - right).sum(axis=1) + prior * weights) / cases
        if np.abs(gradient).max() < 1e-9:
            break
        second = np.einsum("nc,knc,lnc->kl", chance, stack, stack) - mean @ mean.T + prior * np.eye(len(stack))
        step = np.linalg.solve(second / cases, gradient)
        size = 1.0
        # Halve the step until it helps: far from the optimum a full Newton step can overshoot.
        while (then := loss(weights - size * step)) > now and size > 1e-10:
            size /= 2
        if then >= now:
            break
        weights, now = weights - size * step, then
    return weights


def _checked(confidence: npt.ArrayLike, correct: npt.ArrayLike) -> tuple[Floats, Floats]:
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if sure.shape != right.shape or sure.ndim != 1 or not len(sure):
        raise InputError(
            f"confidences of shape {sure.shape} do not go with truths of shape {right.shape}. "
            "Give two lists of one length, with at least one case."
        )
    if not ((sure >= 0) & (sure <= 1)).all():  # also refuses NaN
        raise InputError("a confidence is not between 0 and 1. Give calibrated probabilities, not raw scores.")
    return sure, right
