"""What the workflows of decision support ship beside their wiring: it fits together, and what it makes of the data."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from decision import INCLUDE, PROJECT, Decision, the_dag, the_wiring
from interlock.domain.facts.indicator import parse_kpis
from interlock.domain.facts.insight import parse_insights
from interlock.domain.policy.company import COMPANY, Company
from interlock.engine.policy.bundle import read_bundle
from interlock.engine.policy.publication import problems_of

WORKFLOWS = ["executive_review", "pipeline_health", "anomaly_watch"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_all_files_parse_and_fit_the_dag(name: str):
    bundle = read_bundle(INCLUDE, name)
    company = Company(read_bundle(INCLUDE, COMPANY))

    assert company.problems() == []
    assert problems_of(bundle, company, environment="test", wiring=the_wiring(name)) == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_insights_and_tasks_name_kpis_and_datasets_that_there_are(name: str):
    bundle = read_bundle(INCLUDE, name)
    insights = parse_insights(bundle.document("insights.yaml"))
    sets = {kpis: parse_kpis(bundle.document(f"kpis/{kpis}.yaml")) for kpis in insights.kpis}
    indicators = [indicator for kpis in sets.values() for indicator in kpis.indicators]
    tasks = the_dag(name).tasks
    checked = {task.dataset for task in tasks if getattr(task, "dataset", None)}

    assert len(set(indicators)) == len(indicators)
    assert {i for rule in insights.insights for i in rule.indicators} <= set(indicators)
    assert {kpis.dataset for kpis in sets.values()} == checked == set(bundle.datasets)
    assert {task.kpis for task in tasks if hasattr(task, "kpis")} == set(sets)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nothing_starts_by_itself_because_the_data_are_historical(name: str):
    dag = the_dag(name)

    assert dag.end_date is not None
    assert dag.end_date.year < 2020
    assert not dag.catchup


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_data_say_where_they_come_from(name: str):
    told = (INCLUDE / name / "data" / "ATTRIBUTION.md").read_text("utf-8")

    assert re.search(r"commit\s+`[0-9a-f]{40}`", told)
    assert "Licence:" in told
    assert sum(path.stat().st_size for path in (INCLUDE / name / "data").iterdir()) < 2_000_000


def prepared_by(name: str) -> Any:
    """Return the module ``data/prepare.py`` of a workflow."""
    if str(PROJECT) not in sys.path:
        sys.path.insert(0, str(PROJECT))
    from importlib import import_module

    return import_module(f"include.{name}.data.prepare")


# Pipeline health


def test_each_lead_got_the_year_that_the_order_of_rows_gives():
    import pandas

    months = [("nov", 3), ("dec", 1), ("jan", 28), ("may", 2), ("dec", 30), ("jan", 4), ("nov", 17)]
    rows = pandas.DataFrame(months, columns=["month", "day"])

    assert [str(day) for day in prepared_by("pipeline_health").dated(rows)] == [
        *("2008-11-03", "2008-12-01", "2009-01-28", "2009-05-02", "2009-12-30", "2010-01-04", "2010-11-17")
    ]
    with pytest.raises(ValueError, match="not in time order"):
        prepared_by("pipeline_health").dated(rows.iloc[::-1].reset_index(drop=True))


def test_the_shipped_leads_are_all_there_on_working_days():
    import pandas

    leads = pandas.read_parquet(INCLUDE / "pipeline_health" / "data" / "leads.parquet")
    days = pandas.to_datetime(leads["contacted_on"])

    assert len(leads) == 45_211
    assert (str(days.min())[:10], str(days.max())[:10]) == ("2008-05-05", "2010-11-17")
    assert (days.dt.day_of_week >= 5).sum() == 50
    assert "duration" not in leads
    assert round(leads["subscribed"].mean(), 3) == 0.117


def test_pipeline_health_is_written_and_waits_for_people(tmp_path: Path, sqlite_ledger: Any):
    flow = Decision("pipeline_health", tmp_path, sqlite_ledger)
    flow.run()
    (review,) = [one for one in flow.reviews().values() if one.title.startswith("Pipeline health")]
    said = {section.heading: [s.text for s in section.sentences] for section in review.sections}

    assert flow.readings()["leads"]["state"] == "fit"
    assert {key: row["state"] for key, row in flow.cases().items()} == {
        "2010-11-17/review": "waiting",
        "2010-11-08/behind/won": "waiting",
    }
    assert said["Cover of the target"][0] == (
        "Subscriptions won were 16 in the week, which covers 64% of its target of 25."
    )
    assert [one.owner for one in review.recommendations] == ["sales"]
    assert said["Interlock's own cases"] == ["Cases opened were 0; 0 of them are not done and 0 are past their time."]


def test_the_runs_of_a_week_open_one_case_for_the_same_claim_and_a_review_each(tmp_path: Path, sqlite_ledger: Any):
    flow = Decision("pipeline_health", tmp_path, sqlite_ledger)
    for day in ("2010-11-16T06:00Z", "2010-11-17T06:00Z", "2010-11-17T06:00Z"):
        flow.run(run=f"{day}-{len(flow.cases())}", as_of=day, until="route")

    assert sorted(flow.cases()) == [
        "2010-11-08/behind/won",
        "2010-11-15/idle/calls_of_day",
        "2010-11-15/review",
        "2010-11-16/review",
    ]


def test_interlocks_own_cases_are_told_where_the_leads_are_too_old(tmp_path: Path, sqlite_ledger: Any):
    """The second pipeline does not wait for the first one, whose data ended long ago."""
    from datetime import UTC, datetime, timedelta

    flow = Decision("pipeline_health", tmp_path, sqlite_ledger)
    flow.run(run="then")
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    flow.run(run="now", as_of=f"{tomorrow}T00:00Z")
    (review,) = [r for key, r in flow.reviews(run="now").items() if key.endswith("/review")]
    said = [sentence.text for section in review.sections for sentence in section.sentences]

    assert "Cases opened were 2; 2 of them are not done and 0 are past their time." in said
    assert any(one.what == "Conversion" and "newest row" in one.reason for one in review.withheld), review.withheld


# Anomaly watch

WATCH = "anomaly_watch"


def test_the_table_of_metrics_is_the_published_series_under_names_that_say_nothing_of_causes(tmp_path: Path):
    import pandas

    shipped = pandas.read_parquet(INCLUDE / WATCH / "data" / "metrics.parquet")
    made = prepared_by(WATCH).metrics(INCLUDE / WATCH / "data").reset_index(drop=True)

    pandas.testing.assert_frame_equal(shipped, made)
    assert len(shipped) == 69_561
    assert shipped["series"].nunique() == 7


def test_no_rule_or_runbook_knows_what_was_wrong_with_a_series():
    """What people found out afterwards is for benchmarks; a runbook that knew it would prove nothing."""
    told = "\n".join(
        path.read_text("utf-8").lower()
        for path in (INCLUDE / WATCH).rglob("*.yaml")
        if "data" not in path.relative_to(INCLUDE / WATCH).parts
    )
    causes = ["marathon", "thanksgiving", "christmas", "new year", "snow", "storm", "misconfig", "autoscal", "asg"]
    causes += ["shutdown", "shut down", "rogue", "system failure", "windows.json"]

    assert [cause for cause in causes if cause in told] == []


def test_every_series_is_watched_and_has_a_runbook():
    bundle = read_bundle(INCLUDE, WATCH)
    insights = parse_insights(bundle.document("insights.yaml"))
    sets = [parse_kpis(bundle.document(f"kpis/{kpis}.yaml")) for kpis in insights.kpis]
    watched = {indicator for kpis in sets for indicator in kpis.indicators}

    assert watched == set(prepared_by(WATCH).SERIES.values())
    assert {i for rule in insights.insights for i in rule.indicators} == watched
    assert all(rule.once == "alarm" and rule.recommendation for rule in insights.insights)
    assert all(kpis.indicators[i].where == f"series = '{i}'" for kpis in sets for i in kpis.indicators)


def test_consecutive_hours_tell_of_an_alarm_once_each_and_of_none_twice(tmp_path: Path, sqlite_ledger: Any):
    """A run looks back on two hours, so the run after it sees the same alarm; the case's key says that it is one."""
    flow = Decision(WATCH, tmp_path, sqlite_ledger)
    seen: dict[str, int] = {}
    for hour in (17, 18, 19, 20):
        run = f"at {hour}"
        flow.run(run=run, as_of=f"2014-07-11T{hour}:00Z", until="route")
        seen |= {run: sum(fact.name.endswith(".expected") for fact in flow.facts(run=run))}

    assert seen == {"at 17": 0, "at 18": 1, "at 19": 1, "at 20": 1}
    assert sorted(flow.cases()) == ["cpu_utilization@2014-07-11 19:50", "key_hold@2014-07-11 17:15"]


