"""
From a proposal to a version in force: who may propose, who must approve, who may promote.

Each function asks for the right itself, so there is no way around it, and returns JSON types: the console, the API and
the commands call the same. Who must approve a version of the company's files is asked of those that are in force.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from interlock.domain.approvals.access import Identity, Right
from interlock.domain.approvals.approval import VERSION_TYPES, Ballot, Progress, Stage, count_votes, stages_for
from interlock.domain.approvals.request_state import GateState
from interlock.domain.cases.wiring import Wiring
from interlock.domain.policy.check import check_bundle
from interlock.domain.policy.company import COMPANY, Company
from interlock.domain.policy.version import Bundle, WorkflowVersion
from interlock.errors import ConfigurationError, InputError, NotAuthorised, PolicyError
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import (
    PastVersion,
    approvals_of,
    history,
    on_proposal,
    publish,
    put_in_force,
    record_approval,
    roll_back,
    version_numbered,
    versions_at_work,
)
from interlock.ledger.policy.version import propose as record_proposal
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import VersionApproval
from interlock.ledger.store.transaction import Actor

NEEDS_APPROVAL = ("staging", "production")
"""Environments in which somebody else than its author approves a version, whatever the matrix says."""


IN_FORCE = "in force"


def problems_of(
    bundle: Bundle, company: Company, *, environment: str, wiring: Wiring | None, today: datetime | None = None
) -> list[str]:
    """Return every problem of *bundle* with the company's files in force; ``company`` is held against itself."""
    if bundle.workflow != COMPANY:
        day = today.date() if today is not None else None
        problems = check_bundle(bundle, company, environment=environment, wiring=wiring, today=day)
        with_controls = {name: dataset for name, dataset in bundle.datasets.items() if dataset.controls}
        if with_controls:
            from interlock.analysis.staging import control_problems

            problems += [
                problem for name, dataset in with_controls.items() for problem in control_problems(name, dataset)
            ]
        if any(path.startswith("kpis/") for path in bundle.files):
            from interlock.engine.policy.kpi_check import kpi_problems

            problems += kpi_problems(bundle, wiring)
        return problems
    proposed = Company(bundle)
    problems = proposed.problems()
    for right in ("propose", "promote"):
        if not any(proposed.access.groups.get(group) for group in proposed.access.holders(right)):
            problems.append(
                f"access.yaml: nobody would have the right {right!r}, so nobody could change these files again"
            )
    return problems


def propose(
    ledger: Ledger, document: Mapping[str, Any], *, person: Identity, reason: str, wiring: Mapping[str, Any] | None
) -> dict[str, Any]:
    """
    Record the bundle in *document* as the next version; return it with what it lacks before it can be promoted.

    :raises NotAuthorised: *person* may not propose.
    :raises PolicyError: it cannot work.
    """
    version, is_new, status = _propose(ledger, Bundle.from_json(document), person=person, reason=reason, wiring=wiring)
    return {**_named(version), "is_new": is_new, "lacks": status.lacks}


def _propose(
    ledger: Ledger, bundle: Bundle, *, person: Identity, reason: str, wiring: Mapping[str, Any] | None
) -> tuple[WorkflowVersion, bool, VersionStatus]:
    company = _demand(ledger, person, "propose", bundle.workflow)
    check_proposal(ledger, bundle, company, wiring)
    version, is_new = record_proposal(ledger, bundle, actor=Actor("person", person.id), reason=reason)
    return version, is_new, status_of(ledger, bundle.workflow, version.number)


