"""What every other room counts on: canonical bytes, periods and calendars, expressions, redaction, chained events."""
