"""
BM25 ranking over a few thousand passages, held in memory.

Words are lower-cased, split at underscores (an intent ``card_arrival`` is two words) and freed of the English plural.
Every passage that shares a word with the query has a score above 0, be the word as common as it may.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

K1 = 1.2
"""How soon repeating a word stops to count."""
B = 0.75
"""How much a long passage is held back."""

_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Return the words of *text* as they are compared."""
    return [_singular(word) for word in _WORD.findall(text.casefold())]


def _singular(word: str) -> str:
    """Take the plural off (the "S" stemmer of Harman 1991)."""
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us")):
        if word.endswith("ies") and not word.endswith(("eies", "aies")):
            return word[:-3] + "y"
        return word[:-1]
    return word


class Bm25:
    """
    An index of passages (Robertson and Zaragoza 2009, with the inverse document frequency that is never negative).

    :param passages: the words of each passage, as :func:`words` gives them; a word that is repeated counts more.
    """

    def __init__(self, passages: Iterable[list[str]]) -> None:
        counts = [Counter(passage) for passage in passages]
        lengths = np.array([sum(c.values()) for c in counts], dtype=np.float64)
        self.size = len(counts)
        mean = max(float(lengths.mean()) if self.size else 0.0, 1.0)
        found: dict[str, list[tuple[int, int]]] = {}
        for place, count in enumerate(counts):
            for word, often in count.items():
                found.setdefault(word, []).append((place, often))
        self._postings: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]] = {}
        for word, hits in found.items():
            places = np.array([place for place, _ in hits], dtype=np.int64)
            times = np.array([t for _, t in hits], dtype=np.float64)
            rarity = np.log1p((self.size - len(hits) + 0.5) / (len(hits) + 0.5))
            held_back = K1 * (1 - B + B * lengths[places] / mean)
            self._postings[word] = (places, rarity * times * (K1 + 1) / (times + held_back))

    def scores(self, query: list[str]) -> npt.NDArray[np.float64]:
        """Return the score of every passage for the words of *query*; 0 where no word is shared."""
        total = np.zeros(self.size)
        for word, times in Counter(query).items():
            if word in self._postings:
                places, weight = self._postings[word]
                total[places] += times * weight
        return total

    def best(self, query: list[str], top: int) -> list[tuple[int, float]]:
        """Return up to *top* passages with a score above 0, best first and of equal scores the earlier one first."""
        scores = self.scores(query)
        order = np.argsort(-scores, kind="stable")[:top]
        return [(int(place), float(scores[place])) for place in order if scores[place] > 0]
