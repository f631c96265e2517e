"""Taking cases in, and bringing those that waited back to work."""
