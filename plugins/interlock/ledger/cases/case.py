"""
Cases: taking them in, finding those that stand at a task, and moving them on.

Whoever moves a case read its row in the same transaction or hands back the revision that was read, so two writers can
never both move it. A case's payloads are stored under digests that are keyed with the case's own secret.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from interlock.domain.base.canonical import digest, keyed_digest
from interlock.domain.cases.case import ACTIVE, DONE, CaseState, check_move
from interlock.errors import UnknownName
from interlock.ledger.facts.quality import DataWarning, warnings_of
from interlock.ledger.runs.run import WorkflowRun
from interlock.ledger.store.ledger import Ledger, in_groups
from interlock.ledger.store.record import Case, CaseChange
from interlock.ledger.store.schema import case, case_run, case_secret, handoff, label, payload, workflow_run
from interlock.ledger.store.transaction import Row, Transaction, new_id


@dataclass(frozen=True, kw_only=True)
class NewCase:
    """A row of a source on its way to become a case."""

    business_key: str
    payload: Mapping[str, Any]
    contract: str
    """``Name@version``."""
    source: str
    """Where it comes from: ``inbox.csv, row 12``."""
    reason: str | None = None
    """Why it is quarantined; None: it is fine."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Known right answers by field; agents never see them."""
    owner: str | None = None
    due_at: datetime | None = None


@dataclass(frozen=True)
class CaseFile:
    """A case with its secret and its payloads."""

    case: Case
    secret: bytes
    payload: Mapping[str, Any]
    context: Mapping[str, Mapping[str, Any]]
    """Payloads of its current handoffs, by contract name."""
    made_at: Mapping[str, datetime] = field(default_factory=dict)
    """When those handoffs were made."""
    warnings: tuple[DataWarning, ...] = ()
    """What the data checks of its runs warned of."""

    @property
    def id(self) -> str:
        """The case's id."""
        return self.case.id


@dataclass
class Taken:
    """What became of a group of rows."""

    opened: int = 0
    quarantined: int = 0
    seen_before: int = 0
    """Rows whose business key has a case with the same content, or a case that was forgotten."""


def take_in(tx: Transaction, run: WorkflowRun, rows: Sequence[NewCase], *, task: str) -> Taken:
    """
    Open a case for each of *rows*, standing at *task*, or quarantine it.

    A business key that has a case already opens no second one; when the content is another, the row is quarantined
    under a key of its own, so that nothing is lost. Whose case was forgotten is passed over whatever it says: to hold
    it against content that is gone is not possible, and to take it in would bring the person back.
    """
    tx.take_turns(f"intake:{run.environment}:{run.workflow}")
    taken = Taken()
    known = _by_business_key(tx.connection, run, {row.business_key for row in rows})
    seen: set[str] = set()
    accepted: list[NewCase] = []
    for row in rows:
        same = known.get(row.business_key)
        if same is None and row.business_key not in seen:
            seen.add(row.business_key)
            accepted.append(row)
        elif same is not None and (not same[0] or same[1] == keyed_digest(same[0], row.payload)):
            taken.seen_before += 1
        else:
            earlier = next((a for a in accepted if a.business_key == row.business_key), None)
            if earlier is not None and earlier.payload == row.payload:
                taken.seen_before += 1
                continue
            key = f"{row.business_key[:200]}~{digest(row.payload)[:12]}"
            if key in known or key in seen or _by_business_key(tx.connection, run, {key}):
                taken.seen_before += 1
                continue
            seen.add(key)
            reason = f"business key {row.business_key!r} has a case with other content"
            accepted.append(
                NewCase(business_key=key, payload=row.payload, contract=row.contract, source=row.source, reason=reason)
            )
    _insert_cases(tx, run, accepted, task, taken)
    return taken


def _insert_cases(tx: Transaction, run: WorkflowRun, accepted: Sequence[NewCase], task: str, taken: Taken) -> None:
    cases: list[Row] = []
    keys: list[Row] = []
    payloads: list[Row] = []
    labels: list[Row] = []
    for row in accepted:
        case_id, secret = new_id(), secrets.token_bytes(32)
        body = dict(row.payload)
        payload_digest = keyed_digest(secret, body)
        quarantined = row.reason is not None
        taken.quarantined += quarantined
        taken.opened += not quarantined
        state = CaseState.QUARANTINED if quarantined else CaseState.OPEN
        cases.append(
            {
                "id": case_id,
                "environment": run.environment,
                "workflow": run.workflow,
                "business_key": row.business_key,
                "state": state.value,
                "task": None if quarantined else task,
                "run_id": run.id,
                "attempt": 0,
                "contract": row.contract,
                "payload_digest": payload_digest,
                "context": {},
                "source": row.source,
                "reason": row.reason,
                "owner": row.owner,
                "due_at": row.due_at,
                "opened_at": tx.at,
                "changed_at": tx.at,
                "revision": 1,
            }
        )
        keys.append({"case_id": case_id, "secret": secret})
        payloads.append({"case_id": case_id, "digest": payload_digest, "body": body})
        labels += [
            {"case_id": case_id, "field": name, "value": value, "source": row.source}
            for name, value in row.labels.items()
        ]
    tx.insert(case, cases, kind="case.taken_in", facts=place)
    tx.insert_quietly(case_secret, keys)
    tx.insert_quietly(payload, payloads)
    tx.insert(label, labels, kind="label.known")
    tx.insert_quietly(case_run, [{"run_id": run.id, "case_id": c["id"]} for c in cases])


