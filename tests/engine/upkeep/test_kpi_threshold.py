"""Figures past their threshold: the owner hears of each once in its period, whatever looks twice."""

from __future__ import annotations

import pytest
from interlock.engine.upkeep.upkeep import keep_up
from interlock.ledger.audit.verify import verify
from interlock.ledger.incidents.notice import list_notices
from interlock.ledger.store.ledger import Ledger
from workflows import WORKFLOW, Clock, Workflow, rows, together

KPIS = """
kpis:
  straight_through_rate: {baseline: 0.25, at_least: 0.9}
  completion_rate: {baseline: 0.1, at_least: 0.1, every: day}
  fallback_rate: {baseline: 0.1, at_most: 0.2, every: day}
  error_rate: {baseline: 0.1, at_most: 0.01}
"""


@pytest.fixture
def flow(tmp_path, ledger) -> Workflow:
    """One of two cases goes by itself, so two of three thresholds are broken; no label is known."""
    return Workflow(tmp_path, Ledger(ledger.engine, "test", Clock()), workflow=WORKFLOW + KPIS)


def told(flow: Workflow) -> list[str]:
    return [row.subject for row in reversed(list_notices(flow.ledger)) if row.kind == "kpi"]


def test_a_broken_threshold_is_told_to_the_owner_once_in_its_period(flow):
    assert "kpis_told" not in keep_up(flow.ledger), "it never ran, and no data breaks nothing"
    flow.up_to("report", rows("sure=0.95", "not sure"))

    assert keep_up(flow.ledger)["kpis_told"] == 2
    assert "kpis_told" not in keep_up(flow.ledger)

    assert sorted(told(flow)) == [
        "refunds: fallback_rate is 50.0%, above 0.2",
        "refunds: straight_through_rate is 50.0%, below 0.9",
    ]
    notice = next(row for row in list_notices(flow.ledger) if "straight" in row.subject)
    assert notice.recipients == ["ann@example.com"]
    assert "over 2 in the month so far (production); before, it was 25.0%" in notice.body
    assert verify(flow.ledger).problems == []


def test_the_next_period_is_told_of_again_when_it_is_broken_there(flow):
    flow.up_to("report", rows("sure=0.95", "not sure"))
    keep_up(flow.ledger)
    flow.ledger.clock.forward(days=35)
    assert "kpis_told" not in keep_up(flow.ledger), "nothing happened there: no data"

    flow.up_to("report", rows("not sure", amount=7.0), run="r2")
    assert keep_up(flow.ledger)["kpis_told"] == 2, "its key has a case of other content: it is in quarantine"
    assert sorted(told(flow)[-2:]) == [
        "refunds: completion_rate is 0.0%, below 0.1",
        "refunds: straight_through_rate is 0.0%, below 0.9",
    ]


def test_several_upkeeps_at_once_tell_it_once(flow):
    flow.up_to("report", rows("sure=0.95", "not sure"))

    together(*[lambda: keep_up(flow.ledger)] * 4)

    assert len(told(flow)) == 2
