"""Figures that would mislead are withheld or say so: missing rows, corrected rules, periods without rows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from interlock.domain.facts.fact import by_name
from interlock.engine.facts.provenance import trace
from interlock.engine.policy.bundle import read_bundle
from interlock.engine.policy.kpi_check import kpi_notes, kpi_problems
from shop import FILES, FIRST, NAME, Shop
from workflows import put_in_force

LAST = FIRST + timedelta(days=7 * 7)
LENIENT = FILES["datasets.yaml"].replace("key: [id]", "key: [id]\n          aside: {max_share: 0.1, warn_share: 0.01}")


def sales(bad: int, *, column: str = "amount", last: int = 20) -> list[dict]:
    """Return eight weeks of sales, the last with *bad* of its *last* rows that cannot be read."""
    rows = [
        {"id": 0, "day": FIRST + timedelta(days=7 * week + day % 7), "vendor": "A", "amount": 10, "currency": "USD"}
        for week in range(7)
        for day in range(200)
    ]
    rows += [{"id": 0, "day": LAST, "vendor": "A", "amount": 10, "currency": "USD"} for _ in range(last)]
    for row in rows[len(rows) - last // 2 - bad // 2 :][:bad]:
        row[column] = "unreadable"
    return rows


@pytest.mark.parametrize("column", ["amount", "day"])
def test_a_week_that_lost_most_of_its_rows_is_withheld_though_the_dataset_is_warned_only(
    tmp_path, sqlite_ledger, column
):
    shop = Shop(tmp_path, sqlite_ledger, sales(19 if column == "amount" else 18, column=column), datasets=LENIENT)
    reading = shop.read()
    facts = by_name(shop.state())

    assert reading.state == "warned"
    assert facts["sales"].value is None
    assert "of the 20 rows of week of 2014-02-24 are quarantined" in facts["sales"].withheld
    assert facts["sales.previous"].shown == "2,000.00 USD"
    assert facts["sales.change"].withheld == facts["sales"].withheld


def test_a_few_missing_rows_are_said_beside_the_figure_and_cap_what_rests_on_it(tmp_path, sqlite_ledger):
    shop = Shop(tmp_path, sqlite_ledger, sales(1), datasets=LENIENT)
    review = next(one for one in shop.run() if one.kind == "review")
    facts = by_name(shop.facts())

    assert facts["sales"].shown == "190.00 USD"
    assert facts["sales"].remarks == ["1 of the 20 rows of week of 2014-02-24 are quarantined"]
    assert facts["sales.previous"].remarks == []
    assert facts["sales.change"].remarks == facts["sales"].remarks
    assert review.quality == "warned"
    assert review.warnings[0] == facts["sales"].remarks[0]
    assert all(trace(sqlite_ledger, fact.id, shop.snapshots).is_confirmed for fact in shop.facts() if not fact.withheld)


def test_a_row_that_repeats_another_is_not_missing(tmp_path, sqlite_ledger):
    rows = [{**row, "id": number} for number, row in enumerate(sales(0), 1)]
    shop = Shop(tmp_path, sqlite_ledger, [*rows, *rows[-5:]], datasets=LENIENT)
    shop.read()

    assert by_name(shop.state())["sales"].remarks == []


def test_a_corrected_rule_makes_a_new_case_and_an_unchanged_one_does_not(tmp_path, sqlite_ledger):
    rows = sales(0, last=400)
    shop = Shop(tmp_path, sqlite_ledger, rows)
    assert len(shop.run()) == 2
    shop.write("insights.yaml", FILES["insights.yaml"].replace("Thank {{", "Call {{"))
    put_in_force(sqlite_ledger, shop.include, NAME)
    found = shop.run(run="corrected")
    insights = [one for one in found if one.kind == "insight"]

    assert sorted(one.recommendation for one in insights) == ["Call A.", "Thank A."]
    assert len([one for one in found if one.kind == "review"]) == 2
    assert len(shop.run(run="again")) == 4


@pytest.mark.parametrize("word", ["first", "within 24 hours", "both vendors", "a dozen times"])
def test_a_template_that_states_a_number_of_itself_is_refused_before_it_is_published(tmp_path, sqlite_ledger, word):
    shop = Shop(tmp_path, sqlite_ledger, sales(0))
    assert kpi_problems(read_bundle(shop.include, NAME), shop.wiring) == []
    shop.write("insights.yaml", FILES["insights.yaml"].replace("Thank {{", f"Thank {word} {{{{"))
    (problem,) = kpi_problems(read_bundle(shop.include, NAME), shop.wiring)

    assert "recommendation of insight 'growth' states" in problem


def test_a_check_says_beforehand_which_parts_may_be_withheld(tmp_path, sqlite_ledger):
    shop = Shop(tmp_path, sqlite_ledger, sales(0))
    assert kpi_notes(read_bundle(shop.include, NAME)) == []
    shop.write("kpis/sales.yaml", FILES["kpis/sales.yaml"].replace("sum(amount)", "count(DISTINCT vendor)"))
    (note,) = kpi_notes(read_bundle(shop.include, NAME))

    assert "indicator 'sales': count(DISTINCT vendor) cannot be split by vendor" in note
