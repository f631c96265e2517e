"""SQL: cases, handoffs, decisions, votes, effects, usage, versions and the audit events that tell of them."""
