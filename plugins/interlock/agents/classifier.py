"""
The agent of kind ``classifier``: labels the text of a case and says how sure it is.

Trained on the workflow's labelled examples when it is first prepared, and kept under its digest, so the other tasks of
the run only load it. Confidence is the calibrated chance of the top label. A text unlike all examples still gets the
nearest label: the classifier does not know what it was never shown, which low confidence shows only in part.
"""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.domain.agents.agent import NOT_OF_AN_ANSWER, ClassifierAgent
from interlock.domain.agents.agent_protocol import Answer, Failure, Files, Usage, Work
from interlock.domain.base.canonical import digest
from interlock.domain.base.contract import Contract
from interlock.errors import ConfigurationError, InputError, UnknownName

if TYPE_CHECKING:
    from interlock.agents.text_classifier import TextClassifier

RECIPE = 1
"""Raise it with every change to training or scoring that changes answers: it is part of the digest."""
CHUNK = 4096
"""Texts that are scored at once: enough to be fast, few enough for memory and for answers to come soon."""
ALTERNATIVES = 3


class TextClassifierAgent:
    """
    A calibrated text classifier as an agent.

    :param name: its name in ``agents.yaml``.
    :param declaration: its declaration.
    :param files: the workflow's files, for the examples.
    :param cache: directory for trained artefacts, shared by the tasks of a machine. It must be writable by the workers'
        user alone, because artefacts are pickles.
    """

    kind = "classifier"

    def __init__(self, name: str, declaration: ClassifierAgent, files: Files, cache: Path) -> None:
        self.name = name
        self.declaration = declaration
        self.digest = digest(
            {
                "kind": self.kind,
                "declaration": declaration.model_dump(mode="json", exclude=set(NOT_OF_AN_ANSWER)),
                "examples": files.data_digest(declaration.examples),
                "scikit-learn": version("scikit-learn"),
                "recipe": RECIPE,
            }
        )
        self._files = files
        self._cache = cache
        self._lock = threading.Lock()
        self._ready: tuple[TextClassifier, bool] | None = None

    def prepare(self) -> Mapping[str, Any]:
        """
        Train or load the classifier and return its figures, all out of fold.

        :return: ``accuracy``, ``calibration_error``, ``classes``, ``examples``, ``coverage`` (by accepted error),
            ``curve`` (threshold, coverage, error), ``temperature``, ``weights``, ``seconds`` of the training,
            ``artefact`` and ``from_cache``.
        :raises ConfigurationError: examples that cannot be learnt from.
        """
        model, from_cache = self._load()
        return {**model.report, "artefact": self.digest, "from_cache": from_cache}

    def answer(self, work: Sequence[Work], contract: type[Contract]) -> Iterator[Answer | Failure]:
        """Yield an answer per case in chunks; a case without text is a failure of its own."""
        field = self.declaration.text_field
        for start in range(0, len(work), CHUNK):
            readable = []
            for one in work[start : start + CHUNK]:
                text = one.case.get(field)
                if isinstance(text, str) and text.strip():
                    readable.append((one.case_id, text))
                else:
                    yield self._without_text(one, text)
            if readable:
                yield from self._label(readable)

    def _label(self, readable: list[tuple[str, str]]) -> Iterator[Answer]:
        import numpy as np

        model, _ = self._load()
        begun = time.perf_counter()
        chances = model.probabilities([text for _, text in readable])
        shown = min(ALTERNATIVES, len(model.labels))
        # Stable on the negated chances: of equal chances the first label by name, on every machine.
        best = np.argsort(-chances, axis=1, kind="stable")[:, :shown]
        top = np.take_along_axis(chances, best, axis=1).tolist()
        usage = Usage(
            model=f"scikit-learn {self.declaration.features}",
            seconds=(time.perf_counter() - begun) / len(readable),
            outcome="ok",
            cost=Decimal(0),
        )
        for (case_id, _), order, chance in zip(readable, best.tolist(), top, strict=True):
            payload: dict[str, Any] = {self.declaration.label_field: model.labels[order[0]]}
            if self.declaration.alternatives_field is not None:
                payload[self.declaration.alternatives_field] = [
                    {"label": model.labels[i], "probability": round(p, 4)} for i, p in zip(order, chance, strict=True)
                ]
            yield Answer(
                case_id=case_id,
                payload=payload,
                confidence=chance[0],
                provenance={
                    "artefact": self.digest,
                    "features": self.declaration.features,
                    "margin": round(chance[0] - chance[1], 4),
                },
                usage=(usage,),
            )

    def _without_text(self, one: Work, value: Any) -> Failure:
        field = self.declaration.text_field
        problem = "is empty" if field in one.case and not value else f"is a {type(value).__name__}, not a text"
        if field not in one.case:
            problem = f"is missing; the case has {', '.join(map(repr, sorted(one.case))) or 'no fields'}"
        error = InputError(f"agent {self.name!r} classifies field {field!r}, which {problem}. Check it at intake.")
        usage = Usage(
            model=f"scikit-learn {self.declaration.features}", seconds=0.0, outcome="InputError", cost=Decimal(0)
        )
        return Failure(case_id=one.case_id, error=error, usage=(usage,))

    def _load(self) -> tuple[TextClassifier, bool]:
        with self._lock:
            if self._ready is None:
                from interlock.agents.artefact import load_or_make
                from interlock.agents.text_classifier import TextClassifier

                self._ready = load_or_make(self._cache, self.digest, TextClassifier, self._train)
            return self._ready

    def _train(self) -> TextClassifier:
        from interlock.agents.text_classifier import train

        declared = self.declaration
        texts, labels = read_examples(self._files.data(declared.examples), declared.text_column, declared.label_column)
        try:
            return train(texts, labels, features=declared.features, folds=declared.folds, seed=declared.seed)
        except ConfigurationError as error:
            raise ConfigurationError(f"agent {self.name!r} cannot learn from {declared.examples!r}: {error}") from None


def read_examples(path: Path, text_column: str, label_column: str) -> tuple[list[str], list[str]]:
    """
    Return the texts and the labels of a CSV file with a header.

    :raises UnknownName: a column is missing.
    :raises ConfigurationError: it is not UTF-8, or a row has no text or no label.
    """
    texts, labels = [], []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            for column in (text_column, label_column):
                if column not in (rows.fieldnames or ()):
                    raise UnknownName("column", column, rows.fieldnames or (), where=path.name)
            for row in rows:
                text, label = (row[text_column] or "").strip(), (row[label_column] or "").strip()
                if not text or not label:
                    lacking = label_column if text else text_column
                    raise ConfigurationError(
                        f"{path.name!r} line {rows.line_num} has no {lacking!r}. Fill it, or drop the row."
                    )
                texts.append(text)
                labels.append(label)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path.name!r} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    return texts, labels
