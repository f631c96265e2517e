"""Requests at gates, the votes on them, and who stands in for whom."""
