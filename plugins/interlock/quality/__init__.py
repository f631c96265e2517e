"""
Data quality with Great Expectations Core: a suite of a workflow is checked on the batch before any agent sees it.

Importing this package is cheap; Great Expectations, which takes seconds, is imported by the first check.
"""
