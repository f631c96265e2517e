"""Forgetting a case through the API: who may, who is said to have done it, and what the pages show then."""

from __future__ import annotations

import pytest
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.schema import audit_event, payload
from workflows import rows

pytestmark = pytest.mark.airflow

ASKED = {"reason": "asked to"}


@pytest.fixture
def sent(workflow):
    """R1 was sent, R2 waits."""
    workflow.up_to("report", rows("sure=0.95 says Xaviera", "not sure"))
    assert workflow.states() == {"R1": "executed", "R2": "waiting"}
    return workflow


def test_who_may_change_the_dag_forgets_a_case_under_the_own_name(sent, client):
    response = client("otto").post("/api/cases/R1/forget", json=ASKED)

    assert response.status_code == 200, response.text
    assert (response.json()["case"], response.json()["state"]) == ("R1", "executed")
    told = [row for row in sent.table(audit_event) if row["kind"] == "case.forgotten"]
    assert ['"actor":"person:otto"' in row["body"] for row in told] == [True]
    assert (verify(sent.ledger).problems, verify(sent.ledger).forgotten) == ([], 1)


@pytest.mark.parametrize(("person", "status"), [("vera", 403), (None, 401)])
def test_who_may_only_look_or_is_nobody_forgets_nothing(sent, client, person, status):
    before = len(sent.table(payload))

    assert client(person).post("/api/cases/R1/forget", json=ASKED).status_code == status
    assert len(sent.table(payload)) == before


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("R1", {"reason": " "}, 409),
        ("R1", {}, 422),
        ("R1", ASKED | {"person": "lea"}, 422),
        ("R2", ASKED, 409),
        ("R9", ASKED, 404),
    ],
)
def test_what_cannot_be_forgotten_is_refused_and_nothing_changes(sent, client, name, body, status):
    before = sent.table(payload)

    assert client("otto").post(f"/api/cases/{name}/forget", json=body).status_code == status
    assert sent.table(payload) == before


def test_the_page_of_a_forgotten_case_says_so_and_nothing_else(sent, client):
    otto = client("otto")
    case_id = sent.cases()["R1"]["id"]
    otto.post("/api/cases/R1/forget", json=ASKED | {"key_too": True})

    page = otto.get(f"/case/{case_id}", headers={"Accept": "text/html"})

    assert page.status_code == 200
    assert "forgotten: its content and the texts beside it were erased" in page.text
    assert "Xaviera" not in page.text
    assert otto.get("/api/cases/R1").status_code == 404
