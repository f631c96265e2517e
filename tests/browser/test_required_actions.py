"""The whole way in Airflow's own pages: see the drafts in Required Actions, approve, and the run goes on."""

from __future__ import annotations

import re

import pytest
from browser_support import DAG, a_ticket

pytestmark = [pytest.mark.browser, pytest.mark.live]
