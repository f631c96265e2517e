"""Carrying a role out over many cases: agents, their fallbacks, rates and budgets, writing what they answered."""