def approve(
    ledger: Ledger, workflow: str, number: int | None, *, person: Identity, answer: str, reason: str, digest: str
) -> dict[str, Any]:
    """
    Record what *person* says to a proposal; return what it still lacks. One rejection ends it.

    :param number: left out, the newest version.
    :param digest: of what *person* read.
    :raises NotAuthorised: they may not approve, or wrote it themselves.
    :raises InputError: it is in force, rejected, or not what they read; or a rejection has no reason.
    """
    company = _demand(ledger, person, "approve", workflow)
    if answer not in ("approve", "reject"):
        raise InputError(f"an answer is 'approve' or 'reject', not {answer!r}")
    if answer == "reject" and not reason.strip():
        raise InputError("a rejection needs a reason: say why")
    with on_proposal(ledger, workflow, number, actor=Actor("person", person.id)) as proposal:
        version = proposal.version
        if proposal.was_in_force:
            raise InputError(
                f"version {version.number} of {workflow!r} was put in force already; nothing is to approve"
            )
        if version.bundle.digest != digest:
            raise InputError(
                f"version {version.number} of {workflow!r} has digest {version.bundle.digest[:12]}, not {digest[:12]}: "
                "read it and approve what you read"
            )
        if person.is_named(author_of(version)) and answer == "approve":
            raise NotAuthorised(
                f"{person.id!r} wrote version {version.number} of {workflow!r}; another must approve it"
            )
        before = progress_of(version, proposal.approvals, company)
        if before.state is GateState.REJECTED:
            raise InputError(f"version {version.number} of {workflow!r} was rejected; propose another")
        mine = next((a for a in proposal.approvals if a.person == person.id), None)
        if mine is not None:
            raise InputError(f"{person.id!r} said {mine.answer!r} to version {version.number} already")
        if answer == "approve" and before.asked and not any(_may_fill(company, person, s) for s in before.asked):
            raise NotAuthorised(
                f"{person.id!r} is in none of the groups that version {version.number} of {workflow!r} asks now: "
                + "; ".join(_lacking(before, company))
            )
        row = record_approval(proposal.tx, version, person, answer=answer, order=before.order, reason=reason)
        after = progress_of(version, [*proposal.approvals, row], company)
        return {**_named(version), "state": after.state.value, "lacks": _lacking(after, company)}


