"""Budgets, and a row for every cost."""
