"""Versions of workflows and of the company, and which are in force where."""
