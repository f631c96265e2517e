"""Other people's systems: an effect that was asked for twice takes place once."""
