"""The page of a data check says what was found, and no value of the data."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from urllib.parse import urlsplit

import pytest
from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.engine.datasets.dataset_check import check_dataset
from interlock.engine.datasets.reading import read_dataset
from interlock.engine.datasets.snapshot import Snapshots
from interlock.errors import Stopped

pytestmark = pytest.mark.airflow

DATASETS = """
orders:
  source: {rows: [%s]}
  time: day
  columns: {order_id: string, day: date, amount: decimal}
  key: [order_id]
  volume: {min: 2}
  suite: orders
"""
SUITE = """
suite: orders
expectations:
  - {name: small amounts, expect: column_values_to_be_between, column: amount, max_value: 10, severity: warning, caps_confidence: 0.6}
  - {name: ids have a form, expect: column_values_to_match_regex, column: order_id, regex: "^PO-", severity: info}
"""  # noqa: E501


@pytest.fixture
def checked(workflow, tmp_path):
    """A run that read a dataset with a warning and a row put aside."""
    rows = ["{order_id: SECRET-1, day: 2026-03-01, amount: 98765.43}", "{order_id: PO-2, day: 2026-03-01, amount: 1}"]
    rows.append("{order_id: PO-3, day: nonsense, amount: 1}")
    workflow.write("datasets.yaml", DATASETS % ", ".join(rows))
    workflow.write("expectations/orders.yaml", SUITE)
    workflow.publish()
    workflow.wiring = Wiring({"read": WiredTask(task_id="read", kind="data", dataset="orders")})
    with pytest.raises(Stopped):
        read_dataset(
            workflow.session("read"),
            "orders",
            connection=lambda conn_id: None,
            snapshots=Snapshots(tmp_path / "snapshots"),
            check=check_dataset,
            as_of=datetime(2026, 3, 3, tzinfo=UTC),
        )
    return workflow


def shown(client, path):
    answer = client("vera").get(path)
    assert answer.status_code == 200, answer.text
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def test_a_page_says_what_failed_first_and_shows_no_value(checked, client):
    page = shown(client, "/quality?dag_id=refunds&run_id=r1&task_id=read")

    assert "orders, as it was read withheld" in page
    assert "8 of 9 checks passed" in page
    assert "small amounts warning 1 row 1 of 2 rows fail." in page
    assert "Confidence of anything based on it is capped at 60%" in page
    assert "1 of 3 rows are quarantined (day: is no date: 1)" in page
    assert page.index("small amounts warning 1") < page.index("ids have a form info 1")
    assert "airflow interlock data quarantine refunds --dataset orders --run r1" in page
    assert "orders, its declaration withheld" in page
    assert "SECRET" not in page
    assert "98765" not in page


def test_a_task_without_a_data_check_says_so(checked, client):
    assert "No data check of this task" in shown(client, "/quality?dag_id=refunds&run_id=r1&task_id=other")


def test_the_link_of_a_data_check_leads_to_its_page(airflow_home):
    from interlock.operators import DataQualityOperator

    links = {link.name: link for link in DataQualityOperator(task_id="read", dataset="orders").operator_extra_links}

    class Key:
        dag_id, run_id, task_id = "refunds", "manual__1", "read"

    address = urlsplit(links["Data quality"].get_link(None, ti_key=Key))
    assert address.path == "/interlock/quality"
    assert address.query == "dag_id=refunds&run_id=manual__1&task_id=read"


def test_a_run_with_data_checks_leads_to_what_they_found(checked, client):
    page = client("vera").get("/task?dag_id=refunds&run_id=r1").text

    (address,) = re.findall(r'href="([^"]+)">Results of the data checks', page)
    assert unescape(address).endswith("/quality?dag_id=refunds&run_id=r1")
