"""What a task holds while it works, and the switches that stop it."""
