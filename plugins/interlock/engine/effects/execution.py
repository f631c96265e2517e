"""
Carrying effects out, once each, and only what is authorised.

Before anything is sent the effect is claimed in the ledger, in the transaction that compares the authorisation with
the digest of what is sent, and looks at the seals of all that it rests on. An effect that an earlier attempt may have
sent is looked for at the target before it is repeated.

As many effects are under way at once as the connector lets be in flight, each in a thread of its own. Only this thread
writes to the ledger, and it commits as answers come.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from interlock.domain.base.backoff import backoff_seconds
from interlock.domain.cases.case import CaseState
from interlock.domain.effects.connector import DUTIES, Connector, EffectRequest, Receipt, effect_key
from interlock.engine.agents.permission import why_not_automatic
from interlock.engine.approvals.review_action import ask_again
from interlock.engine.cases.station import Station
from interlock.engine.effects.metered import MeteredConnector
from interlock.engine.incidents.incident import report_failures, report_recovery, stop_reported
from interlock.engine.runs.session import Session
from interlock.engine.runs.switch_watch import watched_switches
from interlock.errors import (
    ConfigurationError,
    ConnectorError,
    ConnectorUnavailable,
    EffectInDoubt,
    EffectRefused,
    InterlockError,
    NotAuthorised,
    SwitchedOff,
    Tampered,
)
from interlock.ledger.approvals.gate import request_gate
from interlock.ledger.cases.case import CaseFile, move
from interlock.ledger.cases.handoff import draft_of
from interlock.ledger.cost.usage_row import charge_calls
from interlock.ledger.effects.authorisation import withdraw
from interlock.ledger.effects.effect import Claim, claim, commit, demand_sealer, give_back
from interlock.ledger.effects.evidence import basis_of
from interlock.ledger.store.record import Authorisation, CaseChange
from interlock.ledger.store.transaction import Transaction

GROUP = 16
"""Effects that are claimed at once for each that may be in flight: what a crash leaves to be looked for. Where nobody
can look, one."""
COMMIT_SECONDS = 0.25
"""How long a confirmed effect waits for others to be committed with."""
IN_A_ROW = 16
"""Effects without an answer, and none with one between them, that show that the target is down."""
LEASE_MINIMUM = timedelta(seconds=20)


def execute_cases(session: Session, connector: Connector) -> dict[str, int]:
    """
    Carry out the effect of every authorised case that stands at the task; return counts.

    A case without an authorisation for exactly what would be sent is a dead letter, and nothing is sent for it. So is
    one with a row that was changed in the database; an incident names the row.

    :raises ConfigurationError: the ledger was opened without the seal's key.
    :raises ConnectorUnavailable: the target did not answer for any case of a group. A retry of the task can help.
    :raises NotAuthorised: the policy says that the connector is never to be used.
    :raises SwitchedOff: a person stopped the workflow or the connector. It is asked before every effect.
    """
    with stop_reported(session):
        return _execute(session, connector)


def _execute(session: Session, connector: Connector) -> dict[str, int]:
    session.check_switches()
    demand_sealer(session.ledger.seal)
    action = session.task.connector or ""
    if session.version.bundle.policy.autonomy.get(action) == "never":
        raise NotAuthorised(f"the policy says that {action!r} is never to be used (autonomy); nothing was sent")
    executor = _Executor(session, connector)
    station = Station(session, limit=executor.group, handoffs=["draft_id"], check=lambda: None)
    while True:
        for group in station.groups():
            names = {file.id: draft.contract_name for file in group.files if (draft := group.draft_of(file))}
            if executor.carry_out(
                {file.id: (file, draft_of(file, group.handoffs)[0]) for file in group.files},
                needs_vote={case_id for case_id, name in names.items() if why_not_automatic(session, action, name)},
            ):
                station.restart()
        if not executor.wait_for_leases():
            break
        station.restart()
    executor.tell_recovery()
    return session.finish()


@dataclass
class _Sent:
    """What came of sending the effects of a group. Threads add to it, with the lock held."""

    done: list[tuple[Claim, str, Mapping[str, Any]]] = field(default_factory=list)
    """Claim, reference, detail."""
    failed: list[tuple[Claim, InterlockError]] = field(default_factory=list)
    """Their own failures: their cases are dead letters."""
    in_a_row: list[tuple[Claim, ConnectorError]] = field(default_factory=list)
    """Failed since the last answer about an effect: their own failures, or the target's, as the next ones show."""
    stays: list[tuple[Claim, InterlockError]] = field(default_factory=list)
    """Failed by what stops the task: their cases stay where they are."""
    open: set[str] = field(default_factory=set)
    """Keys of those that an earlier attempt may have sent, and that could not be looked for."""
    unsent: list[Claim] = field(default_factory=list)
    """Not handed over: the lease was too short, or the task stops."""
    off: SwitchedOff | None = None
    stop: InterlockError | None = None
    """What concerns every case: the set-up, a rate limit, a target that is down."""
    is_broken: bool = False
    """This process cannot go on: nothing more is sent."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    committed: int = 0
    """How many of those done are in the ledger."""

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more may be sent."""
        return self.is_broken or self.off is not None or self.stop is not None

    def answered(self) -> None:
        """Note that the target answered about an effect: what failed before it were those effects' own failures."""
        self.failed.extend(self.in_a_row)
        self.in_a_row.clear()

    def settle(self, connector: str) -> None:
        """Decide, now that all are through, what the last failures in a row were."""
        accounts = [error for _, error in self.in_a_row if _may_be_set_up(error)]
        if self.stop is None and self.off is None:
            if len(accounts) > 1:
                self.stop = _set_up(connector, accounts)
            elif self.in_a_row and not accounts and not self.done and not self.failed:
                self.stop = _down(connector, [error for _, error in self.in_a_row])
        (self.failed if self.stop is None else self.stays).extend(self.in_a_row)
        self.in_a_row.clear()


