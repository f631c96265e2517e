"""
Upkeep of Interlock: every quarter of an hour, gates that nobody answers take the next step of their ladder, owners hear
of late cases, and notices are sent by the notifiers of `[interlock] notifiers`. Without one they wait in the ledger.

What waited for nobody (cheaper hours, a budget's next period, a provider's batch) and can go on is taken up by a run of
its Dag, which `go_on` starts: one a day for the same cases. Without the two tasks, they wait for the next run.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import dag
from interlock.operators import GoingOnOperator, UpkeepOperator


@dag(schedule=timedelta(minutes=15), catchup=False, max_active_runs=1, tags=["interlock"], doc_md=__doc__)
def interlock_upkeep():
    UpkeepOperator(task_id="keep_up")
    ready = GoingOnOperator(task_id="can_go_on")
    TriggerDagRunOperator.partial(
        task_id="go_on", conf={"interlock_resume": True}, skip_when_already_exists=True
    ).expand_kwargs(ready.output)


interlock_upkeep()
