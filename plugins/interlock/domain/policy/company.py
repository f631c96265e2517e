"""
The company's own files as one version pins them: access, approvals, prices, calendar, connectors.

They live in ``include/company/``, are proposed, approved and put in force like a workflow, under the name ``company``,
and hold for all workflows of the environment. What is not there allows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from interlock.domain.agents.rate_limit import Limit, parse_limits
from interlock.domain.approvals.access import Access, parse_access
from interlock.domain.approvals.approval import Approvals, parse_approvals
from interlock.domain.cost.budget import Budgets, parse_budgets
from interlock.domain.cost.price import Prices, parse_prices
from interlock.domain.effects.connector import ConnectorDeclaration, parse_ecosystem
from interlock.domain.policy.version import Bundle

if TYPE_CHECKING:
    from interlock.domain.base.calendar import Calendar

COMPANY = "company"
"""The name that the company's files have as a version."""


@dataclass(frozen=True)
class Company:
    """The company's files."""

    bundle: Bundle = field(default_factory=lambda: Bundle(COMPANY))
    version_id: str | None = None
    number: int | None = None
    """None: no version is in force, and nobody has a right."""

    def _document(self, name: str) -> Any:
        return self.bundle.document(name) if name in self.bundle.files else None

    @cached_property
    def access(self) -> Access:
        """``access.yaml``."""
        return parse_access(self._document("access.yaml"))

    @cached_property
    def approvals(self) -> Approvals:
        """``approvals.yaml``."""
        return parse_approvals(self._document("approvals.yaml"))

    @cached_property
    def connectors(self) -> Mapping[str, ConnectorDeclaration]:
        """``ecosystem.yaml``."""
        return parse_ecosystem(self._document("ecosystem.yaml"), where="company/ecosystem.yaml")

    @cached_property
    def limits(self) -> Mapping[str, Limit]:
        """What the services behind connections take: ``limits`` of ``ecosystem.yaml``."""
        return parse_limits(self._document("ecosystem.yaml"))

    @cached_property
    def prices(self) -> Prices:
        """``prices.yaml``."""
        return parse_prices(self._document("prices.yaml"))

    @cached_property
    def budgets(self) -> Budgets:
        """``budgets.yaml``."""
        return parse_budgets(self._document("budgets.yaml"))

    @cached_property
    def calendar(self) -> Calendar:
        """``calendar.yaml``."""
        from interlock.domain.base.calendar import parse_calendar

        return parse_calendar(self._document("calendar.yaml"))

    def problems(self) -> list[str]:
        """
        Return what cannot work.

        :raises ConfigurationError: a file cannot be read at all.
        """
        known = {"access.yaml", "approvals.yaml", "ecosystem.yaml", "calendar.yaml", "prices.yaml", "budgets.yaml"}
        problems = [
            f"{name!r} is no file of the company that Interlock knows (known: {', '.join(sorted(known))})"
            for name in sorted(set(self.bundle.files) - known)
        ]
        _ = self.connectors, self.calendar, self.limits
        problems += self.prices.problems() + self.budgets.problems()
        return problems + self.access.problems() + self.approvals.problems(self.access.groups)
