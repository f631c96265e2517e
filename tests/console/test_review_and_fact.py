"""A review and its facts in the console: rendered as it is sent, and every number clicked through to its rows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from interlock.engine.datasets.snapshot import Snapshots
from reviews import WEEK, a_finding, finding_rows, measured, review_workflow, stated

pytestmark = pytest.mark.airflow


@pytest.fixture
def snapshots(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SNAPSHOT_PATH", str(tmp_path / "snapshots"))
    return tmp_path / "snapshots"


@pytest.fixture
def workflow(tmp_path, sqlite_ledger, monkeypatch, airflow_home, snapshots):
    """A review that waits at its gate, and the facts that it states."""
    import json

    made = review_workflow(tmp_path, sqlite_ledger)
    connection = {"conn_type": "interlock_ledger", "extra": {"path": str(sqlite_ledger.engine.url.database)}}
    monkeypatch.setenv("AIRFLOW_CONN_INTERLOCK_LEDGER", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__INTERLOCK__INCLUDE_PATH", str(made.include))
    facts = stated(made, snapshots)
    series = {"spend": [("week of 2014-06-02", 900.0), ("week of 2014-06-09", 1342.5), (WEEK, 1672.25)]}
    made.up_to("report", finding_rows(a_finding(facts, series=series)))
    return made


def test_the_gate_shows_the_review_rendered_and_no_json(client, workflow):
    page = client("lea").get("/review/R1").text

    assert '<article class="review">' in page
    assert "reporting/review.css" in page
    assert "Spend stood at" in page
    assert "<svg" in page
    assert page.count('class="draft"') == 1
    assert page.index('<details class="sources" data-unfold>') < page.index("data-post=")
    assert " style=" not in page.split('<article class="review">')[1].split("</article>")[0]
    assert client("lea").get("/reporting/review.css").status_code == 200


def test_the_queue_says_which_review_and_which_insight_waits(client, workflow):
    """Not the longest of its texts, which was an instant."""
    facts = measured(reading="d" * 32)
    insight = a_finding(facts, kind="insight", title="Spend jumped.", recommendation="Ask.", key="2014-06-16/jump")
    workflow.up_to("report", finding_rows(a_finding(facts), insight), run="r2")

    lines = re.findall(r'<div class="line">(.*?)</div>', client("lea").get("/review").text)

    assert set(lines) == {"Purchasing review", "Spend jumped. Ask."}


def test_the_page_of_the_case_shows_it_as_well(client, workflow):
    assert '<article class="review">' in client("vera").get("/case/R1").text


def test_every_number_of_the_review_resolves_to_its_rows(client, workflow):
    """Clicks through all: from each number to its fact, from a fact that follows from others to those."""
    lea = client("lea")
    page = lea.get("/review/R1").text
    article = page.split('<article class="review">')[1].split("</article>")[0]
    numbers = set(re.findall(r'class="(?:n|value|change[^"]*)" href="#fact-([0-9a-f]+)"', article))
    assert len(numbers) > 15
    for fact_id in numbers:
        assert f'id="fact-{fact_id}"' in article
    ahead, seen, with_rows = list(numbers), set(), 0
    while ahead:
        fact_id = ahead.pop()
        if fact_id in seen:
            continue
        seen.add(fact_id)
        assert f'href="/interlock/fact/{fact_id}?reading={"d" * 32}"' in article
        response = lea.get(f"/fact/{fact_id}?reading={'d' * 32}")
        assert response.status_code == 200
        assert "Recomputed just now" in response.text
        inputs = re.findall(r'<li><a href="/interlock/fact/([0-9a-f]+)\?', response.text)
        if inputs:
            ahead += inputs
        elif "Rows where" in response.text:
            assert "<tbody><tr>" in response.text
            with_rows += 1
        else:
            assert "target of punctual in kpis/orders.yaml" in response.text
    assert with_rows > 5


def test_rows_are_for_those_who_may_read_personal_data(client, workflow):
    fact = next(iter(re.findall(r"/interlock/fact/([0-9a-f]+)", client("lea").get("/review/R1").text)))

    assert "Fitness 24/7</td>" in client("lea").get(f"/fact/{fact}").text
    viewer = client("vera").get(f"/fact/{fact}").text
    assert "read_personal" in viewer
    assert "Fitness 24/7</td>" not in viewer


def test_a_snapshot_that_is_gone_or_changed_is_told(client, workflow, snapshots):
    fact = next(iter(re.findall(r"/interlock/fact/([0-9a-f]+)", client("lea").get("/review/R1").text)))
    (file,) = snapshots.glob("*.parquet")
    file.write_bytes(b"another")
    assert "is not what was read" in client("lea").get(f"/fact/{fact}", headers={"Accept": "text/html"}).text
    file.unlink()
    assert "It cannot be recomputed here" in client("lea").get(f"/fact/{fact}").text
    assert Snapshots(snapshots).root == snapshots


def test_an_unknown_fact_is_not_found(client, workflow):
    assert client("lea").get("/fact/nothing").status_code == 404


def test_a_fact_is_shown_with_the_quality_of_the_run_that_stated_it(client, workflow, sqlite_ledger):
    """A later run reads the same rows, warned of something else, and states the same facts."""
    from interlock.ledger.facts.fact import load_reading, write_facts, write_reading

    facts = measured(reading="e" * 32)
    session = workflow.session("intake", run="later")
    with session.read() as connection:
        first = load_reading(connection, "d" * 32)
    with session.write() as tx:
        reasons = {"critical": [], "warning": ["a later run warned of this"], "info": []}
        later = first.values() | {"id": "e" * 32, "run_id": session.run.id, "state": "warned", "reasons": reasons}
        write_reading(tx, type(first)(**later))
        write_facts(tx, session.run, "intake", facts)

    lea = client("lea")
    article = lea.get("/review/R1").text
    for path in set(re.findall(r"/interlock(/fact/[0-9a-f]+[?]reading=d+)", article)):
        assert "a later run warned of this" not in lea.get(path).text
    assert "a later run warned of this" in lea.get(f"/fact/{facts[0].id}?reading={'e' * 32}").text
