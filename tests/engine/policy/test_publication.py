from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from interlock.domain.approvals.access import Identity
from interlock.domain.policy.company import COMPANY
from interlock.engine.policy.bundle import read_bundle
from interlock.engine.policy.deployment import change_deployment, list_deployments
from interlock.engine.policy.publication import approve, promote, propose, publish_bundle, roll_back_to, versions
from interlock.errors import ConfigurationError, InputError, InterlockError, NotAuthorised, NotDeployed, PolicyError
from interlock.ledger.audit.verify import verify
from interlock.ledger.policy.version import in_force
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import approval, version_in_force
from workflows import ACCESS, NAME, POLICY, Workflow, rows

CLEO, OTTO, LEA, LEO, VERA = (Identity(name) for name in ("cleo", "otto", "lea", "leo", "vera"))
MATRIX = """
versions:
  - {name: leads, stages: [{groups: [leads], votes: 1}]}
  - {name: makers, when: "workflow != 'company'", stages: [{groups: [makers], votes: 1, order: 2}]}
"""


@pytest.fixture
def flow(tmp_path: Path, ledger: Ledger) -> Workflow:
    return Workflow(tmp_path, ledger)


def with_matrix(flow: Workflow, matrix: str = MATRIX) -> Workflow:
    flow.write("../company/approvals.yaml", matrix)
    flow.publish()
    return flow


def proposed(flow: Workflow, person: Identity = CLEO, *, threshold: float = 0.9, name: str = NAME) -> dict[str, Any]:
    if name == NAME:
        flow.write("policy.yaml", POLICY.replace("threshold: 0.8", f"threshold: {threshold}"))
    bundle = read_bundle(flow.include, name)
    return propose(flow.ledger, bundle.to_json(), person=person, reason="stricter", wiring=None)


def said(flow: Workflow, person: Identity, version: dict[str, Any], answer: str = "approve") -> dict[str, Any]:
    return approve(
        flow.ledger,
        version["workflow"],
        version["number"],
        person=person,
        answer=answer,
        reason="because",
        digest=version["digest"],
    )


def promoted(flow: Workflow, version: dict[str, Any], person: Identity = CLEO, **more: Any) -> dict[str, Any]:
    return promote(flow.ledger, version["workflow"], version["number"], person=person, reason="now", **more)


def test_a_version_is_in_force_once_all_stages_have_their_approvals(flow: Workflow):
    with_matrix(flow)
    version = proposed(flow)
    assert version["lacks"] == ["1 of leads (lea, leo)"]

    with pytest.raises(NotAuthorised, match=r"version 2 of 'refunds' lacks approvals in 'test': 1 of leads .lea, leo"):
        promoted(flow, version)
    assert said(flow, LEA, version)["lacks"] == ["1 of makers (cleo, admin, otto)"]
    with pytest.raises(NotAuthorised, match="1 of makers"):
        promoted(flow, version)
    assert said(flow, OTTO, version)["state"] == "approved"
    assert in_force(flow.ledger, NAME).number == 1

    promoted(flow, version)

    assert in_force(flow.ledger, NAME).number == 2
    listed = versions(flow.ledger, NAME)
    assert [(row["number"], row["state"]) for row in listed] == [(2, "in force"), (1, "was in force")]
    assert [row["person"] for row in listed[0]["approvals"]] == ["lea", "otto"]
    assert verify(flow.ledger).problems == []


def test_nobody_approves_what_they_wrote(flow: Workflow):
    flow.write("../company/access.yaml", ACCESS.replace("makers: [cleo, admin, otto]", "makers: [cleo, '17', otto]"))
    with_matrix(flow, "versions: [{name: makers, stages: [{groups: [makers], votes: 1}]}]")
    version = proposed(flow, CLEO)

    for cleo in (CLEO, Identity("17", "cleo", ())):
        with pytest.raises(NotAuthorised, match=f"{cleo.id!r} wrote version 2 of 'refunds'; another must approve it"):
            said(flow, cleo, version)
    assert flow.table(approval) == []


