"""
Data quality with Great Expectations Core: a suite of a workflow is checked on the batch before any agent sees it.

Importing this package is cheap; Great Expectations, which takes seconds, is imported by the first check.
"""

import logging
import os

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when Great Expectations is imported, which modules of ours do later
logging.getLogger("great_expectations").setLevel(logging.WARNING)  # it logs each of its closures at INFO
