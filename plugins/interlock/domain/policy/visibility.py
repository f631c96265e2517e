"""
What people without the right ``read_personal`` see of a case.

A field with a class of data is shown as ``[class]``. Columns that no contract names, as a quarantined row may have, are
counted and not shown, their names included: a file without a header has data there. Where a workflow has classes of
data, what people, sources and other systems wrote about a case may repeat them, so of such texts only the words of the
policy and of Interlock are shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interlock import errors
from interlock.domain.agents.usage_right import data_classes
from interlock.domain.base.contract import variable_prefix
from interlock.domain.base.plural import counted
from interlock.domain.policy.version import Bundle

CASE = "case"
"""What the contract of intake is called where contracts are named."""
UNNAMED = "[not in the contract]"
TEXT = "[text]"

_OURS = {"Validation": {"passed": "", "failed": ""}}
"""Contracts of Interlock's own, which no bundle holds: their fields hold names of checks."""
_HEAD = re.compile(r"^([\w ]+?)( at [\w.]+)?: (.*)$", re.DOTALL)
_HEADS = frozenset({"autonomy", "data check", "failed check"})
_CONSTANT = re.compile(
    r"waits for \w+|is with the provider, in a batch|there is no draft( to check or to send)?"
    r"|no rule fits, the policy's default"
)
_STOPPED = re.compile(r"rule '(.*)' stops it", re.DOTALL)


@dataclass(frozen=True)
class Masks:
    """What one version of a workflow masks."""

    fields: Mapping[str, Mapping[str, str]]
    """Contract to each of its fields, with what is shown in its place; empty: the field itself."""
    words: frozenset[str]
    """Names of rules and checks, which the policy's author wrote and no person or source."""

    @classmethod
    def of(cls, bundle: Bundle) -> Masks:
        """Return what *bundle* masks."""
        schemas = {name: contract["schema"] for name, contract in bundle.contracts.items()}
        schemas[CASE] = schemas[bundle.policy.contract]
        policy = bundle.policy
        return cls(
            _OURS | {name: _fields(schema) for name, schema in schemas.items()},
            frozenset(one.name for one in (*policy.rules, *policy.checks)),
        )

    @property
    def has_classes(self) -> bool:
        """Whether a contract gives any field a class of data."""
        return any(mask for fields in self.fields.values() for mask in fields.values())

    def hides(self, contract: str, payload: Mapping[str, Any]) -> list[str]:
        """Return the fields of *payload* under *contract* (a name or reference) that are masked and not empty."""
        fields = self._of(contract)
        return [name for name, value in payload.items() if value is not None and fields.get(name, UNNAMED)]

    def has_unnamed(self, contract: str, payload: Mapping[str, Any]) -> bool:
        """Return whether *payload* has a column that *contract* (a name or reference) does not name."""
        return not self._of(contract).keys() >= payload.keys()

    def masked(self, contract: str, payload: Any) -> Any:
        """Return *payload* under *contract* (a name or reference) as it is shown."""
        if not isinstance(payload, Mapping):
            return payload
        fields = self._of(contract)
        shown = {
            name: value if value is None else fields[name] or value for name, value in payload.items() if name in fields
        }
        unnamed = len(payload) - len(shown)
        return {**shown, counted(unnamed, "other column"): UNNAMED} if unnamed else shown

    def inputs(self, inputs: Any) -> Any:
        """Return what rules read as it is shown: contracts under their names in rules, or flat as ``case.text``."""
        if not isinstance(inputs, Mapping):
            return inputs
        by_prefix = {name if name == CASE else variable_prefix(name): name for name in self.fields}
        shown = {}
        for name, value in inputs.items():
            prefix, _, field = str(name).partition(".")
            contract = by_prefix.get(prefix)
            if contract is None or value is None:
                shown[name] = value
            elif field:
                shown[name] = self.fields[contract].get(field) or value
            else:
                shown[name] = self.masked(contract, value)
        return shown

    def text(self, text: str | None, *, of_unnamed: bool = False) -> str | None:
        """
        Return a *text* about a case as it is shown.

        :param of_unnamed: the case has columns that no contract names, which the text may repeat.
        """
        if not text or not (of_unnamed or self.has_classes):
            return text
        return "; ".join(dict.fromkeys(self._part(part) for part in text.split("; ")))

    def _of(self, contract: str) -> Mapping[str, str]:
        return self.fields.get(contract.partition("@")[0], {})

    def _part(self, part: str) -> str:
        stopped = _STOPPED.fullmatch(part)
        if part in self.words or _CONSTANT.fullmatch(part) or (stopped and stopped[1] in self.words):
            return part
        head = _HEAD.match(part)
        if head is None or not (head[1] in _HEADS or _is_error(head[1])):
            return TEXT
        named = re.findall(r"'([^']*)'", head[3]) or [head[3]]
        if head[1] == "failed check" and self.words.issuperset(named):
            return part
        return f"{head[1]}{head[2] or ''}: {TEXT}"


def _fields(schema: Mapping[str, Any]) -> dict[str, str]:
    classes = data_classes(schema)
    masks = {name: f"[{', '.join(sorted(found))}]" for name, found in classes.items()}
    return dict.fromkeys(schema.get("properties", {}), "") | masks


def _is_error(name: str) -> bool:
    return isinstance(getattr(errors, name, None), type)
