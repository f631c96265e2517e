"""Whether the ledger says what was recorded: verification, anchors, export, history, erasure."""