def test_who_has_no_right_is_refused_and_told_who_has(flow: Workflow):
    with pytest.raises(
        NotAuthorised, match="'vera' does not have the right 'propose' of 'refunds'; it belongs to: makers"
    ):
        proposed(flow, VERA)
    version = proposed(flow)
    with pytest.raises(NotAuthorised, match="'vera' does not have the right 'approve'"):
        said(flow, VERA, version)
    with pytest.raises(NotAuthorised, match="'lea' does not have the right 'promote'"):
        promoted(flow, version, LEA)
    with pytest.raises(NotAuthorised, match="'lea' does not have the right 'promote'"):
        roll_back_to(flow.ledger, NAME, number=1, person=LEA, reason="back")
    with pytest.raises(NotAuthorised, match="'lea' does not have the right 'deploy'"):
        change_deployment(flow.ledger, NAME, act="pause", person=LEA, reason="stop")


def test_an_approval_is_for_exactly_what_was_read(flow: Workflow):
    with_matrix(flow)
    version = proposed(flow)

    with pytest.raises(InputError, match="read it and approve what you read"):
        said(flow, LEA, {**version, "digest": "0" * 64})


def test_one_rejection_ends_a_version(flow: Workflow):
    with_matrix(flow)
    version = proposed(flow)
    said(flow, LEA, version)
    said(flow, OTTO, version, "reject")

    for act in (lambda: said(flow, LEO, version), lambda: promoted(flow, version)):
        with pytest.raises(InputError, match="version 2 of 'refunds' was rejected; propose another"):
            act()
    assert versions(flow.ledger, NAME)[0]["state"] == "rejected"


def test_the_approval_of_somebody_who_left_the_group_does_not_count(flow: Workflow):
    with_matrix(flow, "versions: [{name: leads, when: \"workflow != 'company'\", stages: [{groups: [leads]}]}]")
    version = proposed(flow)
    assert said(flow, LEA, version)["state"] == "approved"

    flow.write("../company/access.yaml", ACCESS.replace("leads: [lea, leo]", "leads: [leo]"))
    publish_bundle(
        flow.ledger, read_bundle(flow.include, COMPANY).to_json(), person=CLEO, reason="lea left", wiring=None
    )

    with pytest.raises(NotAuthorised, match=r"1 of leads .leo."):
        promoted(flow, version)


def test_a_company_version_is_approved_by_the_matrix_in_force_and_not_by_its_own(flow: Workflow):
    with_matrix(flow)
    flow.write("../company/approvals.yaml", "versions: []")

    version = proposed(flow, name=COMPANY)

    assert version["lacks"] == ["1 of leads (lea, leo)"]
    with pytest.raises(NotAuthorised):
        promoted(flow, version)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_outside_of_test_another_than_the_author_must_agree_even_without_a_matrix(
    tmp_path: Path, ledger: Ledger, environment: str
):
    flow = Workflow(tmp_path, Ledger(ledger.engine, environment))
    version = proposed(flow)

    assert version["lacks"][0].startswith("1 of whoever has the right 'approve' (cleo, admin, otto, lea, leo)")
    with pytest.raises(NotAuthorised):
        promoted(flow, version)
    said(flow, LEO, version)
    promoted(flow, version)
    assert in_force(flow.ledger, NAME).number == 2


def test_the_first_company_version_is_put_in_force_by_whoever_may_change_dags(tmp_path: Path, ledger: Ledger):
    flow = Workflow(tmp_path, ledger)
    elsewhere = Ledger(ledger.engine, "staging")
    company = read_bundle(flow.include, COMPANY).to_json()

    with pytest.raises(
        ConfigurationError, match="no version of the company's files is in force in environment 'staging'"
    ):
        publish_bundle(elsewhere, company, person=VERA, reason="mine", wiring=None)
    workflow = read_bundle(flow.include, NAME).to_json()
    with pytest.raises(ConfigurationError, match="airflow interlock policy publish company"):
        publish_bundle(elsewhere, workflow, person=VERA, reason="mine", wiring=None, is_founder=True)

    first = publish_bundle(elsewhere, company, person=VERA, reason="begin", wiring=None, is_founder=True)

    assert (first["number"], first["is_in_force"]) == (1, True)
    with pytest.raises(NotAuthorised):
        publish_bundle(elsewhere, company, person=VERA, reason="again", wiring=None, is_founder=True)


