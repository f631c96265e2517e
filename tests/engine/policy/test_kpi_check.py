"""What is told of KPIs and insights before anyone publishes them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from interlock.domain.cases.wiring import Wiring
from interlock.engine.policy.bundle import read_bundle
from interlock.engine.policy.kpi_check import kpi_problems
from shop import FILES, NAME, Shop, weeks

KPIS, INSIGHTS = "kpis/sales.yaml", "insights.yaml"


def problems(shop: Shop, path: str, old: str, new: str) -> list[str]:
    shop.write(path, FILES[path].replace(old, new))
    return kpi_problems(read_bundle(shop.include, NAME), shop.wiring)


@pytest.fixture
def shop(tmp_path, sqlite_ledger):
    return Shop(tmp_path, sqlite_ledger, weeks({"A": 1}))


def test_what_fits_together_has_no_problem(shop):
    assert problems(shop, KPIS, "", "") == []


@pytest.mark.parametrize(
    ("path", "old", "new", "told"),
    [
        (KPIS, "sum(amount)", "sum(amuont)", "indicator 'sales': 'sum(amuont)' cannot be computed: Binder Error"),
        (KPIS, "explain: [vendor]", "explain: [seller]", "there is no column 'seller' in its dataset"),
        (
            KPIS,
            "dataset: sales",
            "dataset: sails",
            "there is no dataset 'sails' in datasets.yaml. Did you mean 'sales'",
        ),
        (KPIS, "period: week", "period: fortnight", "kpis/sales.yaml cannot be used: period: Input should be"),
        (INSIGHTS, "kpis: [sales]", "kpis: [sails]", "there is no set of KPIs 'sails' in kpis. Did you mean 'sales'"),
        (INSIGHTS, "indicators: [sales]", "indicators: [sels]", "insight 'growth': there is no indicator 'sels'"),
        (INSIGHTS, "change > 0.0", "chnage > 0.0", "Did you mean 'change'"),
        (INSIGHTS, "when: change > 0.0", "when: anomaly", "does not say how they are looked for"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_was_meant(shop, path, old, new, told):
    found = problems(shop, path, old, new)

    assert found
    assert told in "; ".join(found)


def test_a_task_that_names_kpis_that_there_are_not_is_told(shop):
    tasks = {**shop.wiring.tasks, "kpis": replace(shop.wiring.tasks["kpis"], kpis="sails")}
    found = kpi_problems(read_bundle(shop.include, NAME), Wiring(tasks))

    assert "task 'kpis': there is no set of KPIs 'sails'" in found[0]
