"""
What a run came to, counted from the ledger: where its cases are, by which route they went, how good the automatic were.

Accuracy counts only cases whose source said the right answer; agents never saw it.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, func, select

from interlock.domain.cases.case import ACTIVE, CaseState
from interlock.errors import InputError, UnknownName
from interlock.ledger.agents.provider_batch import batches_out, uncounted
from interlock.ledger.cases.case import load_files
from interlock.ledger.cases.outcome import stands
from interlock.ledger.cost.usage_row import MODEL
from interlock.ledger.facts.fact import facts_of
from interlock.ledger.runs.run import WorkflowRun, load_run
from interlock.ledger.store.ledger import Ledger, as_dict, in_groups
from interlock.ledger.store.record import Case
from interlock.ledger.store.schema import (
    authorisation,
    case,
    case_run,
    effect,
    label,
    outcome,
    quality_report,
    task_attempt,
    usage,
    workflow_run,
)


def summarize(ledger: Ledger, run_id: str | None = None, *, workflow: str | None = None) -> dict[str, Any]:
    """
    Return the figures of a run: JSON types.

    :param run_id: Airflow's run id or the ledger's; left out, the newest run (of *workflow*).
    :raises UnknownName: there is no such run.
    """
    with ledger.read() as connection:
        run = load_run(connection, _find(connection, ledger, run_id, workflow))
        ended = connection.execute(select(workflow_run.c.ended_at).where(workflow_run.c.id == run.id)).scalar()
        rows = _members(connection, run)
        automatic = _automatic(connection, rows)
        return {
            "workflow": run.workflow,
            "environment": run.environment,
            "dag_id": run.dag_id,
            "run_id": run.run_id,
            "version": run.version.number,
            "started_at": run.started_at.isoformat(),
            "ended_at": ended.isoformat() if ended else None,
            "cases_total": len(rows),
            "by_state": dict(Counter(row.state for row in rows)),
            "by_route": dict(Counter(row.route for row in rows if row.route)),
            "automatic": len(automatic),
            "automatic_share": round(len(automatic) / len(rows), 4) if rows else None,
            **_accuracy(connection, run, automatic),
            "effects_sent": _effects(connection, rows),
            "waiting": _waiting(run, rows),
            "with_provider": _with_provider(connection, run),
            "reasons": _reasons(rows),
            "quality": _quality(connection, run),
            "cost": _cost(connection, run),
            "stages": _stages(connection, run),
            "facts": _facts(connection, run, rows),
            "unplaced": [
                {"case": row.business_key, "state": row.state, "task": row.task}
                for row in unplaced(connection, run)[:20]
            ],
        }


def unplaced(connection: Connection, run: WorkflowRun) -> list[Case]:
    """
    Return the cases of *run* that stand where nothing takes them on: what must be empty when the run ends.

    A case that people approved after its gate's task ended is not lost: it is authorised and goes on in a resume run.
    """
    rows = connection.execute(
        select(case).where(case.c.run_id == run.id, case.c.state.in_([state.value for state in ACTIVE]))
    )
    found = Case.all_of(rows)
    late = {
        row.case_id
        for group in in_groups([r.id for r in found if r.state == CaseState.AUTHORISED], 400)
        for row in connection.execute(
            select(authorisation.c.case_id).where(
                authorisation.c.case_id.in_(group),
                authorisation.c.withdrawn_at.is_(None),
                authorisation.c.basis.startswith("gate_request:"),
            )
        )
    }
    return [row for row in found if row.id not in late]


def _find(connection: Connection, ledger: Ledger, run_id: str | None, workflow: str | None) -> str:
    query = select(workflow_run.c.id, workflow_run.c.run_id).where(workflow_run.c.environment == ledger.environment)
    if workflow:
        query = query.where(workflow_run.c.workflow == workflow)
    rows = connection.execute(query.order_by(workflow_run.c.started_at.desc())).all()
    for row in rows:
        if run_id is None or run_id in (row.id, row.run_id):
            return str(row.id)
    if run_id is None:
        whose = f"workflow {workflow!r}" if workflow else "any workflow"
        raise InputError(f"the ledger has no run of {whose} in environment {ledger.environment!r} yet: trigger its Dag")
    raise UnknownName("run", run_id, [row.run_id for row in rows], where="the ledger")


def _members(connection: Connection, run: WorkflowRun) -> list[Case]:
    rows = connection.execute(
        select(case).join(case_run, case_run.c.case_id == case.c.id).where(case_run.c.run_id == run.id)
    )
    return Case.all_of(rows)


def _automatic(connection: Connection, rows: list[Case]) -> list[Case]:
    by_decision: set[str] = set()
    for group in in_groups([row.id for row in rows], 400):
        found = connection.execute(
            select(authorisation.c.case_id).where(
                authorisation.c.case_id.in_(group),
                authorisation.c.withdrawn_at.is_(None),
                authorisation.c.basis.startswith("decision:"),
            )
        )
        by_decision |= set(found.scalars())
    return [row for row in rows if row.id in by_decision]


def _accuracy(connection: Connection, run: WorkflowRun, automatic: list[Case]) -> dict[str, Any]:
    known = right = 0
    for group in in_groups(automatic, 400):
        labels = {
            (row.case_id, row.field): row.value
            for row in connection.execute(select(label).where(label.c.case_id.in_([r.id for r in group])))
        }
        files = {file.id: file for file in load_files(connection, group)}
        for (case_id, field), value in labels.items():
            answers = [payload[field] for payload in files[case_id].context.values() if field in payload]
            if answers:
                known += 1
                right += str(answers[-1]) == value
    return {
        "automatic_accuracy": round(right / known, 4) if known else None,
        "automatic_labelled": known,
        "automatic_right": right,
    }


def _effects(connection: Connection, rows: list[Case]) -> int:
    total = 0
    for group in in_groups([row.id for row in rows], 400):
        total += connection.execute(
            select(func.count()).select_from(effect).where(effect.c.case_id.in_(group), effect.c.state == "committed")
        ).scalar_one()
    return total


def _waiting(run: WorkflowRun, rows: list[Case]) -> list[dict[str, Any]]:
    bundle, found = run.version.bundle, []
    for_people = [row for row in rows if row.state == CaseState.WAITING and row.wait_for is None]
    at = Counter((row.task, row.route) for row in for_people)
    for (task, route), count in sorted(at.items(), key=str):
        wired = run.wiring.tasks.get(task or "")
        gate = bundle.policy.gates.get(wired.gate or "") if wired is not None else None
        people = run.company.access.members([gate.voters]) if gate else ()
        found.append({"task": task, "route": route, "cases": count, "people": sorted(people)})
    return found


def _with_provider(connection: Connection, run: WorkflowRun) -> dict[str, Any] | None:
    """Return how many cases of the workflow are out in batches, and since when; None when none are."""
    out = batches_out(connection, run.environment, run.workflow)
    if not out:
        return None
    return {
        "cases": sum(len(uncounted(connection, row)) for row in out),
        "batches": len(out),
        "since": out[0].created_at.isoformat(),
        "until": max(row.expires_at for row in out).isoformat(),
    }


def _reasons(rows: list[Case]) -> dict[str, int]:
    telling = {CaseState.WAITING, CaseState.DEAD, CaseState.QUARANTINED}
    return dict(Counter(row.reason for row in rows if row.reason and row.state in telling).most_common(20))


def _quality(connection: Connection, run: WorkflowRun) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(quality_report.c.suite, quality_report.c.passed, quality_report.c.row_count).where(
            quality_report.c.run_id == run.id
        )
    )
    return [as_dict(row) for row in rows]


def _cost(connection: Connection, run: WorkflowRun) -> dict[str, Any]:
    columns = (usage.c.kind, usage.c.cost, usage.c.input_tokens, usage.c.output_tokens)
    rows = connection.execute(select(*columns).where(usage.c.run_id == run.id)).all()
    by_kind: dict[str, Decimal] = {}
    for row in rows:
        if row.cost is not None:
            by_kind[row.kind or MODEL] = by_kind.get(row.kind or MODEL, Decimal(0)) + row.cost
    models = [row for row in rows if (row.kind or MODEL) == MODEL]
    total = sum(by_kind.values(), Decimal(0))
    members = select(case_run.c.case_id).where(case_run.c.run_id == run.id)
    got = select(func.count(outcome.c.case_id.distinct())).where(outcome.c.case_id.in_(members), stands())
    completed = int(connection.execute(got).scalar_one())
    return {
        "calls": len(models),
        "input_tokens": sum(row.input_tokens for row in models),
        "output_tokens": sum(row.output_tokens for row in models),
        "usd": format(total, "f"),
        "by_kind": {kind: format(cost, "f") for kind, cost in sorted(by_kind.items())},
        "unpriced_calls": sum(row.cost is None for row in models),
        "outcomes": completed,
        "usd_per_outcome": format(total / completed, ".6f") if completed else None,
    }


def _facts(connection: Connection, run: WorkflowRun, rows: list[Case]) -> dict[str, Any] | None:
    """Return what a run states of its data, and the case of the review; None: it reads no dataset."""
    if run.as_of is None:
        return None
    values = [one.value for one in facts_of(connection, run.id)]
    review = next((row.id for row in rows if row.business_key.partition("~")[0].endswith("/review")), None)
    return {
        "as_of": run.as_of.isoformat(),
        "stated": sum(value is not None for value in values),
        "withheld": sum(value is None for value in values),
        "review": review,
    }


def _stages(connection: Connection, run: WorkflowRun) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(task_attempt).where(task_attempt.c.run_id == run.id).order_by(task_attempt.c.started_at)
    )
    stages: dict[str, dict[str, Any]] = {}
    for row in rows:
        stage = stages.setdefault(row.task, {"task": row.task, "attempts": 0, "seconds": 0.0, "counts": {}})
        stage["attempts"] += 1
        if row.ended_at is not None:
            stage["seconds"] = round(stage["seconds"] + (row.ended_at - row.started_at).total_seconds(), 2)
            for what, count in (row.counts or {}).items():
                stage["counts"][what] = stage["counts"].get(what, 0) + count
    return list(stages.values())