def place(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a case is, for its event."""
    return {"state": row["state"], "route": row.get("route"), "task": row.get("task"), "run": row.get("run_id")}


def known_keys(connection: Connection, environment: str, workflow: str, keys: Sequence[str]) -> set[str]:
    """Return those of *keys* that have a case."""
    found: set[str] = set()
    for group in in_groups(list(keys), 500):
        rows = connection.execute(
            select(case.c.business_key).where(
                case.c.environment == environment, case.c.workflow == workflow, case.c.business_key.in_(group)
            )
        )
        found |= set(rows.scalars())
    return found


def _by_business_key(connection: Connection, run: WorkflowRun, keys: set[str]) -> dict[str, tuple[bytes, str]]:
    found: dict[str, tuple[bytes, str]] = {}
    for group in in_groups(sorted(keys), 500):
        rows = connection.execute(
            select(case.c.business_key, case.c.payload_digest, case_secret.c.secret)
            .join(case_secret, case_secret.c.case_id == case.c.id, isouter=True)
            .where(
                case.c.environment == run.environment,
                case.c.workflow == run.workflow,
                case.c.business_key.in_(group),
            )
        )
        found |= {row.business_key: (row.secret or b"", row.payload_digest) for row in rows}
    return found


def cases_at(
    connection: Connection,
    run: WorkflowRun,
    task: str,
    *,
    limit: int,
    after: str = "",
    states: Iterable[CaseState] = ACTIVE,
) -> list[Case]:
    """Return at most *limit* cases of *run* whose turn it is at *task*, by id from behind *after*."""
    query = select(case).where(
        case.c.run_id == run.id,
        case.c.task == task,
        case.c.id > after,
        case.c.state.in_([state.value for state in states]),
    )
    return Case.all_of(connection.execute(query.order_by(case.c.id).limit(limit)))


def count_at(connection: Connection, run: WorkflowRun, task: str, *, states: Iterable[CaseState] = ACTIVE) -> int:
    """Return for how many cases of *run* it is *task*'s turn."""
    query = (
        select(func.count())
        .select_from(case)
        .where(case.c.run_id == run.id, case.c.task == task, case.c.state.in_([state.value for state in states]))
    )
    return int(connection.execute(query).scalar_one())


def lock_case(tx: Transaction, case_id: str) -> Case:
    """Lock a case and return it as it is now."""
    return Case.of(tx.connection.execute(select(case).where(case.c.id == case_id).with_for_update()).one())


def open_children(connection: Connection, case_id: str) -> list[str]:
    """Return the business keys of the child cases of a case that are not closed."""
    rows = connection.execute(
        select(case.c.business_key).where(case.c.parent_id == case_id, case.c.state != CaseState.CLOSED.value)
    )
    return list(rows.scalars())


def lock_cases(tx: Transaction, rows: Sequence[Case]) -> list[Case]:
    """Lock the cases of *rows* and return those that nobody changed since they were read."""
    revisions = {row.id: row.revision for row in rows}
    if not revisions:
        return []
    locked = tx.connection.execute(
        select(case.c.id, case.c.revision).where(case.c.id.in_(list(revisions))).order_by(case.c.id).with_for_update()
    )
    unchanged = {row.id for row in locked if revisions[row.id] == row.revision}
    return [row for row in rows if row.id in unchanged]


def move(tx: Transaction, changes: Sequence[tuple[Case, CaseChange]], *, kind: str) -> list[Case]:
    """
    Move cases: each as it was read, with what changes. Return the cases as they are now.

    :raises ConfigurationError: there is no such arrow between the two states.
    """
    changed = []
    for before, change in changes:
        values = change.values()
        if "state" in values:
            check_move(CaseState(before.state), CaseState(values["state"]))
            values["state"] = CaseState(values["state"]).value
        changed.append(Case.from_values({**before.__dict__, **values, "changed_at": tx.at}))
    return tx.update(case, changed, kind=kind, facts=place)


def store_payload(tx: Transaction, files: Iterable[tuple[str, bytes, Any]]) -> list[str]:
    """Store bodies of cases, given as (case id, secret, body), and return their keyed digests."""
    rows = [{"case_id": i, "digest": keyed_digest(secret, body), "body": body} for i, secret, body in files]
    tx.insert_quietly(payload, rows)
    return [str(row["digest"]) for row in rows]


def load_files(
    connection: Connection, rows: Sequence[Case], *, contracts: Iterable[str] | None = None
) -> list[CaseFile]:
    """Return the case files of *rows*; *contracts* names the handoffs that are wanted (left out: all current ones)."""
    wanted = None if contracts is None else set(contracts)
    current = [one for row in rows for name, one in row.context.items() if wanted is None or name in wanted]
    secrets_of_cases = _secrets(connection, [row.id for row in rows])
    handoffs = _handoff_places(connection, current)
    needed = [(row.id, row.payload_digest) for row in rows]
    bodies = _bodies(connection, needed + [(case_id, name) for case_id, name, _ in handoffs.values()])
    warnings = warnings_of(connection, [row.id for row in rows])
    files = []
    for row in rows:
        context: dict[str, Mapping[str, Any]] = {}
        made_at: dict[str, datetime] = {}
        for name, handoff_id in row.context.items():
            if (handed := handoffs.get(handoff_id)) is None:
                continue
            case_id, payload_digest, made_at[name] = handed
            if (case_id, payload_digest) in bodies:
                context[name] = bodies[case_id, payload_digest]
        body = bodies.get((row.id, row.payload_digest), {})
        secret = secrets_of_cases.get(row.id, b"")
        files.append(CaseFile(row, secret, body, context, made_at, warnings.get(row.id, ())))
    return files


def _secrets(connection: Connection, case_ids: Sequence[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for group in in_groups(list(case_ids), 400):
        rows = connection.execute(select(case_secret).where(case_secret.c.case_id.in_(group)))
        found |= {row.case_id: row.secret for row in rows}
    return found


def _handoff_places(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, str, datetime]]:
    """Return the case, the digest of the payload and the instant of handoffs, by their id."""
    found: dict[str, tuple[str, str, datetime]] = {}
    columns = (handoff.c.id, handoff.c.case_id, handoff.c.payload_digest, handoff.c.created_at)
    for group in in_groups(list(ids), 400):
        for row in connection.execute(select(*columns).where(handoff.c.id.in_(group))):
            found[row.id] = (row.case_id, row.payload_digest, row.created_at)
    return found


def _bodies(connection: Connection, needed: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """Return payloads by case id and digest."""
    found: dict[tuple[str, str], Any] = {}
    for group in in_groups(list(needed), 400):
        is_needed = payload.c.digest.concat("").in_({name for _, name in group})  # by no index: not each with each
        for row in connection.execute(select(payload).where(payload.c.case_id.in_({i for i, _ in group}), is_needed)):
            found[(row.case_id, row.digest)] = row.body
    return found


Among = ColumnElement[bool]
"""A condition on cases that may be shown."""


def of_dags(dags: Collection[str], workflows: Collection[str]) -> Among:
    """
    Return the condition that a case is of one of *dags*: by its run, or by its workflow when no run has it.

    :param workflows: those that only *dags* work for.
    """
    runs = select(workflow_run.c.id).where(workflow_run.c.dag_id.in_(sorted(dags)))
    return or_(case.c.run_id.in_(runs), and_(case.c.run_id.is_(None), case.c.workflow.in_(sorted(workflows))))


def find_case(
    connection: Connection,
    ledger: Ledger,
    name: str,
    *,
    workflow: str | None = None,
    among: ColumnElement[bool] | None = None,
) -> Case:
    """
    Return the case whose id, end of an id (8 digits or more) or business key is *name*.

    :param among: cases that may be found, and named when there is none of this name. Default: all.

    :raises UnknownName: none, or more than one.
    """
    query = select(case).where(case.c.environment == ledger.environment)
    if workflow is not None:
        query = query.where(case.c.workflow == workflow)
    if among is not None:
        query = query.where(among)
    ways = [case.c.business_key == name, case.c.id == name]
    if len(name) >= 8:
        ways.append(case.c.id.endswith(name, autoescape=True))
    rows = Case.all_of(connection.execute(query.where(or_(*ways)).limit(3)))
    if len(rows) != 1:
        near = connection.execute(query.with_only_columns(case.c.business_key).limit(2000)).scalars()
        raise UnknownName("case" if not rows else "one case (several match)", name, near)
    return rows[0]


def cases_by_key(connection: Connection, environment: str, workflow: str, keys: Iterable[str]) -> list[Case]:
    """Return the cases of *workflow* that have one of the business *keys*."""
    return [
        Case.of(row)
        for group in in_groups(sorted(set(keys)), 400)
        for row in connection.execute(
            select(case).where(
                case.c.environment == environment, case.c.workflow == workflow, case.c.business_key.in_(group)
            )
        )
    ]


def list_cases(
    ledger: Ledger,
    *,
    workflow: str | None = None,
    states: Sequence[str] = (),
    is_late: bool = False,
    limit: int = 100,
) -> list[Case]:
    """Return cases, the last changed first; *is_late*: only those whose time has come and that are not done."""
    query = select(case).where(case.c.environment == ledger.environment)
    if workflow:
        query = query.where(case.c.workflow == workflow)
    if states:
        query = query.where(case.c.state.in_(list(states)))
    if is_late:
        query = query.where(case.c.due_at < ledger.clock(), case.c.state.not_in([state.value for state in DONE]))
    with ledger.read() as connection:
        return Case.all_of(connection.execute(query.order_by(case.c.changed_at.desc()).limit(limit)))


def take_up_waiting(tx: Transaction, run: WorkflowRun, *, finished: Sequence[str], tasks: Iterable[str]) -> int:
    """
    Move the cases that wait in the ledger into *run*, each where it stands; return how many.

    :param finished: ids of runs that are over though they were not recorded as ended.
    :param tasks: tasks of this Dag; a case at a task that is no more stays, and is told of by the report.
    """
    over = or_(case.c.run_id.is_(None), workflow_run.c.ended_at.is_not(None), case.c.run_id.in_(list(finished)))
    rows = tx.connection.execute(
        select(case)
        .join(workflow_run, workflow_run.c.id == case.c.run_id, isouter=True)
        .where(
            case.c.environment == run.environment,
            case.c.workflow == run.workflow,
            case.c.task.in_(list(tasks)),
            or_(
                case.c.state.in_([state.value for state in ACTIVE]),
                and_(case.c.state == CaseState.WAITING.value, case.c.wait_for.is_(None)),
                _waited(tx.at),
            ),
            case.c.run_id.is_distinct_from(run.id),
            over,
        )
        .order_by(case.c.id)
        .with_for_update(of=case)
    )
    found = Case.all_of(rows)
    move(tx, [(one, replace(going_on(one), run_id=run.id)) for one in found], kind="case.taken_up")
    tx.insert_quietly(case_run, [{"run_id": run.id, "case_id": one.id} for one in found])
    return len(found)


def take_up_waited(tx: Transaction, run: WorkflowRun, *, tasks: Iterable[str]) -> int:
    """Move the cases into *run* whose time to wait for a budget or cheaper hours is over; return how many."""
    rows = tx.connection.execute(
        select(case)
        .where(
            case.c.environment == run.environment,
            case.c.workflow == run.workflow,
            case.c.task.in_(list(tasks)),
            case.c.run_id.is_distinct_from(run.id),
            _waited(tx.at),
        )
        .order_by(case.c.id)
        .with_for_update()
    )
    found = Case.all_of(rows)
    move(tx, [(one, replace(going_on(one), run_id=run.id)) for one in found], kind="case.taken_up")
    tx.insert_quietly(case_run, [{"run_id": run.id, "case_id": one.id} for one in found])
    return len(found)


@dataclass(frozen=True)
class Resumable:
    """Cases of one Dag that can go on."""

    workflow: str
    dag_id: str
    cases: int
    since: datetime
    """When the first of them could."""


def due_to_go_on(connection: Connection, environment: str, at: datetime) -> list[Resumable]:
    """Return the cases that waited for an instant that has come, by Dag."""
    names = (case.c.workflow, workflow_run.c.dag_id)
    query = (
        select(*names, func.count().label("cases"), func.min(case.c.wait_until).label("since"))
        .join(workflow_run, workflow_run.c.id == case.c.run_id)
        .where(case.c.environment == environment, case.c.wait_until.is_not(None), _waited(at))
        .group_by(*names)
    )
    return [Resumable(*row) for row in connection.execute(query)]


def _waited(at: datetime) -> ColumnElement[bool]:
    return and_(
        case.c.state == CaseState.WAITING.value,
        case.c.wait_for.is_not(None),
        or_(case.c.wait_until.is_(None), case.c.wait_until <= at),
    )


def going_on(waited: Case) -> CaseChange:
    """Return how a case that waited for no person is taken up: where it stood."""
    if waited.wait_for is None:
        return CaseChange()
    state = CaseState.ROUTED if waited.route else CaseState.OPEN
    return CaseChange(state=state, wait_for=None, wait_until=None, reason=None)
