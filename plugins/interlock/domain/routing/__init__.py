"""Which route a case takes, how far a confidence can be believed, and what another policy would have decided."""
