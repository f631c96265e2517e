"""Reading datasets, checking them, and keeping what was read."""
