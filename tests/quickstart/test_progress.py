"""What the local run prints, from a ledger and an API that are there."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from interlock.commands.airflow_client import AirflowClient, ApiRefused
from interlock.commands.summary_text import describe_summary
from interlock.quickstart.progress import RunFollower, addresses, describe_as_of, describe_counts, tail


class _Airflow(BaseHTTPRequestHandler):
    """Answers with the pictures of a run that it was given, one a look; the last one stays."""

    def do_GET(self):
        pictures = self.server.pictures
        if self.server.failures:
            self.server.failures -= 1
            self._answer(500, {"detail": "database is locked"})
        elif self.path.split("?")[0].endswith("/taskInstances"):
            picture = pictures.pop(0) if len(pictures) > 1 else pictures[0]
            tasks = [{"task_id": name, "state": state, "try_number": 1, "map_index": -1, "duration": 1.5,
                      "start_date": f"2026-01-01T00:00:0{n}Z", "end_date": None}
                     for n, (name, state) in enumerate(picture["tasks"].items())]  # fmt: skip
            self._answer(200, {"task_instances": tasks})
        elif "/dagRuns/" in self.path:
            self._answer(200, {"state": pictures[0]["run"]})
        else:
            self._answer(404, {"detail": "not here"})

    def do_POST(self):
        self.server.posts += 1
        self._answer(503, {"detail": "later"})

    def _answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def airflow():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Airflow)
    server.failures, server.posts, server.pictures = 0, 0, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def a_client(server):
    return AirflowClient(f"http://127.0.0.1:{server.server_port}")


def follow(server, pictures, counts=dict):
    server.pictures = [{"run": run, "tasks": tasks} for run, tasks in pictures]
    follower = RunFollower(a_client(server), "triage", "r1", counts)
    return follower, follower.wait_until_idle(between=lambda: None, pause_seconds=0)


def test_a_run_that_is_over_is_followed_to_its_end(airflow, capsys):
    follower, state = follow(
        airflow,
        [
            ("running", {"intake": "running", "triage": None}),
            ("running", {"intake": "success", "triage": "running"}),
            ("success", {"intake": "success", "triage": "skipped"}),
        ],
    )

    assert (state, follower.waiting, follower.failed) == ("success", [], [])
    told = [line.split("s  ", 1)[1].split() for line in capsys.readouterr().out.splitlines()]
    assert told == [
        ["intake", "running"],
        ["intake", "success", "in", "1.5", "s"],
        ["triage", "running"],
        ["triage", "skipped"],
    ]


def test_a_run_stands_at_its_gate_only_when_nothing_else_goes_on(airflow):
    busy = ("running", {"gate": "awaiting_input", "send": "running", "report": None})
    parked = ("running", {"gate": "awaiting_input", "send": "success", "report": None})

    follower, state = follow(airflow, [busy, parked, busy, *[parked] * 5])

    assert (state, follower.waiting) == ("waiting", ["gate"])
    assert len(airflow.pictures) <= 3  # not at the first look at which it seemed so


def test_a_run_without_a_gate_is_not_over_while_its_tasks_are_not_scheduled_yet(airflow):
    _, state = follow(airflow, [*[("queued", {"intake": None})] * 6, ("failed", {"intake": "failed"})])

    assert state == "failed"


def test_the_count_of_cases_is_told_when_it_changed(airflow, capsys):
    counts = iter([{}, {"open": 3}, {"open": 3}, {"open": 2, "waiting": 1}])
    follow(
        airflow,
        [
            ("running", {"intake": "running"}),
            ("running", {"intake": "success", "triage": "running"}),
            ("success", {"intake": "success", "triage": "success"}),
        ],
        lambda: next(counts),
    )

    told = [line.partition("   ")[2].strip() for line in capsys.readouterr().out.splitlines()]
    assert [line.rpartition("   ")[2] for line in told if "cases" in line] == [
        "3 cases: 3 open",
        "3 cases: 2 open, 1 waiting",
    ]


def test_looking_is_repeated_when_the_database_is_locked(airflow):
    airflow.failures = 2
    airflow.pictures = [{"run": "running", "tasks": {}}]

    assert a_client(airflow).run_state("triage", "r1") == "running"


def test_what_must_not_be_said_twice_is_said_once(airflow):
    with pytest.raises(ApiRefused, match="was answered 503: later"):
        a_client(airflow).call("POST", "/api/v2/dags/triage/dagRuns", {})

    assert airflow.posts == 1


def test_a_refusal_carries_the_status_and_the_words(airflow):
    with pytest.raises(ApiRefused, match="404: not here") as refused:
        a_client(airflow).call("GET", "/nowhere")

    assert refused.value.status == 404


def test_nobody_at_the_address_is_not_healthy():
    assert AirflowClient("http://127.0.0.1:9").health() is None


def test_counts_are_summed():
    assert describe_counts({"executed": 41, "waiting": 15}) == "56 cases: 41 executed, 15 waiting"
    assert describe_counts({"open": 1}) == "1 case: 1 open"


def test_the_addresses_name_everybody_who_may_log_in():
    text = addresses("http://127.0.0.1:8080", "triage", "r1", {"admin": "admin", "vera": "viewer"})

    assert "http://127.0.0.1:8080/dags/triage/runs/r1" in text
    assert "admin (admin), vera (viewer)" in text


def test_the_end_of_a_log_is_shown_and_a_log_that_is_not_there_is_nothing(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("\n".join(str(number) for number in range(100)) + "\n")

    assert tail(log, lines=2) == "    98\n    99"
    assert tail(tmp_path / "none.log") == ""


def a_summary(**changes):
    return {
        "workflow": "support_triage",
        "environment": "test",
        "dag_id": "support_triage",
        "run_id": "r1",
        "version": 2,
        "started_at": "2026-01-01T00:00:00+00:00",
        "ended_at": None,
        "cases_total": 60,
        "by_state": {"waiting": 15, "executed": 41, "dead": 4},
        "by_route": {"auto": 41, "review": 15, "stop": 4},
        "automatic": 41,
        "automatic_share": 0.6833,
        "automatic_accuracy": 0.975,
        "automatic_labelled": 40,
        "automatic_right": 39,
        "effects_sent": 41,
        "with_provider": None,
        "waiting": [{"task": "sign_off", "route": "review", "cases": 15, "people": ["alice", "bob"]}],
        "reasons": {"rule 'legal wording'": 4},
        "quality": [{"suite": "tickets", "passed": True, "row_count": 60}],
        "cost": {
            "calls": 3,
            "input_tokens": 10,
            "output_tokens": 5,
            "usd": "0.62",
            "by_kind": {"local": "0", "model": "0.12", "people": "0.5"},
            "unpriced_calls": 1,
            "outcomes": 4,
            "usd_per_outcome": "0.155000",
        },
        "stages": [{"task": "intake", "attempts": 2, "seconds": 0.4, "counts": {"taken": 60}}],
        "facts": None,
        "unplaced": [],
    } | changes


def test_the_summary_says_what_went_where_and_who_is_waited_for():
    text = describe_summary(a_summary())

    assert "60 taken in: 41 executed, 15 waiting, 4 dead" in text
    assert "41 of 60 (68.3%); of 40 with a known answer 39 are right (97.5%)" in text
    assert "15 at sign_off (route review) for alice, bob" in text
    assert "4 × rule 'legal wording'" in text
    spent = "0.62 USD: 0.12 USD models, 0.50 USD people's time; 3 model calls, 1 without a price, 15 tokens"
    assert "; 0.16 USD for each of 4 completed outcomes" in text
    assert spent in text
    assert "0.4 s, 2 attempts   60 taken" in text
    assert "stuck" not in text


def test_a_run_that_reads_data_says_as_of_when_and_why():
    facts = {"as_of": "2014-08-04T00:00:00+00:00", "stated": 98, "withheld": 3, "review": "c1"}
    text = describe_summary(a_summary(facts=facts))

    assert "as of        2014-08-04 00:00 UTC\n  facts        98 stated, 3 withheld" in text
    assert describe_as_of(facts, asked="", default="").endswith("2014-08-04 00:00 UTC, the end of the data")
    assert describe_as_of(facts, asked="2014-08-04", default="x").endswith("as asked")
    assert describe_as_of(facts, asked="", default="2014-08-04").endswith("the default of the Dag's parameter")
    assert "The review: http://x/interlock/review/c1" in addresses("http://x", "d", "r", {}, review="c1")


def test_the_summary_leaves_out_what_there_is_not():
    text = describe_summary(
        a_summary(
            automatic_labelled=0,
            automatic_accuracy=None,
            waiting=[],
            cost={
                "calls": 0,
                "input_tokens": 0,
                "output_tokens": 0,
                "usd": "0",
                "by_kind": {"local": "0", "machine": "0.000000000"},
                "unpriced_calls": 0,
            },
        )
    )

    assert "known answer" not in text
    assert "waiting  " not in text.replace("15 waiting", "")
    assert "USD" not in text


def test_the_summary_names_cases_that_nothing_takes_on():
    text = describe_summary(a_summary(unplaced=[{"case": "T-7", "state": "open", "task": "triage"}]))

    assert "no task processes these cases: T-7 (open)" in text
