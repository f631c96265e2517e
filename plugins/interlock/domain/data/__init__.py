"""Where data comes from, what a dataset is, and what its quality must be."""
