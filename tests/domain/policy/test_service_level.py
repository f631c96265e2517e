from __future__ import annotations

from datetime import UTC, datetime

from interlock.domain.base.calendar import parse_calendar
from interlock.domain.policy.service_level import CaseDuties
from interlock.domain.policy.version import Bundle
from workflows import POLICY, WORKFLOW

RULES = """
case_owner:
  - {when: "case.tier == 'private'", owner: lea}
  - {when: "case.amount > 100.0", owner: leads}
service_levels:
  - {name: urgent, when: "case.tier == 'private'", within: 4h}
  - {name: rest, within: 2d}
"""
SCHEMA = {"properties": {"tier": {"type": "string"}, "amount": {"type": "number"}}}
MONDAY = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
OFFICE = parse_calendar({"hours": dict.fromkeys(("monday", "tuesday", "wednesday"), "09:00-17:00")})


def duties(rules: str = RULES) -> CaseDuties:
    files = {"workflow.yaml": WORKFLOW + rules, "policy.yaml": POLICY}
    return CaseDuties(Bundle("refunds", files, {}, {"Refund": {"schema": SCHEMA}}), OFFICE)


def test_the_first_rule_that_matches_says_whose_a_case_is():
    assert duties().owner({"case.tier": "private", "case.amount": 500.0}) == "lea"
    assert duties().owner({"case.tier": "standard", "case.amount": 500.0}) == "leads"
    assert duties().owner({"case.tier": "standard", "case.amount": 5.0}) == "Ann"
    assert duties().owner({}) == "Ann"
    assert duties("").owner({"case.tier": "private"}) == "Ann"


def test_a_case_is_due_in_business_time():
    assert duties().due_at({"case.tier": "private"}, MONDAY) == datetime(2026, 11, 24, 11, 0, tzinfo=UTC)
    assert duties().due_at({"case.tier": "standard"}, MONDAY) == datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
    assert duties().due_at({}, MONDAY) == datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
    assert duties("").due_at({}, MONDAY) is None
