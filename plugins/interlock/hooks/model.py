"""
Opens a model of pydantic-ai with an Airflow connection, through the hooks of the common-ai provider.

The connection's type chooses the hook (``pydanticai``, ``pydanticai_azure``, …), as everywhere in common-ai. The prefix
``openai:`` uses OpenAI's Responses API; a server that has only chat completions needs ``openai-chat:<model>``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.agents.model import without_retries
from interlock.errors import ConfigurationError
from interlock.hooks.connection import find_connection

if TYPE_CHECKING:
    from pydantic_ai.models import Model

_EXAMPLE = (
    '--conn-type pydanticai --conn-password <key> --conn-extra \'{"model": "openai:gpt-5-mini"}\' '
    "(--conn-host for a server of your own)"
)


def resolve_model(conn_id: str, model: str | None = None) -> Model:
    """
    Return the model of connection *conn_id*, with the retries of its SDK switched off.

    :param model: ``provider:name`` (default: the model in the connection's extra).
    :raises ConfigurationError: there is no such connection, its type is not for models, or it names no usable model.
    """
    from airflow.providers.common.ai.hooks.pydantic_ai import PydanticAIHook
    from pydantic_ai.exceptions import UserError

    wanted = f"model {model!r}" if model else "an agent"
    connection = find_connection(conn_id, wanted_for=wanted, example=_EXAMPLE)
    try:
        hook = PydanticAIHook.get_hook(conn_id, hook_params={"model_id": model})
        return without_retries(hook.get_conn())
    # What the hook and pydantic-ai raise for a wrong type, an unknown provider or model, or a missing package.
    except (ValueError, TypeError, ImportError, AttributeError, UserError) as error:
        raise ConfigurationError(
            f"connection {conn_id!r} of type {connection.conn_type!r} cannot be used for {wanted}: {error}"
        ) from error
