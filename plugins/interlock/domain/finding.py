"""Where the contracts of published versions import :class:`Finding` from: this path stays."""

from interlock.domain.facts.finding import Finding, Insight

__all__ = ["Finding", "Insight"]
