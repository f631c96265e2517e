"""Numbers with their provenance, the indicators behind them, and what of them is worth attention."""
