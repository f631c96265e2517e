"""
A text classifier for labelled examples: how it is trained, calibrated and asked.

Three readers of the same TF-IDF features are pooled: a linear support vector machine (most accurate), multinomial naive
Bayes (sees what is typical of a label) and two small neural networks on the latent semantic space (see what is alike in
other words). Each alone is less accurate and ranks its own mistakes worse than the pool; the pool's weights are fitted
with its calibration, by :func:`~interlock.domain.routing.calibration.fit_weights`.

Every figure of :attr:`TextClassifier.report` is out of fold: the readers of a fold, their vocabulary included, have not
seen the texts they are judged on, and equal texts are never on both sides. A change here that changes answers raises
:data:`interlock.agents.classifier.RECIPE`.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from interlock.domain.routing.calibration import (
    coverage_at,
    expected_calibration_error,
    fit_weights,
    risk_coverage,
    softmax,
    threshold_for,
)
from interlock.errors import ConfigurationError

LATENT = 200
"""Dimensions of the latent semantic space."""
NETWORKS = 2
HIDDEN = 64
UNSEEN = -10.0
"""Score of a label that a fold has no example of."""
ERRORS = (0.01, 0.02, 0.03, 0.05)
"""Shares of error that the report gives the coverage for."""

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Network:
    """One hidden layer of rectifiers: the weights of a trained multilayer perceptron."""

    inner: Matrix
    inner_bias: Matrix
    outer: Matrix
    outer_bias: Matrix

    def scores(self, latent: Matrix) -> Matrix:
        hidden = np.maximum(latent @ self.inner + self.inner_bias, 0)
        return np.asarray(hidden @ self.outer + self.outer_bias)


@dataclass(frozen=True)
class Readers:
    """The fitted readers, reduced to the arrays that scoring needs. Scores are features by labels."""

    vectorizers: tuple[TfidfVectorizer, ...]
    margin: Matrix
    margin_bias: Matrix
    typical: Matrix
    latent: Matrix
    networks: tuple[Network, ...]

    def scores(self, texts: Sequence[str]) -> tuple[Matrix, Matrix, Matrix]:
        """Return the scores of the three readers, each texts by labels."""
        features = _features(self.vectorizers, texts)
        latent = _unit(features @ self.latent)
        networks = np.sum([n.scores(latent) for n in self.networks], axis=0)
        return features @ self.margin + self.margin_bias, features @ self.typical, networks


@dataclass(frozen=True)
class TextClassifier:
    """A trained and calibrated classifier: what is cached on disk."""

    labels: tuple[str, ...]
    vectorizers: tuple[TfidfVectorizer, ...]
    linear: Matrix
    """Support vector machine and naive Bayes in one: features by labels, already weighted."""
    linear_bias: Matrix
    latent: Matrix
    networks: tuple[Network, ...]
    report: dict[str, Any]
    """Figures out of fold: JSON types."""

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the calibrated chance of each label, texts by labels."""
        features = _features(self.vectorizers, texts)
        latent = _unit(features @ self.latent)
        scores = features @ self.linear + self.linear_bias
        for network in self.networks:
            scores += network.scores(latent)
        return softmax(scores)


def train(texts: Sequence[str], labels: Sequence[str], *, features: str, folds: int, seed: int) -> TextClassifier:
    """
    Return a classifier of *texts*, calibrated out of fold.

    Folds are trained side by side on threads, because a task process of Airflow may be a daemon, which may not start
    processes; most of the work runs outside the interpreter's lock.

    :param features: ``words`` or ``words+chars``.
    :param folds: how often to hold out; fewer when no label has that many different examples.
    :raises ConfigurationError: too few examples, or texts without a single word.
    """
    begun = time.perf_counter()
    known, truth = np.unique(np.asarray(labels, dtype=object), return_inverse=True)
    parts = _held_out(texts, truth, folds, seed)
    everything = np.arange(len(texts))

    def fit(rows: npt.NDArray[np.int64]) -> Readers:
        return _fit([texts[i] for i in rows], truth[rows], len(known), features, seed)

    def judge(held_out: npt.NDArray[np.int64]) -> tuple[Matrix, Matrix, Matrix]:
        return fit(np.setdiff1d(everything, held_out)).scores([texts[i] for i in held_out])

    # One thread of linear algebra in each of ours, or they get in each other's way.
    with warnings.catch_warnings(), threadpool_limits(1), ThreadPoolExecutor(_workers()) as pool:
        warnings.simplefilter("ignore")  # a network that stops early on purpose; labels rarer than folds
        whole = pool.submit(fit, everything)
        judged = list(pool.map(judge, parts))
        readers = whole.result()

    order = np.concatenate(parts)
    pooled = [np.concatenate([part[k] for part in judged])[np.argsort(order)] for k in range(3)]
    weights = fit_weights(pooled, truth)
    chance = softmax(sum(w * s.astype(np.float64) for w, s in zip(weights, pooled, strict=True)))
    confidence, right = chance.max(axis=1), chance.argmax(axis=1) == truth
    curve = risk_coverage(confidence, right)
    report = {
        "accuracy": float(right.mean()),
        "calibration_error": expected_calibration_error(confidence, right),
        "classes": len(known),
        "examples": len(texts),
        "folds": len(parts),
        "features": features,
        "coverage": {f"{e:.2f}": coverage_at(curve, threshold_for(curve, e)) for e in ERRORS},
        "curve": [point.as_json() for point in curve],
        "temperature": 1.0 / weights[0] if weights[0] > 0 else None,
        "weights": dict(zip(("margin", "typical", "networks"), weights, strict=True)),
        "seconds": round(time.perf_counter() - begun, 2),
    }
    return _pooled(readers, weights, tuple(map(str, known)), report)


