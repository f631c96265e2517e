"""
Upkeep of Interlock: every quarter of an hour, gates that nobody answers take the next step of their ladder, owners hear
of late cases, and notices are sent by the notifiers of `[interlock] notifiers`. Without one they wait in the ledger.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag
from interlock.operators import UpkeepOperator


@dag(schedule=timedelta(minutes=15), catchup=False, max_active_runs=1, tags=["interlock"], doc_md=__doc__)
def interlock_upkeep():
    UpkeepOperator(task_id="keep_up")


interlock_upkeep()
