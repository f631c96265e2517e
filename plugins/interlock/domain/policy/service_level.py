"""
Whose a case is, and until when it must be done: the rules of ``workflow.yaml``, read when the case is taken in.

The first rule that matches decides. One that cannot be evaluated does not match: a wrong owner would be worse than the
workflow's, and a missing field must not make a case less urgent than the last service level says.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from interlock.domain.base.calendar import Calendar
from interlock.domain.base.expression import Expression
from interlock.domain.policy.check import case_types
from interlock.domain.policy.version import Bundle


class CaseDuties:
    """The rules of one version, compiled."""

    def __init__(self, bundle: Bundle, calendar: Calendar) -> None:
        settings, types = bundle.settings, case_types(bundle)
        self._after = lru_cache(maxsize=256)(calendar.add)  # what is taken in together is due together
        self._owner = settings.owner.name
        self._owners = [(Expression(rule.when, types), rule.owner) for rule in settings.case_owner]
        self._levels = [(Expression(level.when, types), level) for level in settings.service_levels]

    def owner(self, known: Mapping[str, Any]) -> str:
        """Return whose a case is: a group, a person's id, or the name of the workflow's owner."""
        return next((owner for when, owner in self._owners if when.evaluate(known).value is True), self._owner)

    def due_at(self, known: Mapping[str, Any], opened_at: datetime) -> datetime | None:
        """Return until when a case must be done; None: no service level says so."""
        for when, level in self._levels:
            if when.evaluate(known).value is True:
                return self._after(opened_at, level.within)
        return None
