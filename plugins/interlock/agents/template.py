"""
The agent of kind ``template``: writes each field of the contract from a Jinja template.

A field is text unless its template ends in ``| tojson }}``; then what it wrote is read as JSON, which is how numbers,
lists and objects come about. There is no confidence: a template does not know whether it is right.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from interlock.agents.rendering import Rendering
from interlock.domain.agents.agent import NOT_OF_AN_ANSWER, TemplateAgent
from interlock.domain.agents.agent_protocol import Answer, Failure, Files, Usage, Work
from interlock.domain.base.canonical import digest
from interlock.domain.base.contract import Contract
from interlock.errors import AgentError, InterlockError

FILE = "file:"
_JSON = re.compile(r"\|\s*tojson\s*(\([^()]*\))?\s*[-+]?\}\}\s*\Z")


class TemplateWriterAgent:
    """
    Templates as an agent.

    :param name: its name in ``agents.yaml``.
    :param declaration: its declaration.
    :param files: the workflow's files, for the fields that name one.
    :raises UnknownName: a file that is named is not there.
    :raises ConfigurationError: a field is not a template.
    """

    kind = "template"

    def __init__(self, name: str, declaration: TemplateAgent, files: Files) -> None:
        self.name = name
        self._fields: dict[str, tuple[Rendering, bool]] = {}
        texts = {}
        for field, written in declaration.fields.items():
            path = written.removeprefix(FILE).strip() if written.startswith(FILE) else None
            text = written if path is None else files.text(path)
            place = f"field {field!r}{'' if path is None else f' ({path})'} of agent {name!r}"
            self._fields[field] = (Rendering(text, place), bool(_JSON.search(text)))
            texts[field] = text
        self.digest = digest(
            {
                "kind": self.kind,
                "declaration": declaration.model_dump(mode="json", exclude=set(NOT_OF_AN_ANSWER)),
                "texts": texts,
            }
        )

    def prepare(self) -> Mapping[str, Any]:
        """Return nothing to report: the templates were parsed when the agent was made."""
        return {}

    def answer(self, work: Sequence[Work], contract: type[Contract]) -> Iterator[Answer | Failure]:
        """Yield what the templates write for each case; one that lacks a variable is a failure of its own."""
        for one in work:
            begun = time.perf_counter()
            try:
                payload = self._write(one)
            except InterlockError as error:
                yield Failure(case_id=one.case_id, error=error, usage=(_usage(begun, type(error).__name__),))
            else:
                yield Answer(
                    case_id=one.case_id,
                    payload=payload,
                    provenance={"template": self.digest},
                    usage=(_usage(begun, "ok"),),
                )

    def _write(self, one: Work) -> dict[str, Any]:
        variables = one.variables()
        payload: dict[str, Any] = {}
        for field, (rendering, is_json) in self._fields.items():
            text = rendering.render(variables)
            if is_json:
                try:
                    payload[field] = json.loads(text)
                except json.JSONDecodeError as error:
                    raise AgentError(
                        f"{rendering.place} ends in '| tojson', but what it wrote is not JSON: {error.msg} at "
                        f"character {error.pos}. Let the whole template be JSON, or end it otherwise to get text."
                    ) from None
            else:
                payload[field] = text
        return payload


def _usage(begun: float, outcome: str) -> Usage:
    return Usage(model="template", seconds=time.perf_counter() - begun, outcome=outcome, cost=Decimal(0))