def test_a_company_version_that_locks_everybody_out_is_refused(flow: Workflow):
    flow.write("../company/access.yaml", ACCESS.replace("  promote: [makers]\n", ""))

    with pytest.raises(PolicyError, match="nobody would have the right 'promote'"):
        proposed(flow, name=COMPANY)


def test_a_company_version_under_which_a_workflow_could_not_work_is_refused(flow: Workflow):
    flow.write("../company/access.yaml", ACCESS.replace("leads", "chiefs"))

    with pytest.raises(PolicyError, match=r"could no longer work: gate 'leads': 'leads' is no group of access.yaml"):
        proposed(flow, name=COMPANY)


def test_a_policy_past_its_review_is_not_promoted(tmp_path: Path, ledger: Ledger):
    now = [datetime(2026, 11, 24, tzinfo=UTC)]
    flow = Workflow(tmp_path, Ledger(ledger.engine, "test", lambda: now[0]))
    flow.write("policy.yaml", POLICY + "reviewed: {last: 2026-11-01, every: 30d}\n")
    version = propose(
        flow.ledger, read_bundle(flow.include, NAME).to_json(), person=CLEO, reason="gone through", wiring=None
    )

    now[0] += timedelta(days=10)

    with pytest.raises(PolicyError, match="was reviewed on 2026-11-01 and is valid until 2026-12-01"):
        promoted(flow, version)
    now[0] -= timedelta(days=5)
    promoted(flow, version)


def test_a_version_can_be_in_force_from_an_instant_on(tmp_path: Path, ledger: Ledger):
    now = [datetime(2026, 11, 24, 12, tzinfo=UTC)]
    flow = Workflow(tmp_path, Ledger(ledger.engine, "test", lambda: now[0]))
    version = proposed(flow)

    promoted(flow, version, since=now[0] + timedelta(hours=6))

    assert in_force(flow.ledger, NAME).number == 1
    now[0] += timedelta(hours=6)
    assert in_force(flow.ledger, NAME).number == 2


def test_a_rollback_is_at_once_and_calls_off_what_was_planned(tmp_path: Path, ledger: Ledger):
    now = [datetime(2026, 11, 24, 12, tzinfo=UTC)]
    flow = Workflow(tmp_path, Ledger(ledger.engine, "test", lambda: now[0]))

    def later() -> list[int]:
        numbers = []
        for hours in (0, 1, 48):
            ahead = now[0] + timedelta(hours=hours, seconds=1)
            numbers.append(in_force(Ledger(ledger.engine, "test", lambda at=ahead: at), NAME).number)
        return numbers

    now[0] += timedelta(minutes=1)
    promoted(flow, proposed(flow, threshold=0.9))
    now[0] += timedelta(minutes=1)
    promoted(flow, proposed(flow, threshold=0.95), since=now[0] + timedelta(hours=24))
    assert later() == [2, 2, 3]

    now[0] += timedelta(minutes=1)
    roll_back_to(flow.ledger, NAME, number=None, person=CLEO, reason="worse")
    assert later() == [1, 1, 1]

    now[0] += timedelta(minutes=1)
    promoted(flow, proposed(flow, threshold=0.97))
    assert later() == [4, 4, 4]
    assert verify(ledger).problems == []


def test_a_planned_change_is_called_off_by_going_back_to_what_is_in_force(tmp_path: Path, ledger: Ledger):
    now = [datetime(2026, 11, 24, 12, tzinfo=UTC)]
    flow = Workflow(tmp_path, Ledger(ledger.engine, "test", lambda: now[0]))
    now[0] += timedelta(minutes=1)
    promoted(flow, proposed(flow), since=now[0] + timedelta(hours=24))

    roll_back_to(flow.ledger, NAME, number=1, person=CLEO, reason="not tomorrow")

    now[0] += timedelta(hours=48)
    assert in_force(flow.ledger, NAME).number == 1
    with pytest.raises(InputError, match="version 1 of 'refunds' is in force already"):
        roll_back_to(flow.ledger, NAME, number=1, person=CLEO, reason="again")


