"""The end of a run, and the figures of a workflow."""
