"""Facts, the readings that they rest on, and the quality of those."""
