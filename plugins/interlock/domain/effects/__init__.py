"""How a change in another system is asked for."""
