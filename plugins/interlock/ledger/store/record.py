"""
Rows of the ledger as frozen values with typed fields: what its functions return, and what they take.

A record has a field for each column of its table, so a misspelt one is refused by the type checker. A record is never
written to; :func:`dataclasses.replace` gives the row as it shall be, and a case is moved by a :class:`CaseChange`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Literal, TypeVar

RecordT = TypeVar("RecordT", bound="Record")


@dataclass(frozen=True)
class Record:
    """A row of a table."""

    @classmethod
    def of(cls: type[RecordT], row: Any) -> RecordT:
        """Return the record of a result row, which may have more columns than the table."""
        return cls.from_values(row._mapping)

    @classmethod
    def from_values(cls: type[RecordT], values: Mapping[str, Any]) -> RecordT:
        """Return the record of a row that was read or written."""
        made = object.__new__(cls)
        made.__dict__.update(values)  # the generated __init__ takes several times what reading the row takes
        return made

    @classmethod
    def all_of(cls: type[RecordT], rows: Iterable[Any]) -> list[RecordT]:
        """Return the records of result rows."""
        return [cls.of(row) for row in rows]

    def values(self) -> dict[str, Any]:
        """Return the columns as a new dictionary, for a statement."""
        return dict(self.__dict__)


@dataclass(frozen=True, kw_only=True)
class Case(Record):
    """One case, and where it is now."""

    id: str
    environment: str
    workflow: str
    business_key: str
    state: str
    """A :class:`~interlock.domain.cases.case.CaseState`."""
    route: str | None = None
    task: str | None = None
    """The task whose turn it is; None: nobody's."""
    run_id: str | None = None
    parent_id: str | None = None
    attempt: int
    """How often it was routed."""
    contract: str
    """``Name@version`` of its payload."""
    payload_digest: str
    context: Mapping[str, str]
    """Ids of its current handoffs, by contract name."""
    handoff_id: str | None = None
    """What the last role that judged it said."""
    draft_id: str | None = None
    """What would be executed; None: the case itself."""
    decision_id: str | None = None
    review_asked_by: str | None = None
    source: str
    reason: str | None = None
    owner: str | None = None
    due_at: datetime | None = None
    late_told_at: datetime | None = None
    wait_for: str | None = None
    """What it waits for other than people; None: nothing, or people."""
    wait_until: datetime | None = None
    opened_at: datetime
    changed_at: datetime
    revision: int
    seal: str | None = None


class _Unset(Enum):
    UNSET = "unset"


UNSET: Final = _Unset.UNSET
Unset = Literal[_Unset.UNSET]


@dataclass(frozen=True, kw_only=True)
class CaseChange:
    """What changes when a case moves. A field that is not given stays as it is."""

    business_key: str | Unset = UNSET
    state: str | Unset = UNSET
    route: str | Unset | None = UNSET
    task: str | Unset | None = UNSET
    run_id: str | Unset | None = UNSET
    attempt: int | Unset = UNSET
    contract: str | Unset = UNSET
    payload_digest: str | Unset = UNSET
    context: Mapping[str, str] | Unset = UNSET
    handoff_id: str | Unset | None = UNSET
    draft_id: str | Unset | None = UNSET
    decision_id: str | Unset | None = UNSET
    review_asked_by: str | Unset | None = UNSET
    source: str | Unset = UNSET
    reason: str | Unset | None = UNSET
    owner: str | Unset | None = UNSET
    due_at: datetime | Unset | None = UNSET
    late_told_at: datetime | Unset | None = UNSET
    wait_for: str | Unset | None = UNSET
    wait_until: datetime | Unset | None = UNSET

    def values(self) -> dict[str, Any]:
        """Return the columns that change."""
        return {name: value for name, value in self.__dict__.items() if value is not UNSET}

    def __or__(self, other: CaseChange) -> CaseChange:
        """Return both changes as one; where both say something, *other* counts."""
        return CaseChange(**{**self.values(), **other.values()})


@dataclass(frozen=True, kw_only=True)
class Handoff(Record):
    """What a role handed on for a case."""

    id: str
    case_id: str
    run_id: str
    task: str
    contract: str
    contract_name: str
    contract_digest: str
    agent: str
    agent_digest: str
    input_digest: str
    key: str
    payload_digest: str
    confidence: float | None = None
    provenance: Mapping[str, Any]
    created_at: datetime
    seal: str | None = None


