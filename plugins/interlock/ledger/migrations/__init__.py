"""Numbered shapes of the ledger."""
