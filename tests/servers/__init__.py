"""HTTP servers on loopback that behave as other people's do, and misbehave on purpose."""
