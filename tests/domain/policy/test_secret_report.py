from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from interlock.domain.approvals.access import parse_access
from interlock.domain.effects.connector import parse_ecosystem
from interlock.domain.policy.secret_report import HeldConnection, SecretRow, report_secrets
from interlock.errors import ConfigurationError

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
AGENTS = {"refunds/writer": "llm"}


def report(
    *,
    connections: dict[str, Any] | None = None,
    uses: list[dict[str, Any]] | None = None,
    connectors: dict[str, Any] | None = None,
    agents: dict[str, str] | None = None,
    held: dict[str, HeldConnection] | None = None,
) -> dict[str, SecretRow]:
    """The report in ``test`` on 2026-04-01, by connection."""
    access = parse_access({"connections": connections or {}, "uses": uses or []})
    rows = report_secrets(
        access,
        parse_ecosystem({"connectors": connectors or {}}),
        agents or {},
        held or {},
        environment="test",
        now=NOW,
    )
    return {row.conn_id: row for row in rows}


def aged(rotated_on: Any, rotate_every: str | None = "90d") -> SecretRow:
    rule = {"environments": ["test"]} | ({"rotate_every": rotate_every} if rotate_every else {})
    return report(connections={"llm": rule}, agents=AGENTS, held={"llm": HeldConnection(rotated_on=rotated_on)})["llm"]


def test_each_connection_is_told_once_with_all_who_use_it_and_where_it_is_allowed():
    found = report(
        connections={"llm": {"environments": ["test", "staging"]}},
        uses=[
            {"agents": ["refunds/writer"], "connections": ["llm"]},
            {"roles": ["intake"], "connections": ["tickets"]},
        ],
        connectors={"crm": {"kind": "outbox", "conn_id": "llm"}, "box": {"kind": "outbox", "conn_id": "files"}},
        agents={**AGENTS, "refunds/judge": "llm"},
    )

    assert {name: row.users for name, row in found.items()} == {
        "files": ("connector box",),
        "llm": ("agent refunds/judge", "agent refunds/writer", "connector crm"),
        "tickets": ("intake (sources)",),
    }
    assert found["llm"].environments == ("test", "staging")
    assert found["files"].environments == ()
    assert [row.findings for row in found.values()] == [(), (), ()]


@pytest.mark.parametrize(
    ("rotated_on", "rotate_every", "age", "due_since"),
    [
        ("2026-03-20", "90d", "12 days old", None),
        ("2026-01-01", None, "90 days old", None),
        ("2026-01-01", "91d", "90 days old", None),
        ("2026-01-01", "90d", "due since 2026-04-01", date(2026, 4, 1)),
        ("2025-01-01", "90d", "due since 2025-04-01", date(2025, 4, 1)),
        ("2026-04-02", "90d", "0 days old", None),
        ("2026-01-01", "9999999d", "90 days old", None),
        (None, "90d", "age unknown", None),
    ],
)
def test_a_secret_that_is_older_than_its_period_is_due(rotated_on, rotate_every, age, due_since):
    row = aged(rotated_on, rotate_every)

    assert (row.age, row.due_since, row.findings) == (age, due_since, ())


@pytest.mark.parametrize("written", ["hunter2", "2026-04-20", 20260101, "", ["2026-01-01"]])
def test_a_rotated_on_that_is_no_day_of_the_past_makes_no_secret_young_and_is_not_repeated(written):
    row = aged(written)

    assert (row.age, row.rotated_on, row.due_since) == ("age unknown", None, None)
    assert row.findings == ("rotated_on in its extra is no day of the past: write it as 2026-03-01",)
    assert "hunter2" not in repr(row) + repr(HeldConnection(rotated_on=written))


def test_what_airflow_does_not_have_is_told_apart_from_what_could_not_be_looked_up():
    found = report(agents={"a/b": "gone", "a/c": "locked"}, held={"locked": HeldConnection(error="TimeoutError")})

    assert (found["gone"].exists, found["gone"].age) == (False, "not in Airflow")
    assert (found["locked"].exists, found["locked"].age) == (None, "could not be looked up: TimeoutError")


def test_a_row_of_uses_for_an_agent_that_does_not_work_with_the_connection_is_over_privileged():
    row = {"agents": ["refunds/writer", "refunds/judge", "refunds/*", "claims/*"], "connections": ["llm"]}

    assert report(uses=[row], agents=AGENTS)["llm"].findings == (
        "over-privileged: uses allows it to refunds/judge, and no such agent in force works with it",
        "over-privileged: uses allows it to claims/*, and no such agent in force works with it",
    )


def test_a_row_of_uses_for_a_role_is_over_privileged_when_no_agent_could_have_it():
    row = {"roles": ["intake", "drafting", "reporting"], "connections": ["llm"]}

    assert report(uses=[row], agents=AGENTS)["llm"].findings == (
        "over-privileged: uses allows it to role reporting, where no agent in force works with it",
    )
    assert len(report(uses=[row])["llm"].findings) == 2


def test_a_connection_that_is_allowed_here_and_used_by_nobody_is_unused():
    found = report(
        connections={
            "llm": {"environments": ["test"]},
            "old": {"environments": ["test", "production"]},
            "real": {"environments": ["production"]},
            "tickets": {"environments": ["test"]},
        },
        uses=[{"roles": ["intake"], "connections": ["tickets"]}],
        agents=AGENTS,
    )

    assert {name: row.findings for name, row in found.items() if row.findings} == {
        "old": ("unused: allowed in test, and nothing here uses it",)
    }


def test_a_rotation_period_is_longer_than_nothing():
    with pytest.raises(ConfigurationError, match=r"connections\.llm\.rotate_every"):
        report(connections={"llm": {"environments": ["test"], "rotate_every": "0d"}})
