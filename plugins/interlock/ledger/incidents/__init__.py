"""Incidents, and the notices that people get."""
