"""Who may read what of a case: personal data and the audit are for those who have the right."""

from __future__ import annotations

import pytest
from workflows import CONTRACTS, rows

pytestmark = pytest.mark.airflow

CLASSED = CONTRACTS.replace(
    "    text: str = Field(min_length=1)",
    '    text: str = Field(min_length=1, json_schema_extra={"data_class": "message"})',
)
USE = "  - {roles: [reasoning, drafting], data: [message]}\n"
SECRET = "my aunt is ill"


@pytest.fixture
def waiting(workflow):
    from workflows import ACCESS

    assert CLASSED.count("data_class") == 2
    workflow.include = workflow.include.parent / f"{workflow.include.name}_classed"
    for path, text in workflow_files(ACCESS + USE).items():
        workflow.write(path, text)
    workflow.version = workflow.publish()
    workflow.up_to("send_signed", rows(SECRET))
    return workflow


def workflow_files(access):
    from workflows import AGENTS, ECOSYSTEM, POLICY, WORKFLOW

    return {
        "contracts.py": CLASSED,
        "policy.yaml": POLICY,
        "agents.yaml": AGENTS,
        "workflow.yaml": WORKFLOW,
        "../company/access.yaml": access,
        "../company/ecosystem.yaml": ECOSYSTEM,
    }


@pytest.mark.parametrize("path", ["/api/reviews/R1", "/api/cases/R1", "/review/R1", "/case/R1"])
def test_personal_data_is_for_those_who_have_the_right(waiting, client, path):
    assert SECRET in client("otto").get(path).text  # a maker, who may not vote here
    assert SECRET in client("lea").get(path).text

    hidden = client("vera").get(path)

    assert hidden.status_code == 200
    assert SECRET not in hidden.text
    assert "[message]" in hidden.text


def test_who_may_vote_sees_what_they_sign_without_that_right(waiting, client):
    from workflows import ACCESS

    waiting.write(
        "../company/access.yaml", (ACCESS + USE).replace("read_personal: [makers, leads]", "read_personal: [makers]")
    )
    waiting.publish()

    assert SECRET in client("lea").get("/api/reviews/R1").text
    assert SECRET not in client("lea").get("/api/cases/R1").text
    assert SECRET in client("otto").get("/api/cases/R1").text


def test_the_audit_is_for_those_who_have_the_right(waiting, client):
    assert client("otto").get("/api/cases/R1").json()["events"] != []
    assert client("vera").get("/api/cases/R1").json()["events"] == []
