"""
The agent of kind ``retrieval``: finds the passages that fit a case.

The score is BM25's: it orders the passages of one query and means nothing between queries, so it is no confidence, and
the agent gives none. A query that shares no word with any passage is answered with no passage, not with a failure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from interlock.agents.bm25 import Bm25, words
from interlock.agents.rendering import Rendering
from interlock.domain.agents.agent import NOT_OF_AN_ANSWER, RetrievalAgent
from interlock.domain.agents.agent_protocol import Answer, Failure, Files, Usage, Work
from interlock.domain.base.canonical import digest
from interlock.domain.base.contract import Contract, explain
from interlock.errors import ConfigurationError, InputError

RECIPE = 1
"""Raise it with every change to ranking: it is part of the digest."""
TITLE_TIMES = 2
KEYWORD_TIMES = 3
"""A keyword was put there to be found, so it counts as if the text said it this often."""


class Passage(BaseModel):
    """One passage of the documents file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    text: str
    keywords: tuple[str, ...] = ()

    def words(self) -> list[str]:
        """Return what the passage is found by."""
        return words(" ".join([*[self.title] * TITLE_TIMES, self.text, *self.keywords * KEYWORD_TIMES]))


class PassageAgent:
    """
    Retrieval as an agent.

    :param name: its name in ``agents.yaml``.
    :param declaration: its declaration.
    :param files: the workflow's files, for the passages.
    :raises ConfigurationError: the query is not a template.
    """

    kind = "retrieval"

    def __init__(self, name: str, declaration: RetrievalAgent, files: Files) -> None:
        self.name = name
        self.declaration = declaration
        self._documents = files.data_digest(declaration.documents)
        self.digest = digest(
            {
                "kind": self.kind,
                "declaration": declaration.model_dump(mode="json", exclude=set(NOT_OF_AN_ANSWER)),
                "documents": self._documents,
                "recipe": RECIPE,
            }
        )
        self._files = files
        self._query = Rendering(declaration.query, f"query of agent {name!r}")
        self._lock = threading.Lock()
        self._ready: tuple[list[Passage], Bm25] | None = None

    def prepare(self) -> Mapping[str, Any]:
        """
        Read and index the passages, and return how many there are.

        :raises ConfigurationError: the file is not a list of passages.
        """
        passages, _ = self._load()
        return {"passages": len(passages), "documents": self._documents}

    def answer(self, work: Sequence[Work], contract: type[Contract]) -> Iterator[Answer | Failure]:
        """Yield the passages for each case; a case that lacks what the query asks for is a failure of its own."""
        passages, index = self._load()
        for one in work:
            begun = time.perf_counter()
            try:
                query = self._query.render(one.variables())
            except InputError as error:
                yield Failure(case_id=one.case_id, error=error, usage=(_usage(begun, type(error).__name__),))
                continue
            found = [
                {"id": p.id, "title": p.title, "text": p.text, "score": round(score, 4)}
                for p, score in ((passages[i], s) for i, s in index.best(words(query), self.declaration.top))
            ]
            yield Answer(
                case_id=one.case_id,
                payload={self.declaration.passages_field: found},
                provenance={"documents": self._documents, "passages": [p["id"] for p in found]},
                usage=(_usage(begun, "ok"),),
            )

    def _load(self) -> tuple[list[Passage], Bm25]:
        with self._lock:
            if self._ready is None:
                passages = read_passages(self._files.data(self.declaration.documents))
                self._ready = passages, Bm25(p.words() for p in passages)
            return self._ready


def read_passages(path: Path) -> list[Passage]:
    """
    Return the passages of a YAML file, by id.

    :raises ConfigurationError: it is not YAML, a passage lacks something, or two have one id.
    """
    import yaml

    try:
        passages = _passages.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path.name!r} is not YAML in UTF-8: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise ConfigurationError(f"{path.name!r} is not a list of passages: " + "; ".join(explain(error))) from None
    ids = [p.id for p in passages]
    if twice := sorted({i for i in ids if ids.count(i) > 1}):
        raise ConfigurationError(f"{path.name!r} has more than one passage {twice[0]!r}. Give each an id of its own.")
    # By id, so that of equal scores the same passage wins wherever it is in the file.
    return sorted(passages, key=lambda p: p.id)


_passages: TypeAdapter[list[Passage]] = TypeAdapter(list[Passage])


def _usage(begun: float, outcome: str) -> Usage:
    return Usage(model="retrieval", seconds=time.perf_counter() - begun, outcome=outcome, cost=Decimal(0))