class _Executor:
    def __init__(self, session: Session, connector: Connector) -> None:
        self.session, self.action = session, session.task.connector or ""
        declared = session.company.connectors.get(self.action)
        self.connector = MeteredConnector(connector, conn_id=declared.conn_id if declared else None)
        can_be_asked = declared is None or declared.can_be_asked
        self.group = GROUP * self.connector.in_flight if can_be_asked else 1
        self.lease = max(LEASE_MINIMUM, timedelta(seconds=connector.timeout_seconds * 4))
        self.leased_seconds = 0.0
        settings = session.version.bundle.settings
        self._people = {duty: getattr(settings, duty).email for duty in DUTIES}
        self.gave_up = False
        self._has_sent = False
        self._check_switches = session.check_switches
        self._not_before = 0.0
        """A target that asks for a pause asks all threads."""

    def tell_recovery(self) -> None:
        """Close the connector's incidents when effects were taken and none failed."""
        if self.session.counts.get("sent") and not self.gave_up:
            report_recovery(self.session, [self._subject])

    def wait_for_leases(self) -> bool:
        """
        Wait for effects that another process holds, and tell whether there are any: then they are ours to look for.
        """
        if not self.leased_seconds:
            return False
        self.session.log.info("another attempt holds some effects; waiting %.0f s for its lease", self.leased_seconds)
        time.sleep(self.leased_seconds)
        self.leased_seconds = 0.0
        return True

    def carry_out(
        self, cases: Mapping[str, tuple[CaseFile, Mapping[str, Any]]], *, needs_vote: Collection[str]
    ) -> bool:
        """
        Claim, send and commit a group; return whether some of it was not sent and can be claimed again.

        What a policy alone allowed is refused for the cases of *needs_vote*.
        """
        session = self.session
        lease_ends = time.monotonic() + self.lease.total_seconds()  # before the ledger is waited for, as the lease does
        with session.write() as tx:
            claimed = claim(
                tx,
                session.run,
                session.attempt,
                [file for file, _ in cases.values()],
                action=self.action,
                payloads={case_id: payload for case_id, (_, payload) in cases.items()},
                key_of=self._key,
                lease=self.lease,
                needs_vote=needs_vote,
            )
            move(
                tx,
                [
                    (file.case, CaseChange(state=CaseState.DEAD, reason=self._refusal()))
                    for file in claimed.unauthorised
                ],
                kind="execution.refused",
            )
            self._refuse_tampered(tx, claimed.tampered)
            self._ask_again(tx, claimed.to_ask_again)
            if claimed.leased_until is not None:
                self.leased_seconds = max(self.leased_seconds, (claimed.leased_until - tx.at).total_seconds() + 0.1)
        session.count("refused_unauthorised", len(claimed.unauthorised) + len(claimed.tampered))
        for file in claimed.unauthorised:
            session.log.error("case %s: %s", file.case.business_key, self._refusal())
        for file, tampering in claimed.tampered:
            session.log.error("case %s: %s", file.case.business_key, self._refusal(tampering))
        sent = self._send_all(claimed.claims, {i: payload for i, (_, payload) in cases.items()}, lease_ends)
        self._give_up(claimed.claims, sent)
        if sent.off is not None:
            raise sent.off
        return bool(sent.unsent)

    def _refuse_tampered(self, tx: Transaction, tampered: Sequence[tuple[CaseFile, Tampered]]) -> None:
        """Let cases be dead letters that rest on what was not written with the key; an incident names each row."""
        move(
            tx,
            [(file.case, CaseChange(state=CaseState.DEAD, reason=self._refusal(error))) for file, error in tampered],
            kind="execution.refused",
        )
        report_failures(tx, self.session, [(error.subject, error) for _, error in tampered])

    def _ask_again(self, tx: Transaction, unsealed: Sequence[tuple[CaseFile, Authorisation]]) -> None:
        """Bring cases that were authorised before there were seals back to their gate, or to validation."""
        run = self.session.run
        for file, grant in unsealed:
            withdraw(tx, file.id)
            task, reason = None, "authorised before there were seals: it is asked again"
            if asked := basis_of(grant, "gate_request"):
                task = run.wiring.gate_task(request_gate(tx.connection, asked))
            if task is not None:
                change = CaseChange(state=CaseState.WAITING, task=task.task_id, reason=reason)
                (moved,) = move(tx, [(file.case, change)], kind="execution.asked_again")
                ask_again(tx, run, moved, task.task_id)
                continue
            validations = run.wiring.of_kind("validation")
            change = CaseChange(state=CaseState.DEAD, reason=f"{reason}, and no task does")
            if validations:
                change = CaseChange(
                    state=CaseState.ROUTED, task=validations[0].task_id, run_id=None, reason=reason
                )  # a resume run resumes it
            move(tx, [(file.case, change)], kind="execution.asked_again")
        self.session.count("asked_again", len(unsealed))

    def _send_all(self, claims: Sequence[Claim], payloads: Mapping[str, Mapping[str, Any]], lease_ends: float) -> _Sent:
        """Send what was claimed, and record what took place whatever breaks off."""
        sent, case_of = _Sent(), {one.effect.key: one.file.id for one in claims}
        try:
            if self.connector.in_flight == 1 or len(claims) < 2:
                for one in claims:
                    self._try(one, payloads[one.file.id], lease_ends, sent)
            else:
                self._send_at_once(claims, payloads, lease_ends, sent, case_of)
        finally:
            self._record(sent, case_of)
        self.session.count("sent", len(sent.done))
        return sent

    def _send_at_once(
        self,
        claims: Sequence[Claim],
        payloads: Mapping[str, Mapping[str, Any]],
        lease_ends: float,
        sent: _Sent,
        case_of: Mapping[str, str],
    ) -> None:
        threads = min(self.connector.in_flight, len(claims))
        with watched_switches(self.session) as check, ThreadPoolExecutor(threads, thread_name_prefix="send") as pool:
            self._check_switches = check
            try:
                under_way = {pool.submit(self._try, one, payloads[one.file.id], lease_ends, sent) for one in claims}
                while under_way:
                    ended, under_way = wait(under_way, timeout=COMMIT_SECONDS)
                    for each in ended:
                        each.result()
                    if under_way:
                        self._record(sent, case_of)
            except BaseException:
                sent.is_broken = True  # those under way end; the others are not begun
                raise
        self._check_switches = self.session.check_switches

    def _record(self, sent: _Sent, case_of: Mapping[str, str]) -> None:
        """Commit what took place since the last time, and the calls that were made."""
        session, done = self.session, sent.done[sent.committed :]
        with session.write(settles=True) as tx:
            commit(tx, done, next_task=None)
            calls = self.connector.take(case_of)
            charge_calls(tx, session.run.place(session.task.task_id), calls, company=session.company)
        sent.committed += len(done)

    def _try(self, one: Claim, payload: Mapping[str, Any], lease_ends: float, sent: _Sent) -> None:
        """Send one effect unless the task stops, and note what came of it."""
        pause = self._not_before - time.monotonic()
        # Time for a look, and a sending.
        if sent.is_stopped or time.monotonic() + max(pause, 0.0) + self.connector.timeout_seconds * 2 > lease_ends:
            with sent.lock:
                sent.unsent.append(one)
            return
        if pause > 0:
            time.sleep(pause)
        try:
            receipt = self._send(one, payload, lease_ends)
        except SwitchedOff as error:
            with sent.lock:
                sent.off = error
                sent.unsent.append(one)
        except _Stopped as stopped:
            with sent.lock:
                sent.stop = sent.stop or stopped.error
                sent.stays.append((one, stopped.error))
                if stopped.is_open:
                    sent.open.add(one.effect.key)
        except ConnectorError as error:
            with sent.lock:
                self._note_failure(one, error, sent)
        else:
            with sent.lock:
                sent.done.append((one, receipt.reference, receipt.detail))
                sent.answered()
                self._has_sent = True

    def _note_failure(self, one: Claim, error: ConnectorError, sent: _Sent) -> None:
        if isinstance(error, ConnectorUnavailable) and error.asks_to_wait:
            sent.stays.append((one, error))
            sent.stop = sent.stop or error
        elif isinstance(error, ConnectorUnavailable) or _may_be_set_up(error):
            sent.in_a_row.append((one, error))
            errors = [each for _, each in sent.in_a_row]
            accounts = [each for each in errors if _may_be_set_up(each)]
            if len(accounts) >= (IN_A_ROW if self._has_sent else 2):
                sent.stop = sent.stop or _set_up(self.connector.name, accounts)
            elif len(errors) - len(accounts) >= IN_A_ROW:
                sent.stop = sent.stop or _down(self.connector.name, errors)
        else:
            sent.failed.append((one, error))
            if isinstance(error, EffectRefused):
                sent.answered()

    def _give_up(self, claims: Sequence[Claim], sent: _Sent) -> None:
        """
        Free what was not sent, and let the cases of what failed be dead letters.

        :raises ConnectorUnavailable: the target took no effect, or asks for a pause: its cases stay where they are.
        :raises ConfigurationError: the set-up is wrong, and no case: they stay where they are.
        """
        session = self.session
        sent.settle(self.connector.name)
        states: dict[str, list[Claim]] = {"intended": list(sent.unsent), "unsent": [], "refused": []}
        for one, error in sent.failed:
            states["refused" if isinstance(error, EffectRefused) else _state_after(error)].append(one)
        for one, error in sent.stays:
            states["intended" if one.effect.key in sent.open else _state_after(error)].append(one)
        is_set_up = isinstance(sent.stop, ConfigurationError)
        stayed = [sent.stop if is_set_up and sent.stop else error for _, error in sent.stays]
        dead = [(one.file.case, CaseChange(state=CaseState.DEAD, reason=_reason(error))) for one, error in sent.failed]
        with session.write(settles=True) as tx:
            for state, freed in states.items():
                give_back(tx, freed, state=state)
            report_failures(tx, session, [(self._subject, error) for error in [*(e for _, e in sent.failed), *stayed]])
            move(tx, dead, kind="execution.failed")
        self.gave_up = self.gave_up or bool(sent.failed or sent.stays)
        session.count("failed", len(sent.failed))
        session.log.info("%s", ", ".join(f"{count} {what}" for what, count in session.counts.items()) or "nothing sent")
        if sent.off is None and sent.stop is not None:
            raise sent.stop

    def _send(self, one: Claim, payload: Mapping[str, Any], lease_ends: float) -> Receipt:
        """Send one effect, by the runbook; a repeat, and what an earlier attempt may have sent, is looked for first."""
        request = EffectRequest(
            key=one.effect.key,
            business_key=one.file.case.business_key,
            action=self.action,
            payload=payload,
            environment=self.session.run.environment,
            case=one.file.payload,
            people=self._people,
        )
        look_first, attempt = one.look_first, 0
        while True:
            attempt += 1
            self._check_switches()
            try:
                found = self.connector.look(request) if look_first else None
                look_first = False
                return found if found is not None else self.connector.send(request)
            except ConfigurationError as error:
                raise _Stopped(error, is_open=look_first) from error
            except ConnectorUnavailable as error:
                recovery = self.session.version.bundle.policy.recovery(error)
                pause = backoff_seconds(
                    attempt,
                    first=recovery.backoff_seconds,
                    uniform=random.uniform,
                    retry_after=error.retry_after_seconds,
                )
                if (
                    attempt > recovery.retries
                    or time.monotonic() + pause + self.connector.timeout_seconds * 2 > lease_ends
                ):
                    raise
                look_first = not error.surely_not
                if error.asks_to_wait:
                    self._not_before = max(self._not_before, time.monotonic() + pause)
                time.sleep(pause)

    def _key(self, file: CaseFile, payload_digest: str) -> str:
        run = self.session.run
        return effect_key(run.environment, run.workflow, file.case.business_key, self.action, payload_digest)

    @property
    def _subject(self) -> str:
        return f"connector {self.connector.name}"

    def _refusal(self, tampering: Tampered | None = None) -> str:
        if tampering is not None:
            return (
                f"NotAuthorised at {self.session.task.task_id}: {str(tampering).rstrip('.')}. Nothing was sent. "
                "Restore the row from a backup and resubmit the case, or close it"
            )
        return (
            f"NotAuthorised at {self.session.task.task_id}: nothing allows {self.action!r} for exactly this content. "
            "Nothing was sent; resubmit the case to have it checked and decided again"
        )


