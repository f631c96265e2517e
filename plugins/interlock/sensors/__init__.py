"""The approval gate, a sensor that waits for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.sensors.gate import ApprovalGateSensor

__all__ = ["ApprovalGateSensor"]


def __getattr__(name: str) -> Any:
    if name == "ApprovalGateSensor":
        from interlock.sensors.gate import ApprovalGateSensor

        return ApprovalGateSensor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