@dataclass(frozen=True, kw_only=True)
class RoutingDecision(Record):
    """What a rule or a person decided of a case's route."""

    id: str
    case_id: str
    run_id: str | None = None
    task: str
    attempt: int
    rule: str
    route: str
    confidence: float | None = None
    threshold: float | None = None
    version_id: str
    inputs_digest: str
    handoff_id: str | None = None
    decided_by: str
    error: str | None = None
    created_at: datetime
    policy_route: str | None = None
    sample_rate: float | None = None
    seal: str | None = None


@dataclass(frozen=True, kw_only=True)
class Authorisation(Record):
    """What may be executed for a case."""

    id: str
    case_id: str
    action: str
    payload_digest: str
    """Of exactly what may be sent."""
    basis: str
    """``decision:<id>`` or ``gate_request:<id>``."""
    version_id: str
    created_at: datetime
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None
    revision: int
    seal: str | None = None


@dataclass(frozen=True, kw_only=True)
class GateRequest(Record):
    """What people are asked about a case."""

    id: str
    case_id: str
    gate: str
    run_id: str
    task: str
    action: str
    payload_digest: str
    seen_digest: str
    votes_needed: int
    voters: Sequence[str]
    version_id: str
    state: str
    opened_at: datetime
    decided_at: datetime | None = None
    stages: Sequence[Mapping[str, Any]] | None = None
    barred: Mapping[str, str] | None = None
    steps: Sequence[str] | None = None
    revision: int
    seal: str | None = None


@dataclass(frozen=True, kw_only=True)
class Vote(Record):
    """One person's answer to a request."""

    id: str
    request_id: str
    case_id: str
    person: str
    answer: str
    reason: str | None = None
    seen_digest: str
    edited_digest: str | None = None
    way: str
    created_at: datetime
    person_name: str | None = None
    roles: Sequence[str] | None = None
    stage_order: int | None = None
    on_behalf_of: str | None = None
    seal: str | None = None


@dataclass(frozen=True, kw_only=True)
class GateListing(Record):
    """What Airflow's own request of a gate lists."""

    id: str
    run_id: str
    task: str
    listed: Mapping[str, str]
    """Request id to the digest that is shown."""
    release_at: datetime
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Effect(Record):
    """A change in another system."""

    key: str
    case_id: str
    run_id: str
    task: str
    action: str
    payload_digest: str
    authorisation_id: str
    state: str
    holder: str | None = None
    lease_until: datetime | None = None
    attempts: int
    receipt: Mapping[str, Any] | None = None
    intended_at: datetime
    committed_at: datetime | None = None
    revision: int


@dataclass(frozen=True, kw_only=True)
class Run(Record):
    """The row of a Dag run of a workflow; :class:`~interlock.ledger.runs.run.WorkflowRun` is it with its version."""

    id: str
    environment: str
    workflow: str
    dag_id: str
    run_id: str
    version_id: str
    company_id: str | None = None
    wiring: Mapping[str, Any]
    triggered_by: str | None = None
    is_resume: bool
    started_at: datetime
    ended_at: datetime | None = None
    as_of: datetime | None = None
    revision: int
    seal: str | None = None


@dataclass(frozen=True, kw_only=True)
class ProviderBatch(Record):
    """A batch of requests that is with a provider."""

    id: str
    environment: str
    workflow: str
    run_id: str
    task: str
    agent: str
    agent_digest: str
    connection: str
    state: str
    provider_id: str | None = None
    cases: Mapping[str, Mapping[str, Any]]
    reason: str | None = None
    created_at: datetime
    sent_at: datetime | None = None
    expires_at: datetime
    ended_at: datetime | None = None
    revision: int


