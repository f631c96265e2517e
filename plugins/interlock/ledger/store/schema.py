"""
The tables of the ledger.

Payloads and the inputs of decisions stand in ``payload`` alone, because they may hold personal data; every other table
refers to them by a digest that is keyed with a secret of the case (``case_secret``). Deleting the two forgets a person,
and the chain of events still verifies. A row that can change has a ``revision``, by which its last event is known.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from interlock.ledger.store.column import Json, Money, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[Any]:
    return Column("id", String(32), primary_key=True)


def _digest(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, String(64), nullable=nullable)


def _case_id(*, primary_key: bool = False, index: bool = False) -> Column[Any]:
    return Column("case_id", ForeignKey("case.id"), primary_key=primary_key, nullable=False, index=index)


def _revision() -> Column[Any]:
    return Column("revision", Integer, nullable=False, default=1)


def _seal() -> Column[Any]:
    """Return the column of a row's seal, which events do not cover; see :mod:`interlock.ledger.store.seal`."""
    return Column("seal", String(120))


workflow_version = Table(
    "workflow_version",
    metadata,
    _id(),
    Column("environment", String(20), nullable=False),
    Column("workflow", String(100), nullable=False),
    Column("number", Integer, nullable=False),
    _digest("digest"),
    Column("author", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("bundle", Json, nullable=False),
    Column("published_at", UtcDateTime, nullable=False),
    Column("origin", Json),
    _seal(),
    UniqueConstraint("environment", "workflow", "number"),
)

approval = Table(
    "approval",
    metadata,
    _id(),
    Column("version_id", ForeignKey("workflow_version.id"), nullable=False),
    Column("person", String(200), nullable=False),
    Column("person_name", String(200), nullable=False),
    Column("roles", Json, nullable=False),
    Column("answer", String(20), nullable=False),
    Column("stage_order", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    _digest("digest"),
    Column("created_at", UtcDateTime, nullable=False),
    _seal(),
    UniqueConstraint("version_id", "person", name="uq_approval_version_person"),
)

deployment = Table(
    "deployment",
    metadata,
    _id(),
    Column("environment", String(20), nullable=False),
    Column("workflow", String(100), nullable=False),
    Column("state", String(20), nullable=False),
    Column("set_by", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    _seal(),
    Index("ix_deployment_workflow", "environment", "workflow", "since"),
)

delegation = Table(
    "delegation",
    metadata,
    _id(),
    Column("environment", String(20), nullable=False),
    Column("giver", String(200), nullable=False),
    Column("taker", String(200), nullable=False),
    Column("workflow", String(100)),
    Column("reason", Text, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    _revision(),
    _seal(),
    Index("ix_delegation_taker", "environment", "taker", "until"),
)

version_in_force = Table(
    "version_in_force",
    metadata,
    _id(),
    Column("environment", String(20), nullable=False),
    Column("workflow", String(100), nullable=False),
    Column("version_id", ForeignKey("workflow_version.id"), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("set_by", String(200), nullable=False),
    _seal(),
    Index("ix_version_in_force_workflow", "environment", "workflow", "since"),
)

workflow_run = Table(
    "workflow_run",
    metadata,
    _id(),
    Column("environment", String(20), nullable=False),
    Column("workflow", String(100), nullable=False),
    Column("dag_id", String(250), nullable=False),
    Column("run_id", String(250), nullable=False),
    Column("version_id", ForeignKey("workflow_version.id"), nullable=False),
    Column("company_id", String(32)),
    Column("wiring", Json, nullable=False),
    Column("triggered_by", String(200)),
    Column("is_resume", Boolean, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("as_of", UtcDateTime),
    _revision(),
    _seal(),
    UniqueConstraint("environment", "dag_id", "run_id"),
)

case = Table(
    "case",
    metadata,
    _id(),
    Column("environment", String(20), nullable=False),
    Column("workflow", String(100), nullable=False),
    Column("business_key", String(250), nullable=False),
    Column("state", String(20), nullable=False),
    Column("route", String(100)),
    Column("task", String(250)),
    Column("run_id", ForeignKey("workflow_run.id")),
    Column("parent_id", ForeignKey("case.id")),
    Column("attempt", Integer, nullable=False),
    Column("contract", String(120), nullable=False),
    _digest("payload_digest"),
    Column("context", Json, nullable=False),
    Column("handoff_id", String(32)),
    Column("draft_id", String(32)),
    Column("decision_id", String(32)),
    Column("review_asked_by", String(200)),
    Column("source", String(500), nullable=False),
    Column("reason", Text),
    Column("owner", String(200)),
    Column("due_at", UtcDateTime),
    Column("late_told_at", UtcDateTime),
    Column("wait_for", String(40)),
    Column("wait_until", UtcDateTime),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    _revision(),
    _seal(),
    UniqueConstraint("environment", "workflow", "business_key"),
    Index("ix_case_place", "run_id", "task", "id", "state"),
    Index("ix_case_state", "environment", "workflow", "state"),
    Index("ix_case_parent", "parent_id"),
)

case_secret = Table(
    "case_secret",
    metadata,
    _case_id(primary_key=True),
    Column("secret", LargeBinary(32), nullable=False),
)

payload = Table(
    "payload",
    metadata,
    _case_id(primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("body", Json, nullable=False),
)

case_run = Table(
    "case_run",
    metadata,
    Column("run_id", ForeignKey("workflow_run.id"), primary_key=True),
    _case_id(primary_key=True, index=True),
)

label = Table(
    "label",
    metadata,
    _case_id(primary_key=True),
    Column("field", String(100), primary_key=True),
    Column("value", Text, nullable=False),
    Column("source", String(500), nullable=False),
)

handoff = Table(
    "handoff",
    metadata,
    _id(),
    _case_id(index=True),
    Column("run_id", ForeignKey("workflow_run.id"), nullable=False),
    Column("task", String(250), nullable=False),
    Column("contract", String(120), nullable=False),
    Column("contract_name", String(100), nullable=False),
    _digest("contract_digest"),
    Column("agent", String(200), nullable=False),
    _digest("agent_digest"),
    _digest("input_digest"),
    _digest("key"),
    _digest("payload_digest"),
    Column("confidence", Float),
    Column("provenance", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    _seal(),
    UniqueConstraint("case_id", "task", "key", name="uq_handoff_case_task_key"),
)

decision = Table(
    "decision",
    metadata,
    _id(),
    _case_id(index=True),
    Column("run_id", ForeignKey("workflow_run.id")),
    Column("task", String(250), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("rule", String(300), nullable=False),
    Column("route", String(100), nullable=False),
    Column("confidence", Float),
    Column("threshold", Float),
    Column("version_id", ForeignKey("workflow_version.id"), nullable=False),
    _digest("inputs_digest"),
    Column("handoff_id", ForeignKey("handoff.id")),
    Column("decided_by", String(200), nullable=False),
    Column("error", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("policy_route", String(100)),
    Column("sample_rate", Float),
    _seal(),
    Index("ix_decision_run", "run_id"),
    Index("ix_decision_route", "route", "created_at"),
)

authorisation = Table(
    "authorisation",
    metadata,
    _id(),
    _case_id(index=True),
    Column("action", String(100), nullable=False),
    _digest("payload_digest"),
    Column("basis", String(80), nullable=False),
    Column("version_id", ForeignKey("workflow_version.id"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("withdrawn_at", UtcDateTime),
    Column("withdrawn_by", String(200)),
    _revision(),
    _seal(),
)

gate_request = Table(
    "gate_request",
    metadata,
    _id(),
    _case_id(index=True),
    Column("gate", String(100), nullable=False),
    Column("run_id", ForeignKey("workflow_run.id"), nullable=False),
    Column("task", String(250), nullable=False),
    Column("action", String(100), nullable=False),
    _digest("payload_digest"),
    _digest("seen_digest"),
    Column("votes_needed", Integer, nullable=False),
    Column("voters", Json, nullable=False),
    Column("version_id", ForeignKey("workflow_version.id"), nullable=False),
    Column("state", String(20), nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("decided_at", UtcDateTime),
    Column("stages", Json),
    Column("barred", Json),
    Column("steps", Json),
    _revision(),
    _seal(),
    Index("ix_gate_request_place", "run_id", "task", "state"),
    Index("ix_gate_request_state", "state"),
)

vote = Table(
    "vote",
    metadata,
    _id(),
    Column("request_id", ForeignKey("gate_request.id"), nullable=False),
    _case_id(index=True),
    Column("person", String(200), nullable=False),
    Column("answer", String(20), nullable=False),
    Column("reason", Text),
    _digest("seen_digest"),
    _digest("edited_digest", nullable=True),
    Column("way", String(40), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("person_name", String(200)),
    Column("roles", Json),
    Column("stage_order", Integer),
    Column("on_behalf_of", String(200)),
    _seal(),
    UniqueConstraint("request_id", "person", name="uq_vote_request_person"),
)

gate_listing = Table(
    "gate_listing",
    metadata,
    _id(),
    Column("run_id", ForeignKey("workflow_run.id"), nullable=False),
    Column("task", String(250), nullable=False),
    Column("listed", Json, nullable=False),
    Column("release_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("run_id", "task", name="uq_gate_listing_run_task"),
)

effect = Table(
    "effect",
    metadata,
    Column("key", String(64), primary_key=True),
    _case_id(index=True),
    Column("run_id", ForeignKey("workflow_run.id"), nullable=False),
    Column("task", String(250), nullable=False),
    Column("action", String(100), nullable=False),
    _digest("payload_digest"),
    Column("authorisation_id", ForeignKey("authorisation.id"), nullable=False),
    Column("state", String(20), nullable=False),
    Column("holder", String(32)),
    Column("lease_until", UtcDateTime),
    Column("attempts", Integer, nullable=False),
    Column("receipt", Json),
    Column("intended_at", UtcDateTime, nullable=False),
    Column("committed_at", UtcDateTime),
    _revision(),
)

usage = Table(
    "usage",
    metadata,
    _id(),
    Column("case_id", ForeignKey("case.id"), index=True),
    Column("run_id", ForeignKey("workflow_run.id"), nullable=False, index=True),
    Column("task", String(250), nullable=False),
    Column("agent", String(200), nullable=False),
    Column("model", String(200), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cost", Money),
    Column("seconds", Float, nullable=False),
    Column("outcome", String(60), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("kind", String(20)),
    Column("connection", String(200)),
    Column("price", String(100)),
)

budget_account = Table(
    "budget_account",
    metadata,
    Column("account", String(400), primary_key=True),
    Column("environment", String(20), nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
)

reservation = Table(
    "reservation",
    metadata,
    Column("holder", String(32), primary_key=True),
    Column("account", ForeignKey("budget_account.account"), primary_key=True),
    Column("run_id", ForeignKey("workflow_run.id"), nullable=False),
    Column("task", String(250), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("ix_reservation_place", "run_id", "task"),
    Index("ix_reservation_account", "account", "expires_at"),
)

connection_state = Table(
    "connection_state",
    metadata,
    Column("environment", String(20), primary_key=True),
    Column("connection", String(200), primary_key=True),
    Column("requests_at", BigInteger, nullable=False),
    Column("tokens_at", BigInteger, nullable=False),
    Column("paused_until", UtcDateTime),
    Column("failures", Integer, nullable=False),
    Column("opened_at", UtcDateTime),
    Column("probe_at", UtcDateTime),
)

permit = Table(
    "permit",
    metadata,
    Column("environment", String(20), primary_key=True),
    Column("connection", String(200), primary_key=True),
    Column("holder", String(32), primary_key=True),
    Column("wanted", Integer, nullable=False),
    Column("granted", Integer, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

provider_batch = Table(
    "provider_batch",
    metadata,
    _id(),
    Column("environment", String(20), nullable=False),
    Column("workflow", String(100), nullable=False),
    Column("run_id", ForeignKey("workflow_run.id"), nullable=False),
    Column("task", String(250), nullable=False),
    Column("agent", String(200), nullable=False),
    _digest("agent_digest"),
    Column("connection", String(200), nullable=False),
    Column("state", String(20), nullable=False),
    Column("provider_id", String(200)),
    Column("cases", Json, nullable=False),
    Column("reason", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    _revision(),
    Index("ix_provider_batch_place", "environment", "workflow", "task", "state"),
)

incident = Table(
    "incident",
    metadata,
    _id(),
    Column("environment", String(20), nullable=False),
    Column("workflow", String(100), nullable=False),
    Column("kind", String(60), nullable=False),
    Column("subject", String(250), nullable=False),
    Column("state", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("cases", Integer, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("acknowledged_at", UtcDateTime),
    Column("acknowledged_by", String(200)),
    Column("escalated_at", UtcDateTime),
    Column("closed_at", UtcDateTime),
    Column("closed_by", String(200)),
    _revision(),
    Index("ix_incident_state", "environment", "workflow", "state"),
)

outcome = Table(
    "outcome",
    metadata,
    _id(),
    _case_id(index=True),
    Column("outcome", String(60), nullable=False),
    Column("value", Money),
    Column("happened_at", UtcDateTime, nullable=False),
    Column("final_at", UtcDateTime),
    Column("recorded_by", String(200), nullable=False),
    Column("source", String(500), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("case_id", "outcome", "happened_at", name="uq_outcome_case_outcome_at"),
)

quote = Table(
    "quote",
    metadata,
    _id(),
    Column("environment", String(20), nullable=False),
    Column("workflow", String(100), nullable=False),
    Column("source", String(500), nullable=False),
    Column("cases", Integer, nullable=False),
    Column("estimate", Json, nullable=False),
    Column("run_id", ForeignKey("workflow_run.id")),
    Column("actual", Json),
    Column("created_at", UtcDateTime, nullable=False),
    _revision(),
    Index("ix_quote_workflow", "environment", "workflow", "created_at"),
)

task_attempt = Table(
    "task_attempt",
    metadata,
    Column("run_id", ForeignKey("workflow_run.id"), primary_key=True),
    Column("task", String(250), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("token", String(32), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("counts", Json),
)

agent_version = Table(
    "agent_version",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("workflow", String(100), nullable=False),
    Column("agent", String(200), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("report", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

quality_report = Table(
    "quality_report",
    metadata,
    _id(),
    Column("run_id", ForeignKey("workflow_run.id"), nullable=False, index=True),
    Column("task", String(250), nullable=False),
    Column("suite", String(100), nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("results", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("reading_id", String(32)),
)

reading = Table(
    "reading",
    metadata,
    _id(),
    Column("run_id", ForeignKey("workflow_run.id"), nullable=False),
    Column("task", String(250), nullable=False),
    Column("dataset", String(100), nullable=False),
    Column("source", String(500), nullable=False),
    Column("as_of", UtcDateTime, nullable=False),
    Column("state", String(20), nullable=False),
    Column("reasons", Json, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("quarantined", Integer, nullable=False),
    Column("columns", Json, nullable=False),
    Column("newest_at", UtcDateTime),
    Column("snapshot", String(64)),
    Column("quarantine", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("run_id", "dataset"),
    Index("ix_reading_dataset", "dataset", "created_at"),
)

fact = Table(
    "fact",
    metadata,
    Column("run_id", ForeignKey("workflow_run.id"), primary_key=True),
    Column("id", String(16), primary_key=True),
    Column("task", String(250), nullable=False),
    Column("dataset", String(100), nullable=False),
    Column("indicator", String(100), nullable=False),
    Column("name", String(200), nullable=False),
    Column("period_start", UtcDateTime, nullable=False),
    Column("body", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_fact_id", "id"),
)

kill_switch = Table(
    "kill_switch",
    metadata,
    _id(),
    Column("environment", String(20), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("name", String(310), nullable=False),
    Column("off_by", String(200), nullable=False),
    Column("off_at", UtcDateTime, nullable=False),
    Column("off_reason", Text, nullable=False),
    Column("on_by", String(200)),
    Column("on_at", UtcDateTime),
    Column("on_reason", Text),
    _revision(),
    Index("ix_kill_switch_name", "environment", "kind", "name"),
)

notice = Table(
    "notice",
    metadata,
    _id(),
    Column("environment", String(20), nullable=False),
    Column("workflow", String(100), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("recipients", Json, nullable=False),
    Column("subject", String(300), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("tried_at", UtcDateTime),
    _revision(),
    Index("ix_notice_state", "environment", "state"),
)

audit_chain = Table(
    "audit_chain",
    metadata,
    Column("chain", String(120), primary_key=True),
    Column("length", BigInteger, nullable=False),
    _digest("head"),
)

audit_event = Table(
    "audit_event",
    metadata,
    Column("chain", String(120), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(60), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("body", Text, nullable=False),
    _digest("previous"),
    _digest("digest"),
    Index("ix_audit_event_subject", "subject"),
)

anchor = Table(
    "anchor",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("taken_at", UtcDateTime, nullable=False),
    Column("taken_by", String(200), nullable=False),
    Column("chains", Json, nullable=False),
    _digest("previous"),
    _digest("digest"),
)

STATE_TABLES: tuple[Table, ...] = (
    workflow_version,
    approval,
    deployment,
    delegation,
    version_in_force,
    workflow_run,
    case,
    handoff,
    decision,
    authorisation,
    gate_request,
    vote,
    gate_listing,
    effect,
    usage,
    agent_version,
    quality_report,
    reading,
    fact,
    label,
    anchor,
    kill_switch,
    notice,
    provider_batch,
    incident,
    outcome,
    quote,
)
"""Tables whose every row is told of by an event, so that verifying can hold the two against each other."""