def promote(
    ledger: Ledger,
    workflow: str,
    number: int | None,
    *,
    person: Identity,
    reason: str,
    since: datetime | None = None,
    wiring: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    Put a proposal in force, now or from an instant on.

    :param number: left out, the newest version.
    :raises NotAuthorised: *person* may not promote, or approvals are lacking; the message says whose.
    :raises PolicyError: it cannot work by now, or is past its review.
    :raises InputError: it is or was in force, or was rejected.
    """
    company = _demand(ledger, person, "promote", workflow)
    with on_proposal(ledger, workflow, number, actor=Actor("person", person.id)) as proposal:
        version = proposal.version
        if proposal.was_in_force:
            raise InputError(
                f"version {version.number} of {workflow!r} was put in force already. To go back to it: airflow "
                f"interlock policy rollback {workflow} --to {version.number}"
            )
        if proposal.current is not None and proposal.current.number > version.number:
            raise InputError(
                f"version {version.number} of {workflow!r} is older than version {proposal.current.number}, which is "
                "in force: propose its text again"
            )
        now = progress_of(version, proposal.approvals, company)
        if now.state is GateState.REJECTED:
            raise InputError(f"version {version.number} of {workflow!r} was rejected; propose another")
        if now.state is not GateState.APPROVED:
            raise NotAuthorised(
                f"version {version.number} of {workflow!r} lacks approvals in {ledger.environment!r}: "
                + "; ".join(_lacking(now, company))
            )
        check_proposal(ledger, version.bundle, company, wiring)
        at = put_in_force(proposal.tx, version, facts={"number": version.number, "reason": reason}, since=since)
        return {**_named(version), "since": at.isoformat(), "set_by": str(proposal.tx.actor)}


def publish_bundle(
    ledger: Ledger,
    document: Mapping[str, Any],
    *,
    person: Identity,
    reason: str,
    wiring: Mapping[str, Any] | None,
    is_founder: bool = False,
) -> dict[str, Any]:
    """
    Propose the bundle in *document* and, when no approval is lacking, promote it at once.

    The very first version of the company's files in an environment is put in force by whoever may change Dags there:
    before it, nobody has a right.

    :param is_founder: whether *person* may change Dags in Airflow.
    :raises PolicyError: it cannot work.
    """
    bundle = Bundle.from_json(document)
    if bundle.workflow == COMPANY and company_in_force(ledger).number is None and is_founder:
        problems = problems_of(bundle, Company(bundle), environment=ledger.environment, wiring=None)
        if problems:
            raise PolicyError(f"{COMPANY} was not published: " + "; ".join(problems))
        version, is_new = publish(ledger, bundle, author=Actor("person", person.id), reason=reason)
        return {**_named(version), "is_new": is_new, "is_in_force": True, "lacks": []}
    version, is_new, status = _propose(ledger, bundle, person=person, reason=reason, wiring=wiring)
    is_promoted = status.state != IN_FORCE and not status.lacks
    if is_promoted:
        promote(ledger, bundle.workflow, version.number, person=person, reason=reason, wiring=wiring)
    is_in_force = is_promoted or status.state == IN_FORCE
    return {**_named(version), "is_new": is_new, "lacks": status.lacks, "is_in_force": is_in_force}


def roll_back_to(ledger: Ledger, workflow: str, *, number: int | None, person: Identity, reason: str) -> dict[str, Any]:
    """
    Put an earlier version of *workflow* in force again at once; return it. Runs that began keep what they pinned.

    No approval is asked for: what was in force here was approved, and a way back that waits is none.

    :param number: left out, the one before.
    :raises NotAuthorised: *person* may not promote.
    :raises InputError: there is no reason, or nothing to go back to.
    :raises UnknownName: no version of that number was in force here.
    """
    _demand(ledger, person, "promote", workflow)
    if not reason.strip():
        raise InputError(f"putting an earlier version of {workflow!r} in force needs a reason: say why")
    version, before = roll_back(ledger, workflow, number=number, author=Actor("person", person.id), reason=reason)
    return {**_named(version), "instead_of": before.number, "set_by": str(Actor("person", person.id))}


@dataclass(frozen=True, kw_only=True)
class VersionStatus:
    """A version, who said what to it, and what it lacks before it can be promoted."""

    version: PastVersion
    environment: str
    state: str
    """``proposed``, ``approved``, ``rejected``, ``in force`` or ``was in force``."""
    approvals: list[VersionApproval]
    lacks: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return it for the API and the commands."""
        return {
            **asdict(self.version),
            "environment": self.environment,
            "state": self.state,
            "approvals": [
                {"person": a.person, "answer": a.answer, "reason": a.reason, "created_at": a.created_at}
                for a in self.approvals
            ],
            "lacks": self.lacks,
        }


def status_of(ledger: Ledger, workflow: str, number: int) -> VersionStatus:
    """
    Return the status of one version.

    :raises UnknownName: there is no such version.
    """
    version_numbered(ledger, workflow, number)
    return next(one for one in statuses(ledger, workflow) if one.version.number == number)


def versions(ledger: Ledger, workflow: str) -> list[dict[str, Any]]:
    """Return the status of every version of *workflow*, the newest first, for the API and the commands."""
    return [status.to_json() for status in statuses(ledger, workflow)]


def statuses(ledger: Ledger, workflow: str) -> list[VersionStatus]:
    """Return the status of every version of *workflow*, the newest first."""
    company, found = company_in_force(ledger), []
    for row in history(ledger, workflow):
        version = version_numbered(ledger, workflow, row.number)
        with ledger.read() as connection:
            approvals = approvals_of(connection, version.id)
        now = progress_of(version, approvals, company)
        state = {GateState.APPROVED: "approved", GateState.REJECTED: "rejected"}.get(now.state, "proposed")
        if row.was_in_force:
            state = IN_FORCE if row.in_force_since is not None else "was in force"
        found.append(
            VersionStatus(
                version=row,
                environment=ledger.environment,
                state=state,
                approvals=approvals,
                lacks=[] if row.was_in_force else _lacking(now, company),
            )
        )
    return found


def stages_of_version(version: WorkflowVersion, company: Company) -> list[Stage]:
    """Return the approvals that *version* takes: those of the matrix, and in staging and production at least one."""
    phase = "" if version.bundle.workflow == COMPANY else version.bundle.settings.phase
    inputs = {"environment": version.environment, "workflow": version.bundle.workflow, "phase": phase}
    stages = [stage for _, stage in stages_for(company.approvals.versions, VERSION_TYPES, inputs)]
    if not stages and version.environment in NEEDS_APPROVAL:
        groups = company.access.holders("approve", version.bundle.workflow)
        stages = [Stage(name="whoever has the right 'approve'", groups=groups, votes=1)]
    return stages


def progress_of(version: WorkflowVersion, rows: Sequence[VersionApproval], company: Company) -> Progress:
    """Return what the approvals in *rows* amount to; each counts while its giver may give it, never the author's."""
    stages = stages_of_version(version, company)
    people = {row.person: Identity(row.person, row.person_name, tuple(row.roles)) for row in rows}
    ballots = [
        Ballot(row.person, row.answer, row.stage_order)
        for row in rows
        if row.digest == version.bundle.digest
        and (row.answer == "reject" or not people[row.person].is_named(author_of(version)))
        and company.access.holds(people[row.person], "approve", version.bundle.workflow)
    ]
    if not stages:
        rejected = any(ballot.answer == "reject" for ballot in ballots)
        return Progress(GateState.REJECTED if rejected else GateState.APPROVED, 1)
    return count_votes(stages, ballots, lambda person, stage: _may_fill(company, people[person], stage))


def author_of(version: WorkflowVersion) -> str:
    """Return the id of who wrote *version*."""
    return version.author.removeprefix("person:")


def _may_fill(company: Company, person: Identity, stage: Stage) -> bool:
    return person.id in stage.people or any(company.access.is_member(person, group) for group in stage.groups)


def _lacking(now: Progress, company: Company) -> list[str]:
    return [
        f"{votes} of {stage.name or ', '.join(stage.groups)} "
        f"({', '.join([*company.access.members(stage.groups), *stage.people]) or 'nobody'})"
        for stage, votes in now.missing
    ]


def _demand(ledger: Ledger, person: Identity, right: Right, workflow: str) -> Company:
    company = company_in_force(ledger)
    if company.number is None:
        raise ConfigurationError(
            f"no version of the company's files is in force in environment {ledger.environment!r}, so nobody has a "
            "right. Anyone who may change Dags puts the first version in force: "
            "airflow interlock policy publish company"
        )
    company.access.demand(person, right, workflow)
    return company


def check_proposal(ledger: Ledger, bundle: Bundle, company: Company, wiring: Mapping[str, Any] | None) -> None:
    """
    Let *bundle* become a version.

    :raises PolicyError: it cannot work, or a workflow in force could not work under it.
    """
    parsed = Wiring.from_json(wiring) if wiring is not None else None
    problems = problems_of(bundle, company, environment=ledger.environment, wiring=parsed, today=ledger.clock())
    if bundle.workflow == COMPANY and not problems:
        for version in versions_at_work(ledger):
            found = check_bundle(version.bundle, Company(bundle), environment=ledger.environment)
            problems += [f"{version} could no longer work: {problem}" for problem in found]
    if problems:
        raise PolicyError(f"{bundle.workflow} cannot be put in force: " + "; ".join(problems))


def _named(version: WorkflowVersion) -> dict[str, Any]:
    return {
        "workflow": version.bundle.workflow,
        "number": version.number,
        "digest": version.bundle.digest,
        "environment": version.environment,
        "author": version.author,
    }