@dataclass(frozen=True, kw_only=True)
class Reading(Record):
    """A dataset as a run read it."""

    id: str
    run_id: str
    task: str
    dataset: str
    source: str
    as_of: datetime
    state: str
    reasons: Mapping[str, Any]
    """Sentences by severity; ``caps``: the lowest cap on confidence that a warning brings, where one does."""
    row_count: int
    quarantined: int
    columns: Any
    newest_at: datetime | None = None
    snapshot: str | None = None
    quarantine: str | None = None
    created_at: datetime

    @property
    def is_withheld(self) -> bool:
        """Whether nothing may rest on it."""
        return self.state == "withheld"

    @property
    def critical(self) -> list[str]:
        """Why it is withheld."""
        return list(self.reasons["critical"])

    @property
    def warnings(self) -> list[str]:
        """What was warned of."""
        return list(self.reasons["warning"])

    @property
    def cap(self) -> float | None:
        """The highest confidence that rests on it; None: there is no cap."""
        return self.reasons.get("caps")


@dataclass(frozen=True, kw_only=True)
class Incident(Record):
    """A trouble that many cases share."""

    id: str
    environment: str
    workflow: str
    kind: str
    subject: str
    state: str
    reason: str
    cases: int
    opened_at: datetime
    last_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    escalated_at: datetime | None = None
    closed_at: datetime | None = None
    closed_by: str | None = None
    revision: int


@dataclass(frozen=True, kw_only=True)
class KillSwitch(Record):
    """A workflow, an agent or a connector that a person stopped, and when it was let go on."""

    id: str
    environment: str
    kind: str
    name: str
    off_by: str
    off_at: datetime
    off_reason: str
    on_by: str | None = None
    on_at: datetime | None = None
    on_reason: str | None = None
    revision: int


@dataclass(frozen=True, kw_only=True)
class Deployment(Record):
    """Whether a workflow runs in an environment."""

    id: str
    environment: str
    workflow: str
    state: str
    set_by: str
    reason: str
    since: datetime
    seal: str | None = None


@dataclass(frozen=True, kw_only=True)
class Notice(Record):
    """What people are notified of, and whether it was sent."""

    id: str
    environment: str
    workflow: str
    kind: str
    recipients: Sequence[str]
    subject: str
    body: str
    state: str
    attempts: int
    error: str | None = None
    created_at: datetime
    tried_at: datetime | None = None
    revision: int


@dataclass(frozen=True, kw_only=True)
class Delegation(Record):
    """Who votes for whom, and until when."""

    id: str
    environment: str
    giver: str
    taker: str
    workflow: str | None = None
    """None: in all of them."""
    reason: str
    since: datetime
    until: datetime
    ended_at: datetime | None = None
    revision: int
    seal: str | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome(Record):
    """What the business got from a case."""

    id: str
    case_id: str
    outcome: str
    value: Decimal | None = None
    happened_at: datetime
    final_at: datetime | None = None
    """From when on it cannot be undone; None: it is an outcome that undoes."""
    recorded_by: str
    source: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Quote(Record):
    """What a run was estimated to take, and what it took."""

    id: str
    environment: str
    workflow: str
    source: str
    cases: int
    estimate: Mapping[str, Any]
    run_id: str | None = None
    actual: Mapping[str, Any] | None = None
    """What it took, and whether that is ``inside`` the interval of each figure; None: no run is over yet."""
    created_at: datetime
    revision: int

    def inside(self, figure: str) -> bool | None:
        """Tell whether *figure* was in its interval; None: it had none, or no run is over yet."""
        held: bool | None = self.actual["inside"][figure] if self.actual else None
        return held


@dataclass(frozen=True, kw_only=True)
class VersionApproval(Record):
    """What one person said to a version."""

    id: str
    version_id: str
    person: str
    person_name: str
    roles: Sequence[str]
    answer: str
    stage_order: int
    reason: str
    digest: str
    created_at: datetime
    seal: str | None = None


@dataclass(frozen=True, kw_only=True)
class VersionInForce(Record):
    """That a version was put in force, from when and by whom."""

    id: str
    environment: str
    workflow: str
    version_id: str
    since: datetime
    set_by: str
    seal: str | None = None


@dataclass(frozen=True, kw_only=True)
class QualityReport(Record):
    """What the checks of one suite found, without a value of the data."""

    id: str
    run_id: str
    task: str
    suite: str
    row_count: int
    passed: bool
    results: Sequence[Mapping[str, Any]]
    created_at: datetime
    reading_id: str | None = None
