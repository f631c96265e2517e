"""Reviews: how they are written down, and whether facts carry what their sentences state."""