class _Stopped(Exception):
    """A connector that cannot work as it is set up."""

    def __init__(self, error: ConfigurationError, *, is_open: bool) -> None:
        """*is_open*: it happened at a look, so that the outcome of an earlier attempt stays unknown."""
        super().__init__(str(error))
        self.error, self.is_open = error, is_open


def _may_be_set_up(error: InterlockError) -> bool:
    return isinstance(error, EffectRefused) and error.may_be_set_up


def _set_up(connector: str, errors: Sequence[InterlockError]) -> ConfigurationError:
    return ConfigurationError(
        f"connector {connector!r} refused {len(errors)} different cases alike: {errors[0]}. So it is the account or "
        "the address, not a case. They stay where they are, and nothing of them was sent: correct the connection, and "
        "clear the task or resume"
    )


def _down(connector: str, errors: Sequence[InterlockError]) -> ConnectorUnavailable:
    return ConnectorUnavailable(
        f"connector {connector!r} took none of {len(errors)} effects: {errors[0]}. "
        "They stay intended and are looked for before a repeat"
    )


def _state_after(error: InterlockError) -> str:
    """Return the state of an effect that was not refused for itself; ``unsent``: nobody needs to look."""
    if isinstance(error, (EffectRefused, ConfigurationError)):
        return "unsent"
    return "unsent" if isinstance(error, ConnectorUnavailable) and error.surely_not else "intended"


def _reason(error: InterlockError) -> str:
    unknown = ""
    if isinstance(error, EffectInDoubt):
        unknown = " Ask who should have it, and say what came of it: airflow interlock cases reconcile"
    elif isinstance(error, ConnectorUnavailable) and not error.surely_not:
        unknown = " It is not known whether it took place; a resubmitted case is looked for first"
    return f"{type(error).__name__}: {str(error).rstrip('.')}.{unknown}"


def connector_of(session: Session, name: str) -> Any:
    """
    Return the declaration of connector *name* in the company's files that the run pinned.

    :raises UnknownName: they declare no such connector.
    """
    from interlock.domain.effects.connector import pick_connector

    return pick_connector(session.company.connectors, name)
