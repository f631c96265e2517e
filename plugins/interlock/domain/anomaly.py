"""Where the guide has users import the detector from: this path stays."""

from interlock.domain.facts.anomaly import NAMES, SIGNS, Alarm, Detector, Scored, detect, score

__all__ = ["NAMES", "SIGNS", "Alarm", "Detector", "Scored", "detect", "score"]
