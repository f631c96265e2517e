"""Routing decisions, as they were recorded."""