def test_what_was_in_force_is_rolled_back_to_and_not_promoted_again(flow: Workflow):
    promoted(flow, proposed(flow))

    with pytest.raises(InputError, match="airflow interlock policy rollback refunds --to 1"):
        promote(flow.ledger, NAME, 1, person=CLEO, reason="back")
    roll_back_to(flow.ledger, NAME, number=None, person=CLEO, reason="worse")
    assert in_force(flow.ledger, NAME).number == 1


def test_an_older_proposal_than_what_is_in_force_is_not_promoted(flow: Workflow):
    older = proposed(flow, threshold=0.85)
    promoted(flow, proposed(flow, threshold=0.9))

    with pytest.raises(InputError, match="older than version 3, which is in force: propose its text again"):
        promoted(flow, older)


def test_the_same_text_is_proposed_once(flow: Workflow):
    first, second = proposed(flow), proposed(flow)

    assert (first["number"], first["is_new"], second["number"], second["is_new"]) == (2, True, 2, False)


PEOPLE = (CLEO, OTTO, LEA, LEO, VERA, Identity("admin"))


@pytest.mark.parametrize("seed", range(12))
def test_no_order_of_acts_puts_a_version_in_force_without_its_approvals(
    tmp_path: Path, sqlite_ledger: Ledger, seed: int
):
    flow = with_matrix(Workflow(tmp_path, sqlite_ledger))
    source = random.Random(seed)
    known: list[dict[str, Any]] = []
    for _ in range(60):
        person = source.choice(PEOPLE)
        try:
            match source.choice(["propose", "approve", "approve", "approve", "reject", "promote", "promote"]):
                case "propose":
                    known.append(proposed(flow, person, threshold=source.randint(1, 99) / 100))
                case "promote" if known:
                    promoted(flow, source.choice(known[-2:]), person)
                case "reject" if known and source.random() < 0.2:
                    said(flow, person, source.choice(known[-2:]), "reject")
                case _ if known:
                    said(flow, person, source.choice(known[-2:]))
        except InterlockError:
            pass
    put = {row["version_id"] for row in flow.table(version_in_force)} - {flow.version.id}
    for row in versions(flow.ledger, NAME):
        if row["id"] not in put or row["number"] == 1:
            continue
        yes = {a["person"] for a in row["approvals"] if a["answer"] == "approve"}
        assert not any(a["answer"] == "reject" for a in row["approvals"])
        assert yes & {"lea", "leo"}
        assert yes & ({"cleo", "otto", "admin"} - {row["author"].removeprefix("person:")})
        assert row["author"].removeprefix("person:") not in yes
    assert verify(sqlite_ledger).problems == []


def test_a_workflow_that_is_not_deployed_runs_nothing(flow: Workflow):
    change_deployment(flow.ledger, NAME, act="pause", person=CLEO, reason="the numbers look odd")

    with pytest.raises(
        NotDeployed, match=r"was paused in environment 'test' by person:cleo at .*: the numbers look odd"
    ):
        flow.intake(rows("a"))
    change_deployment(flow.ledger, NAME, act="deploy", person=OTTO, reason="they were right")
    flow.intake(rows("a"))
    change_deployment(flow.ledger, NAME, act="retire", person=CLEO, reason="another takes over")
    flow.role("judge")  # a run that began goes on
    with pytest.raises(NotDeployed, match="was retired"):
        flow.intake(rows("b"), run="r2")
    assert [row["state"] for row in list_deployments(flow.ledger, history=True)] == [
        "retired",
        "deployed",
        "paused",
        "deployed",
    ]


@pytest.mark.parametrize(
    ("act", "name", "reason", "error", "told"),
    [
        ("deploy", NAME, "again", InputError, "is deployed in 'test' already, by person:cleo"),
        ("deploy", NAME, " ", InputError, "needs a reason"),
        ("explode", NAME, "why not", ConfigurationError, "there is no act 'explode'"),
        ("deploy", "nothing", "new", ConfigurationError, "no version of workflow 'nothing' is in force"),
        ("deploy", COMPANY, "new", InputError, "only workflows are deployed"),
    ],
)
def test_a_deployment_that_cannot_be_is_refused(
    flow: Workflow, act: str, name: str, reason: str, error: type, told: str
):
    with pytest.raises(error, match=told):
        change_deployment(flow.ledger, name, act=act, person=CLEO, reason=reason)
