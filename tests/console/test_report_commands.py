"""``airflow interlock report show`` and ``provenance``, on a ledger that holds a review."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest
from interlock.commands import report
from interlock.ledger.reports.review import latest_review
from reviews import a_finding, finding_rows, review_workflow, stated


@pytest.fixture
def workflow(tmp_path, sqlite_ledger, monkeypatch):
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SNAPSHOT_PATH", str(tmp_path / "snapshots"))
    connection = {"conn_type": "interlock_ledger", "extra": {"path": str(sqlite_ledger.engine.url.database)}}
    monkeypatch.setenv("AIRFLOW_CONN_INTERLOCK_LEDGER", json.dumps(connection))
    made = review_workflow(tmp_path, sqlite_ledger)
    facts = stated(made, tmp_path / "snapshots")
    insight = a_finding(facts, kind="insight", title="Spend jumped", key="2014-06-16/jump")
    made.up_to("report", finding_rows(a_finding(facts), insight))
    return made


def asked(**given: object) -> Namespace:
    usual = {"workflow": "refunds", "period": None, "html": None, "markdown": None, "rows": 2, "json": False}
    return Namespace(**(usual | given))


def test_the_newest_review_is_printed_or_written_to_files(workflow, tmp_path: Path, capsys):
    report.show(asked())
    assert capsys.readouterr().out.startswith("# Purchasing review\n")

    report.show(asked(html=str(tmp_path / "r.html"), markdown=str(tmp_path / "r.md"), period="2014-06-16"))
    assert "(case R1, waiting)" in capsys.readouterr().out
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "## Sources" in (tmp_path / "r.md").read_text(encoding="utf-8")


def test_the_review_as_data_has_the_numbers_of_its_text(workflow, capsys):
    report.show(asked())
    words = capsys.readouterr().out

    report.show(asked(json=True))
    printed = json.loads(capsys.readouterr().out)

    assert (printed["case"], printed["state"]) == ("R1", "waiting")
    assert printed["review"]["figures"]
    for fact in printed["facts"]:
        [line] = [line for line in words.splitlines() if f"(fact `{fact['id']}`)" in line]
        assert fact["shown"] in line


def test_a_file_that_cannot_be_written_ends_with_one_line(workflow, tmp_path: Path):
    with pytest.raises(SystemExit, match=r"'/nowhere/r\.html': No such file or directory"):
        report.show(asked(html="/nowhere/r.html"))


def test_a_beginning_of_several_facts_is_not_told_as_none(workflow):
    with pytest.raises(SystemExit, match=r"\d+ facts begin with ''.*Give more"):
        report.provenance(asked(fact=""))


def test_a_period_without_a_review_is_told(workflow):
    with pytest.raises(SystemExit, match="no review of '2015'"):
        report.show(asked(period="2015"))
    row, _, finding = latest_review(workflow.ledger, "refunds")
    assert (row.business_key, finding["kind"]) == ("R1", "review")


def test_a_fact_is_told_with_its_rows_and_done_again(workflow, capsys):
    _, review, _ = latest_review(workflow.ledger, "refunds")
    fact = review["figures"][0]["fact"]

    report.provenance(asked(fact=fact[:8]))
    said = capsys.readouterr().out
    assert "recomputed just now: 1,672.25 USD, the same" in said
    assert "Fitness 24/7" in said
    assert "2 more rows" in said

    report.provenance(asked(fact=fact, json=True))
    printed = json.loads(capsys.readouterr().out)
    assert (printed["is_confirmed"], printed["fact"]["id"], len(printed["rows"])) == (True, fact, 2)


def test_a_fact_that_follows_from_others_names_them(workflow, capsys):
    _, review, _ = latest_review(workflow.ledger, "refunds")
    report.provenance(asked(fact=review["figures"][0]["change"]))
    said = capsys.readouterr().out
    assert said.count("derived from") == 2
    assert "100 * (a - b) / b" in said


def test_an_unknown_fact_ends_with_one_line(workflow):
    with pytest.raises(SystemExit, match="there is no fact"):
        report.provenance(asked(fact="zzz"))
