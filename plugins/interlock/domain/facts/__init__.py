"""Numbers with their provenance, the indicators behind them, and the findings that are worth attention."""
