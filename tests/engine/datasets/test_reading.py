"""Reading a dataset for a run: once, as of one instant, and traceable."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from interlock.domain.facts.fact import by_name
from interlock.engine.facts.provenance import trace
from interlock.errors import ConfigurationError, Stopped, Tampered, UnknownName
from interlock.ledger.audit.verify import verify
from shop import AS_OF, FILES, NAME, Shop, weeks
from workflows import put_in_force

ROWS = weeks(
    {"A": 10}, {"A": 20, "B": 5}, {"A": 15}, {"A": 30, "B": 10}, {"A": 10, "B": 1}, {"A": 8}, {"A": 9}, {"A": 20}
)
OPTIONAL = FILES["datasets.yaml"].replace("key: [id]", "key: [id]\n          required: false")


def test_a_run_reads_as_of_its_instant_and_a_later_row_is_not_there(tmp_path, ledger):
    shop = Shop(tmp_path, ledger, ROWS)
    shop.read(as_of=datetime(2014, 2, 3, tzinfo=UTC))

    assert by_name(shop.state())["sales"].shown == "40.00 USD"
    assert {fact.as_of for fact in shop.facts()} == {datetime(2014, 2, 3, tzinfo=UTC)}


def test_without_an_instant_the_data_say_it(tmp_path, sqlite_ledger):
    """A run that is started by hand on historical data reads as of their end."""
    shop = Shop(tmp_path, sqlite_ledger, ROWS)

    assert shop.read(as_of=None).as_of == datetime(2014, 2, 27, tzinfo=UTC)
    assert by_name(shop.state())["sales"].period == "week of 2014-02-17"


def test_a_task_that_is_tried_again_finds_its_reading(tmp_path, sqlite_ledger):
    """Whatever became of the source meanwhile: all numbers of a run rest on the same rows."""
    shop = Shop(tmp_path, sqlite_ledger, ROWS)
    first = shop.read()
    shop.write_rows(weeks({"A": 1}))

    assert shop.read().id == first.id


def test_a_backfill_states_the_same_facts_as_the_day_itself(tmp_path, ledger):
    shop = Shop(tmp_path, ledger, ROWS[:6])
    shop.read(run="then", as_of=datetime(2014, 2, 3, tzinfo=UTC))
    then = shop.state(run="then")
    shop.write_rows(ROWS)
    shop.read(run="now", as_of=datetime(2014, 2, 3, tzinfo=UTC))

    assert [fact.id for fact in shop.state(run="now")] == [fact.id for fact in then]


def test_every_fact_comes_out_the_same_from_its_snapshot_and_the_ledger_verifies(tmp_path, ledger):
    shop = Shop(tmp_path, ledger, ROWS)
    shop.run()
    for fact in shop.facts():
        traced = trace(ledger, fact.id, shop.snapshots)
        assert traced.is_confirmed, fact.name
        if not fact.inputs and fact.rows:
            assert len(traced.rows) == fact.rows
    assert verify(ledger).problems == []


def test_a_number_is_traced_to_its_rows(tmp_path, sqlite_ledger):
    shop = Shop(tmp_path, sqlite_ledger, ROWS)
    shop.read()
    shop.state()
    traced = trace(sqlite_ledger, by_name(shop.facts())["sales.previous"].id, shop.snapshots)

    assert traced.columns == ["row", "id", "day", "vendor", "amount", "currency"]
    assert [(row[0], str(row[4])) for row in traced.rows] == [(11, "9.0000")]
    assert traced.reading.source == "sales.csv"


def test_a_snapshot_that_somebody_changed_is_told(tmp_path, sqlite_ledger):
    shop = Shop(tmp_path, sqlite_ledger, ROWS)
    read = shop.read()
    file = shop.snapshots.root / f"{read.snapshot}.parquet"
    file.write_bytes(file.read_bytes() + b"x")

    with pytest.raises(Tampered, match="is not what was read"):
        shop.state()


def test_a_snapshot_whose_time_is_over_leaves_the_fact_and_says_why(tmp_path, sqlite_ledger):
    shop = Shop(tmp_path, sqlite_ledger, ROWS)
    read = shop.read()
    facts = shop.state()
    (shop.snapshots.root / f"{read.snapshot}.parquet").unlink()
    traced = trace(sqlite_ledger, by_name(facts)["sales"].id, shop.snapshots)

    assert traced.is_confirmed is None
    assert "its time is over" in traced.problem


def test_a_required_dataset_that_is_not_fit_stops_the_run(tmp_path, sqlite_ledger):
    shop = Shop(tmp_path, sqlite_ledger, ROWS)
    shop.write_rows([], columns=["id", "day", "seller", "amount", "currency"])
    (shop.root / "sales.csv").write_text("id,day,seller,amount,currency\n1,2014-02-26,A,5,USD\n")

    with pytest.raises(Stopped, match="column 'vendor' is gone; undeclared columns: 'seller'"):
        shop.read()
    with pytest.raises(Stopped, match="not fit"):  # again: the reading is kept, and so is what it says
        shop.read()


def test_what_rests_on_an_optional_dataset_that_is_not_fit_is_withheld(tmp_path, sqlite_ledger):
    shop = Shop(tmp_path, sqlite_ledger, ROWS, datasets=OPTIONAL)
    (shop.root / "sales.csv").unlink()
    found = shop.run()

    assert [(fact.name, fact.value) for fact in shop.facts()] == [("sales", None)]
    assert "there is no file" in shop.facts()[0].withheld
    assert [(one.kind, one.quality) for one in found] == [("review", "withheld")]


def test_a_dataset_or_a_reading_that_is_not_there_says_what_to_do(tmp_path, sqlite_ledger):
    shop = Shop(tmp_path, sqlite_ledger, ROWS)
    with pytest.raises(ConfigurationError, match=r"Put DataQualityOperator\(dataset='sales'\) before task 'kpis'"):
        shop.state()
    shop.read()
    with pytest.raises(UnknownName, match="there is no fact 'abc'"):
        trace(sqlite_ledger, "abc", shop.snapshots)


def test_the_review_and_the_insights_are_cases(tmp_path, ledger):
    shop = Shop(tmp_path, ledger, ROWS)
    review, insight = sorted(shop.run(), key=lambda finding: finding.kind, reverse=True)

    assert (review.key, review.subject) == ("2014-02-24/review", "selling")
    assert insight.key == "2014-02-24/growth/sales"
    assert insight.title == "Sales rose by 122.2%"
    assert insight.recommendation == "Thank A."
    named = {fact.id: fact.name for fact in insight.facts}
    assert [named[fact_id] for fact_id in insight.cites] == ["sales.change_percent", "sales.by.vendor.1"]
    assert insight.confidence_basis == "it applied in 3 earlier weeks, too few to say how often it holds"
    assert review.insights[0].key == insight.key
    assert {fact.id for fact in insight.facts} <= {fact.id for fact in review.facts}
    assert insight.series["sales"][-1] == ("week of 2014-02-24", 20.0)


def test_the_same_period_opens_no_second_case(tmp_path, sqlite_ledger):
    shop = Shop(tmp_path, sqlite_ledger, ROWS)
    shop.run()
    shop.run(run="again")

    assert len(shop.cases()) == 2


def test_a_period_whose_data_were_corrected_gets_a_new_review(tmp_path, sqlite_ledger):
    """What was signed off stays what it was."""
    shop = Shop(tmp_path, sqlite_ledger, ROWS)
    shop.run()
    shop.write_rows([*ROWS[:-1], {**ROWS[-1], "amount": 21}])
    shop.run(run="again")
    reviews = [one for one in shop.cases() if one.kind == "review"]

    assert len(reviews) == 2
    assert reviews[1].key.startswith("2014-02-24/review~")
    assert reviews[1].title == "Sales review (corrected)"


def test_an_insight_whose_number_is_not_there_is_told_without_it(tmp_path, sqlite_ledger):
    """The sales before were none, so the change has no percentage; that there is a change is worth a case."""
    shop = Shop(tmp_path, sqlite_ledger, weeks({"A": 1}, {"A": 0}, {"A": 5}))
    found = shop.run(as_of=datetime(2014, 1, 27, tzinfo=UTC))

    assert [one.title for one in found if one.kind == "insight"] == ["Sales: growth"]


def test_a_warning_about_the_data_caps_what_an_insight_is_trusted(tmp_path, sqlite_ledger):
    suite = """
        suite: sales
        expectations:
          - {name: only A sells, expect: column_values_to_be_in_set, column: vendor, value_set: [A], severity: warning,
             caps_confidence: 0.25}
        """
    totals = [{"A": 10, "B": week} for week in range(1, 20)]
    datasets = FILES["datasets.yaml"].replace("key: [id]", "key: [id]\n          suite: sales")
    kpis = FILES["kpis/sales.yaml"].replace("history: 8", "history: 30")
    shop = Shop(tmp_path, sqlite_ledger, weeks(*totals), datasets=datasets, sales=kpis)
    shop.write("expectations/sales.yaml", suite)
    put_in_force(sqlite_ledger, shop.include, NAME)
    [insight] = [one for one in shop.run(as_of=None) if one.kind == "insight"]

    assert insight.quality == "warned"
    assert insight.confidence == 0.25
    assert insight.confidence_basis.endswith("capped because of a warning about the data")


def test_an_insight_about_an_indicator_that_there_is_not_is_refused(tmp_path, sqlite_ledger):
    insights = FILES["insights.yaml"].replace("indicators: [sales]", "indicators: [sails]")
    shop = Shop(tmp_path, sqlite_ledger, ROWS, insights=insights)

    with pytest.raises(ConfigurationError, match=r"is about indicator 'sails', and .* have: sales"):
        shop.run(as_of=AS_OF)
