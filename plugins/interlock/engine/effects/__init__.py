"""Carrying effects out once each, undoing them, and settling those in doubt."""
