"""Sums and counts over the ledger, for summaries, KPIs and quotes."""