def _pooled(readers: Readers, weights: list[float], labels: tuple[str, ...], report: dict[str, Any]) -> TextClassifier:
    """Multiply the weights into the readers, so that asking costs two matrix products and the networks."""
    margin, typical, networks = (np.float32(w) for w in weights)
    return TextClassifier(
        labels=labels,
        vectorizers=readers.vectorizers,
        linear=margin * readers.margin + typical * readers.typical,
        linear_bias=margin * readers.margin_bias,
        latent=readers.latent,
        networks=tuple(
            Network(n.inner, n.inner_bias, networks * n.outer, networks * n.outer_bias) for n in readers.networks
        ),
        report=report,
    )


def _fit(texts: Sequence[str], truth: npt.NDArray[np.int64], labels: int, features: str, seed: int) -> Readers:
    vectorizers = [
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, dtype=np.float32)
    ]
    if features == "words+chars":
        vectorizers.append(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, dtype=np.float32))
    try:
        table = sparse.hstack([v.fit_transform(texts) for v in vectorizers], format="csr")
    except ValueError as error:
        raise ConfigurationError(
            f"the examples have no words to learn from ({error}). Look at their text column."
        ) from None
    present = np.unique(truth)

    machine = LinearSVC(C=1.0, tol=1e-2, random_state=seed).fit(table, truth)
    margin, margin_bias = np.zeros((table.shape[1], labels), np.float32), np.full(labels, -1.0, np.float32)
    if len(present) == 2:  # one weight vector says both
        margin[:, present] = np.column_stack([-machine.coef_[0], machine.coef_[0]])
        margin_bias[present] = [-machine.intercept_[0], machine.intercept_[0]]
    else:
        margin[:, present], margin_bias[present] = machine.coef_.T, machine.intercept_

    bayes = MultinomialNB(alpha=0.05).partial_fit(table, truth, classes=np.arange(labels))

    size = min(LATENT, *table.shape)
    reduction = TruncatedSVD(size, n_iter=2, random_state=seed).fit(table)
    latent = np.ascontiguousarray(reduction.components_.T, dtype=np.float32)
    space = _unit(table @ latent)
    networks = tuple(_network(space, truth, present, labels, seed + k) for k in range(NETWORKS))
    return Readers(
        tuple(vectorizers), margin, margin_bias, bayes.feature_log_prob_.T.astype(np.float32), latent, networks
    )


def _network(
    space: Matrix, truth: npt.NDArray[np.int64], present: npt.NDArray[np.int64], labels: int, seed: int
) -> Network:
    fitted = MLPClassifier(
        (HIDDEN,), alpha=0.02, max_iter=10, batch_size=min(128, len(space)), learning_rate_init=4e-3, random_state=seed
    ).fit(space, truth)
    (inner, outer), (inner_bias, outer_bias) = fitted.coefs_, fitted.intercepts_
    if len(present) == 2:  # one output says both
        outer = np.column_stack([np.zeros_like(outer[:, 0]), outer[:, 0]])
        outer_bias = np.array([0.0, outer_bias[0]])
    every, every_bias = np.zeros((len(outer), labels), np.float32), np.full(labels, UNSEEN, np.float32)
    every[:, present], every_bias[present] = outer, outer_bias
    return Network(inner.astype(np.float32), inner_bias.astype(np.float32), every, every_bias)


def _features(vectorizers: Sequence[TfidfVectorizer], texts: Sequence[str]) -> sparse.csr_matrix:
    return sparse.hstack([v.transform(texts) for v in vectorizers], format="csr")


def _unit(latent: Matrix) -> Matrix:
    """Scale each row to the length that its coordinates are about 1, which the networks learn best from."""
    length = np.maximum(np.linalg.norm(latent, axis=1, keepdims=True), np.float32(1e-6))
    return np.asarray(latent / length * np.float32(np.sqrt(latent.shape[1])), dtype=np.float32)


def _held_out(texts: Sequence[str], truth: npt.NDArray[np.int64], folds: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Return the row numbers of each fold; texts that differ only in case and blanks are in one fold."""
    _, first, group = np.unique(
        np.array([" ".join(t.casefold().split()) for t in texts], dtype=object), return_index=True, return_inverse=True
    )
    per_label = np.bincount(truth[first])
    if (per_label >= 2).sum() < 2:
        raise ConfigurationError(
            f"{len(first)} different examples of {len(per_label)} labels are too few to learn from. "
            "Give at least two labels with two different texts each."
        )
    splitter = StratifiedKFold(min(folds, int(per_label.max())), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # labels rarer than folds
        return [np.flatnonzero(np.isin(group, held)) for _, held in splitter.split(first, truth[first])]


def _workers() -> int:
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(4, free))
