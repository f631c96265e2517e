"""Policies, the versions that pin them, and whether they can work."""
