"""
From a declaration in ``agents.yaml`` to the agent that works.

Making an agent reads and checks its texts and knows its digest; training, indexing and connecting wait for ``prepare``.
Each kind's library is imported when an agent of that kind is made, so a workflow pays for none that it does not use.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from interlock.domain.agents.agent import (
    AgentDeclaration,
    ClassifierAgent,
    FunctionAgent,
    ModelAgent,
    ReportAgent,
    RetrievalAgent,
    TemplateAgent,
)
from interlock.domain.agents.agent_protocol import Agent, Files
from interlock.domain.base.redaction import FindNames
from interlock.domain.cost.price import Prices
from interlock.domain.policy.policy import Redaction
from interlock.errors import ConfigurationError


def load_agent(
    name: str,
    declaration: AgentDeclaration,
    files: Files,
    *,
    cache: Path,
    resolve_model: Callable[[str, str | None], Any] | None = None,
    redaction: Redaction | None = None,
    find_names: FindNames | None = None,
    prices: Prices | None = None,
) -> Agent:
    """
    Return the agent that *declaration* describes.

    :param name: its name in ``agents.yaml``, for messages.
    :param files: the workflow's files as the pinned version has them.
    :param cache: directory of trained artefacts.
    :param resolve_model: gives the model for a connection id and a model name (None: the connection's own).
        Default: agents of kind ``model`` are refused.
    :param redaction: what the policy says of prompts; default: what has a form is masked.
    :param find_names: finds names in a text; None where nobody can.
    :param prices: the company's own.
    :raises ConfigurationError: the declaration names what is not there or cannot work.
    """
    match declaration:
        case ClassifierAgent():
            from interlock.agents.classifier import TextClassifierAgent

            return TextClassifierAgent(name, declaration, files, cache)
        case RetrievalAgent():
            from interlock.agents.retrieval import PassageAgent

            return PassageAgent(name, declaration, files)
        case TemplateAgent():
            from interlock.agents.template import TemplateWriterAgent

            return TemplateWriterAgent(name, declaration, files)
        case FunctionAgent():
            from interlock.agents.function import PythonFunctionAgent

            return PythonFunctionAgent(name, declaration)
        case ReportAgent():
            from interlock.agents.report import ReportWriterAgent

            return ReportWriterAgent(name, declaration, files)
        case ModelAgent():
            if resolve_model is None:
                raise ConfigurationError(
                    f"agent {name!r} asks a model by connection {declaration.conn_id!r}, and connections can't be "
                    "resolved here. Run it in a task, or choose an agent of another kind."
                )
            from interlock.agents.model import TextModelAgent

            return TextModelAgent(
                name, declaration, files, resolve_model, redaction=redaction, find_names=find_names, prices=prices
            )