def test_an_urgent_alarm_waits_for_who_is_on_call_and_comes_with_its_runbook(tmp_path: Path, sqlite_ledger: Any):
    flow = Decision(WATCH, tmp_path, sqlite_ledger)
    flow.run(as_of="2014-07-11T18:00Z")
    ((key, row),) = flow.cases().items()
    review = flow.reviews()[key]

    assert (row["state"], row["route"], row["owner"]) == ("waiting", "urgent", "on_call")
    assert review.recommendations[0].text.startswith("Look at what else the account did in the hour")
    assert review.sections[0].sentences[0].text == (
        "Time that keys are held stood at 0.895 seconds at 2014-07-11 17:15."
    )
    assert [chart.kind for section in review.sections for chart in section.charts] == ["line"]
    assert len(flow.findings()[key].series["key_hold"]) == 500


def test_an_alarm_that_is_not_urgent_goes_to_its_owner_by_itself(tmp_path: Path, sqlite_ledger: Any):
    flow = Decision(WATCH, tmp_path, sqlite_ledger)
    flow.run(as_of="2014-11-02T02:00Z")

    assert {key: (row["state"], row["route"]) for key, row in flow.cases().items()} == {
        "taxi_passengers@2014-11-02 01:00": ("authorised", "auto")
    }


def test_an_hour_in_which_nothing_is_recorded_stops_and_says_so(tmp_path: Path, sqlite_ledger: Any):
    from interlock.errors import Stopped

    flow = Decision(WATCH, tmp_path, sqlite_ledger)
    with pytest.raises(Stopped, match="newest row"):
        flow.run(as_of="2015-02-02T00:00Z")
