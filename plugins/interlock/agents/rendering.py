"""
Jinja as agents use it: sandboxed, strict about what is undefined, and without HTML escaping.

``case.items`` is the field *items* when the case has one, unlike in plain Jinja, where it would be the method of the
dictionary. Errors name fields, never their values: they end in logs and in the ledger's events.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from interlock.errors import ConfigurationError, InputError


class _Undefined(StrictUndefined):
    """Says what there is when something is not."""

    @property
    def _undefined_message(self) -> str:
        existing = self._undefined_obj
        if isinstance(existing, Mapping):
            return f"{self._undefined_name!r} is undefined; there is {', '.join(map(repr, existing)) or 'nothing'}"
        return str(super()._undefined_message)


class _Environment(ImmutableSandboxedEnvironment):
    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self._method(obj, attribute)
        return super().getattr(obj, attribute)

    def _method(self, obj: Mapping[str, Any], attribute: str) -> Any:
        if attribute in ("items", "keys", "values", "get"):
            return super().getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)


def _dumps(value: Any, **settings: Any) -> str:
    return json.dumps(value, default=dict, **settings)


_environment = _Environment(undefined=_Undefined, autoescape=False)
_environment.policies["json.dumps_function"] = _dumps


def constant_text(text: str, gap: str) -> str:
    """
    Return what the template *text* writes in every case, with *gap* where it depends on the case.

    :raises ConfigurationError: it is not a template.
    """
    try:
        body = _environment.parse(text).body
    except TemplateSyntaxError as error:
        raise ConfigurationError(f"{text[:60]!r} is not a template: line {error.lineno}: {error.message}") from None
    pieces = [
        part.data if isinstance(part, nodes.TemplateData) else gap
        for node in body
        for part in (node.nodes if isinstance(node, nodes.Output) else [node])
    ]
    return "".join(pieces)


class Rendering:
    """
    A parsed template.

    :param text: the template.
    :param place: what errors call it: ``field 'body' (prompts/reply.md.j2) of agent 'reply_writer'``.
    :raises ConfigurationError: it is not a template, or it takes in other files.
    """

    def __init__(self, text: str, place: str) -> None:
        self.place = place
        try:
            parsed = _environment.parse(text)
            if next(meta.find_referenced_templates(parsed), self) is not self:
                raise ConfigurationError(
                    f"{place} takes in another template, which agents can't. Write it in one file, so that one digest "
                    "says what was rendered."
                )
            self._template = _environment.from_string(parsed)
        except TemplateSyntaxError as error:
            raise ConfigurationError(f"{place} is not a template: line {error.lineno}: {error.message}") from None

    def render(self, variables: Mapping[str, Any]) -> str:
        """
        Return the text for *variables*.

        :raises InputError: a variable is undefined, or an expression fails.
        """
        try:
            return self._template.render(variables)
        except TemplateError as error:
            known = ", ".join(map(repr, variables))
            raise InputError(
                f"{self.place} cannot be written: {error.message}. The template may use {known}; ask with "
                "'is defined' or '| default(…)' for what a case need not have."
            ) from None
        except Exception as error:  # whatever an expression does; its message could hold values of the case
            raise InputError(
                f"{self.place} cannot be written: {type(error).__name__} in an expression. Try it on this case."
            ) from None
