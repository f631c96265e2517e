"""
The operators, imported lazily, so that a Dag that uses one does not pay for the others.

``IntakeOperator``, ``EnrichmentOperator``, ``ReasoningOperator``, ``DraftingOperator``, ``ValidationOperator``,
``ExecutionOperator`` and ``ReportingOperator`` carry the seven roles out, each an ``AgentRoleOperator``;
``ConfidenceBranchOperator`` decides the route of each case, ``DataQualityOperator`` validates cases or a dataset with a
suite, ``KpiOperator`` and ``AnomalyOperator`` state facts about a dataset, and ``RecordOutcomeOperator`` records the
outcomes of cases.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.operators.agent import DraftingOperator, EnrichmentOperator, ReasoningOperator
    from interlock.operators.anomaly import AnomalyOperator
    from interlock.operators.base import AgentRoleOperator
    from interlock.operators.branch import ConfidenceBranchOperator
    from interlock.operators.execution import ExecutionOperator
    from interlock.operators.intake import IntakeOperator
    from interlock.operators.kpi import KpiOperator
    from interlock.operators.outcome import RecordOutcomeOperator
    from interlock.operators.quality import DataQualityOperator
    from interlock.operators.reporting import ReportingOperator
    from interlock.operators.upkeep import GoingOnOperator, UpkeepOperator
    from interlock.operators.validation import ValidationOperator

_WHERE = {
    "AgentRoleOperator": "base",
    "AnomalyOperator": "anomaly",
    "ConfidenceBranchOperator": "branch",
    "DataQualityOperator": "quality",
    "DraftingOperator": "agent",
    "EnrichmentOperator": "agent",
    "ExecutionOperator": "execution",
    "GoingOnOperator": "upkeep",
    "IntakeOperator": "intake",
    "KpiOperator": "kpi",
    "ReasoningOperator": "agent",
    "RecordOutcomeOperator": "outcome",
    "ReportingOperator": "reporting",
    "UpkeepOperator": "upkeep",
    "ValidationOperator": "validation",
}

__all__ = [
    "AgentRoleOperator",
    "AnomalyOperator",
    "ConfidenceBranchOperator",
    "DataQualityOperator",
    "DraftingOperator",
    "EnrichmentOperator",
    "ExecutionOperator",
    "GoingOnOperator",
    "IntakeOperator",
    "KpiOperator",
    "ReasoningOperator",
    "RecordOutcomeOperator",
    "ReportingOperator",
    "UpkeepOperator",
    "ValidationOperator",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
