"""What may be executed, and what was."""
