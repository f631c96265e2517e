"""The variables that rules and checks read of a case: what is known of it, and what the roles said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.domain.base.contract import variable_prefix
from interlock.domain.policy.policy import Policy, TrainingThreshold
from interlock.domain.policy.version import Bundle
from interlock.domain.routing.routing import NEVER
from interlock.ledger.cases.case import CaseFile


def variables(
    file: CaseFile, bundle: Bundle, *, confidence: float | None = None, threshold: float | None = None
) -> dict[str, Any]:
    """Return variable name to value: ``case.tier``, ``triage.intent``, ``confidence``, ``attempt``, ``missing`` …"""
    known = {name: value for name, value in file.payload.items() if value not in (None, "", [], {})}
    fields = bundle.contracts.get(bundle.policy.contract, {}).get("schema", {}).get("properties", {})
    found: dict[str, Any] = {
        "confidence": confidence,
        "threshold": threshold,
        "attempt": int(file.case.attempt) + 1,
        "known": sorted(known),
        "missing": sorted(name for name in fields if name not in known),
        "data_warnings": sorted({warning.name for warning in file.warnings}),
    }
    found |= {f"case.{name}": value for name, value in file.payload.items()}
    for contract, payload in file.context.items():
        found |= {f"{variable_prefix(contract)}.{name}": value for name, value in payload.items()}
    return found


def capped(confidence: float | None, file: CaseFile) -> float | None:
    """Return *confidence*, or the lowest cap that a warning on the data of the case's runs sets."""
    caps = [warning.caps_confidence for warning in file.warnings if warning.caps_confidence is not None]
    return confidence if confidence is None else min([confidence, *caps])


def threshold_of(policy: Policy, report: Mapping[str, Any] | None) -> float | None:
    """
    Return the confidence from which the policy is certain enough, for the agent that reported *report*.

    A threshold by training error needs the agent's out-of-fold curve; without one, nothing is certain enough.
    """
    if isinstance(policy.threshold, TrainingThreshold):
        from interlock.domain.routing.calibration import CurvePoint, threshold_for

        curve = [CurvePoint(**point) for point in (report or {}).get("curve", [])]
        return threshold_for(curve, policy.threshold.training_error) if curve else NEVER
    return policy.threshold
