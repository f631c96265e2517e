from __future__ import annotations

import json

import pytest
from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.errors import ConfigurationError
from workflows import WIRING, rewired


def wired(*tasks: WiredTask) -> Wiring:
    return Wiring({task.task_id: task for task in tasks})


@pytest.mark.parametrize(
    ("here", "route", "there"),
    [
        ("intake", None, "judge"),
        ("judge", None, "route"),
        ("judge", "auto", "route"),
        ("route", "auto", "draft"),
        ("route", "fallback", "again"),
        ("route_again", "review", "draft"),
        ("validate", "auto", "send"),
        ("validate", "review", "sign_off"),
        ("validate", None, "sign_off"),
        ("validate", "billing", "sign_off"),
        ("sign_off", "review", "send_signed"),
        ("send", "auto", None),
        ("send_signed", "review", None),
    ],
)
def test_a_case_goes_to_the_task_that_takes_its_route(here: str, route: str | None, there: str | None):
    following = WIRING.next_task(here, route)

    assert (following.task_id if following else None) == there


@pytest.mark.parametrize(
    ("wiring", "here", "route", "match"),
    [
        (WIRING, "route", "billing", "branch 'route' sends route 'billing' nowhere; it knows: auto, fallback, review"),
        (WIRING, "route", None, "branch 'route' sends route None nowhere"),
        (WIRING, "sign_off", "auto", "no task below 'sign_off' takes route 'auto': send_signed takes review"),
        (rewired(sign_off={"routes": ("auto",)}), "validate", "auto", "more than one task below 'validate' takes"),
        (rewired(send={"routes": ()}), "validate", "review", "more than one task below 'validate'.*what nobody else"),
    ],
)
def test_a_route_that_no_task_or_two_take_is_told(wiring: Wiring, here: str, route: str | None, match: str):
    with pytest.raises(ConfigurationError, match=match):
        wiring.next_task(here, route)


def test_a_report_takes_no_case_over():
    wiring = wired(
        WiredTask(task_id="intake", kind="intake", downstream=("report",)), WiredTask(task_id="report", kind="report")
    )
    assert wiring.next_task("intake", None) is None


def test_a_task_that_names_the_route_wins_over_one_that_takes_any():
    wiring = wired(
        WiredTask(task_id="v", kind="validation", downstream=("any", "named")),
        WiredTask(task_id="any", kind="gate"),
        WiredTask(task_id="named", kind="gate", routes=("legal",)),
    )
    assert [wiring.next_task("v", route).task_id for route in ("legal", "other", None)] == ["named", "any", "any"]


def test_a_wiring_survives_the_ledger():
    assert Wiring.from_json(json.loads(json.dumps(WIRING.to_json()))) == WIRING


def test_tasks_are_found_by_kind_and_gate():
    assert [task.task_id for task in WIRING.of_kind("branch")] == ["route", "route_again"]
    assert WIRING.served_routes() == {"auto", "review", "fallback"}
    assert WIRING.gate_task("leads") is WIRING.tasks["sign_off"]
    assert WIRING.gate_task("other") is None
