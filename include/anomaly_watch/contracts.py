"""What the roles of the anomaly watch hand on; both contracts are Interlock's own."""

from __future__ import annotations

from interlock.domain.finding import Finding
from interlock.domain.review import Review

__all__ = ["Finding", "Review"]
