"""Tables of data in DuckDB: read, typed, kept as they were, and measured by SQL."""
