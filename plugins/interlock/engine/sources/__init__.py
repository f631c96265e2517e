"""Reading rows: files, queries, services, and the ledger itself."""
