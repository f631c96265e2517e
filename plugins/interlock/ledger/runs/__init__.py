"""Runs of a workflow, the attempts of their tasks, and the switches that stop them."""
