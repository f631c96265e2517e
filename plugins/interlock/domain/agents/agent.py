"""
How an agent is declared in ``agents.yaml``, by kind.

The declaration is all that makes the agent's answers, beside the files that it names, so its digest says when an answer
would be a new one. Nothing of scikit-learn or pydantic-ai is imported here: a policy is checked without them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from interlock.domain.base.contract import explain
from interlock.domain.base.duration import Duration
from interlock.errors import ConfigurationError, UnknownName


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = ""
    fallback: str | None = None
    """Agent that is asked about a case when this one does not deliver, after the runbook's repeats."""
    cheaper: str | None = None
    """Agent that is asked instead once a budget's soft limit is passed."""


class ClassifierAgent(_Declared):
    """A scikit-learn text classifier, trained on the workflow's labelled examples, with calibrated probabilities."""

    kind: Literal["classifier"]
    examples: str
    """Data file with the labelled examples (CSV), relative to the workflow's folder."""
    text_column: str = "text"
    label_column: str = "label"
    text_field: str = "text"
    """Field of the case that is classified."""
    label_field: str
    """Field of the contract that takes the label."""
    alternatives_field: str | None = None
    """Field of the contract that takes the likeliest labels with their probabilities; default: none are given."""
    features: Literal["words", "words+chars"] = "words"
    """``words`` is cheap; ``words+chars`` is more expensive and reads through misspellings."""
    folds: int = Field(default=5, ge=2, le=20)
    seed: int = 0


class RetrievalAgent(_Declared):
    """Finds the passages that fit a case, by BM25 over a file of passages."""

    kind: Literal["retrieval"]
    documents: str
    """Data file (YAML list of ``id``, ``title``, ``text`` and optional ``keywords``)."""
    query: str
    """Jinja template of the query: ``{{ case.text }} {{ triage.intent }}``."""
    top: int = Field(default=3, ge=1, le=50)
    passages_field: str = "passages"


class TemplateAgent(_Declared):
    """Writes from a Jinja template: every field of the contract from an expression or a template of its own."""

    kind: Literal["template"]
    fields: dict[str, str]
    """Contract field to the template text, or to ``file:prompts/reply.md.j2``. The result is parsed as JSON when the
    template ends in ``| tojson }}``, and is text otherwise."""


class FunctionAgent(_Declared):
    """A plain Python function: ``def f(case, handoffs) -> dict | Answer``, by dotted path."""

    kind: Literal["function"]
    function: str
    version: str = "1"
    """Raise it when the function's answers change: the code itself is not digested."""


class ReportAgent(_Declared):
    """Writes a review from the facts of its case: every number that it writes is a fact's, which it names."""

    kind: Literal["report"]
    template: str
    """File with the headings and sentences (YAML), relative to the workflow's folder: ``prompts/review.yaml``."""


class ModelAgent(_Declared):
    """Any model that pydantic-ai speaks to, by an Airflow connection, with structured output under the contract."""

    kind: Literal["model"]
    conn_id: str
    model: str | None = None
    """``provider:name``; default: the connection's own."""
    prompt: str
    """File of the user prompt (Jinja), relative to the workflow's folder."""
    instructions: str | None = None
    """File of the system prompt; default: none."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """pydantic-ai model settings: ``temperature``, ``max_tokens`` …"""
    timeout_seconds: float = Field(default=60.0, gt=0)
    concurrency: int = Field(default=8, ge=1, le=512)
    """Calls in flight at once, as far as the connection's limit in ``ecosystem.yaml`` lets them."""
    urgency: Literal["now", "deferrable"] = "now"
    """
    ``deferrable``: a case waits for the ``off_peak`` hours of ``calendar.yaml`` and is then asked about in a batch of
    the provider, unless it is due before.
    """
    batch_window: Duration = Field(default=timedelta(hours=24), ge=timedelta(minutes=1))
    """Within what time the provider answers a batch: what it is asked for, and after which it is not waited for."""
    confidence_field: str | None = None
    """
    Field of the contract that carries a *calibrated* confidence. Default, and right for a text model: none.
    """


AgentDeclaration = Annotated[
    ClassifierAgent | RetrievalAgent | TemplateAgent | FunctionAgent | ReportAgent | ModelAgent,
    Field(discriminator="kind"),
]

_declarations: TypeAdapter[dict[str, AgentDeclaration]] = TypeAdapter(dict[str, AgentDeclaration])


def parse_agents(document: Any, *, where: str = "agents.yaml") -> dict[str, AgentDeclaration]:
    """
    Return the agents of a parsed ``agents.yaml`` by name.

    :raises ConfigurationError: with each problem as ``agent.field: what is wrong``.
    """
    try:
        return _declarations.validate_python(document or {})
    except ValidationError as error:
        raise ConfigurationError(f"{where} cannot be used: " + "; ".join(explain(error))) from None


NOT_OF_AN_ANSWER = frozenset(
    {"description", "fallback", "cheaper", "urgency", "batch_window", "concurrency", "timeout_seconds"}
)
"""Fields of a declaration that change no answer: an agent's digest omits them."""


def pick_agent(agents: dict[str, AgentDeclaration], name: str) -> AgentDeclaration:
    """
    Return the agent *name*.

    :raises UnknownName: with the known ones and the nearest.
    """
    if name not in agents:
        raise UnknownName("agent", name, agents, where="agents.yaml")
    return agents[name]
