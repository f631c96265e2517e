"""
Carrying effects out, once each, and only what is authorised.

Before anything is sent the effect is claimed in the ledger, in the transaction that checks the authorisation against
the digest of what is sent. An effect that an earlier attempt may have sent is looked for at the target before it is
repeated.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from interlock.domain.cases.case import CaseState
from interlock.domain.effects.connector import DUTIES, Connector, EffectRequest, Receipt, effect_key
from interlock.engine.agents.permission import why_not_automatic
from interlock.engine.effects.metered import MeteredConnector
from interlock.engine.incidents.incident import report_failures, report_recovery, stop_reported
from interlock.engine.runs.session import Session
from interlock.errors import (
    ConnectorError,
    ConnectorUnavailable,
    EffectInDoubt,
    EffectRefused,
    InterlockError,
    NotAuthorised,
    SwitchedOff,
)
from interlock.ledger.cases.case import CaseFile, cases_at, load_files, move
from interlock.ledger.cases.handoff import draft_of, load_handoffs
from interlock.ledger.cost.usage_row import charge_calls
from interlock.ledger.effects.effect import Claim, claim, commit, give_back
from interlock.ledger.store.record import CaseChange

GROUP = 16
"""Effects that are claimed at once: what a crash leaves to be looked for. Where nobody can look, one."""
LEASE_MINIMUM = timedelta(seconds=20)


def execute_cases(session: Session, connector: Connector) -> dict[str, int]:
    """
    Carry out the effect of every authorised case that stands at the task; return counts.

    A case without an authorisation for exactly what would be sent is a dead letter, and nothing is sent for it.

    :raises ConnectorUnavailable: the target did not answer for any case of a group. A retry of the task can help.
    :raises NotAuthorised: the policy says that the connector is never to be used.
    :raises SwitchedOff: a person stopped the workflow or the connector. It is asked before every effect.
    """
    with stop_reported(session):
        return _execute(session, connector)


def _execute(session: Session, connector: Connector) -> dict[str, int]:
    session.check_switches()
    action = session.task.connector or ""
    if session.version.bundle.policy.autonomy.get(action) == "never":
        raise NotAuthorised(f"the policy says that {action!r} is never to be used (autonomy); nothing was sent")
    executor = _Executor(session, connector)
    while True:
        with session.read() as connection:
            rows = cases_at(connection, session.run, session.task.task_id, limit=executor.group, after=executor.after)
            files = load_files(connection, rows)
            drafts = load_handoffs(connection, [row.draft_id for row in rows if row.draft_id])
        if not rows:
            if not executor.wait_for_leases():
                break
            continue
        executor.after = rows[-1].id
        contracts = {file.id: drafts[file.case.draft_id].contract_name for file in files if file.case.draft_id}
        executor.carry_out(
            {file.id: (file, *draft_of(file, drafts)) for file in files},
            needs_vote={case_id for case_id, name in contracts.items() if why_not_automatic(session, action, name)},
        )
    executor.tell_recovery()
    return session.finish()


class _Executor:
    def __init__(self, session: Session, connector: Connector) -> None:
        self.session, self.action = session, session.task.connector or ""
        declared = session.company.connectors.get(self.action)
        self.connector = MeteredConnector(connector, conn_id=declared.conn_id if declared else None)
        self.group = 1 if declared and not declared.can_be_asked else GROUP
        self.lease = max(LEASE_MINIMUM, timedelta(seconds=connector.timeout_seconds * 4))
        self.after = ""
        self.leased_seconds = 0.0
        settings = session.version.bundle.settings
        self._people = {duty: getattr(settings, duty).email for duty in DUTIES}
        self.gave_up = False

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
        self.leased_seconds, self.after = 0.0, ""
        return True

    def carry_out(
        self, cases: Mapping[str, tuple[CaseFile, Mapping[str, Any], str]], *, needs_vote: Collection[str]
    ) -> None:
        """Claim, send and commit a group; what a policy alone allowed is refused for the cases of *needs_vote*."""
        session = self.session
        lease_ends = time.monotonic() + self.lease.total_seconds()  # before the ledger is waited for, as the lease does
        with session.write() as tx:
            claimed = claim(
                tx,
                session.run,
                session.attempt,
                [file for file, *_ in cases.values()],
                action=self.action,
                payload_digests={case_id: payload_digest for case_id, (_, _, payload_digest) in cases.items()},
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
            if claimed.leased_until is not None:
                self.leased_seconds = max(self.leased_seconds, (claimed.leased_until - tx.at).total_seconds() + 0.1)
        session.count("refused_unauthorised", len(claimed.unauthorised))
        for file in claimed.unauthorised:
            session.log.error("case %s: %s", file.case.business_key, self._refusal())
        self._send_all(claimed.claims, {case_id: payload for case_id, (_, payload, _) in cases.items()}, lease_ends)

    def _send_all(self, claims: list[Claim], payloads: Mapping[str, Mapping[str, Any]], lease_ends: float) -> None:
        session = self.session
        done: list[tuple[Claim, str, Mapping[str, Any]]] = []
        failed: list[tuple[Claim, InterlockError]] = []
        unsent: list[Claim] = []
        off: SwitchedOff | None = None
        try:
            for one in claims:
                if off or time.monotonic() + self.connector.timeout_seconds * 2 > lease_ends:  # a look, and a sending
                    unsent.append(one)
                    continue
                try:
                    receipt = self._send(one, payloads[one.file.id], lease_ends)
                except SwitchedOff as error:
                    off = error
                    unsent.append(one)
                except ConnectorError as error:
                    failed.append((one, error))
                else:
                    done.append((one, receipt.reference, receipt.detail))
        finally:
            with session.write(settles=True) as tx:
                commit(tx, done, next_task=None)
                calls = self.connector.take({one.effect.key: one.file.id for one in claims})
                charge_calls(tx, session.run.place(session.task.task_id), calls, company=session.company)
        session.count("sent", len(done))
        down = [one for one, error in failed if isinstance(error, ConnectorUnavailable)]
        with session.write(settles=True) as tx:
            surely_not = [one for one, error in failed if isinstance(error, ConnectorUnavailable) and error.surely_not]
            give_back(tx, unsent + [one for one in down if one not in surely_not])
            give_back(tx, surely_not, state="unsent")
            give_back(tx, [one for one, error in failed if isinstance(error, EffectInDoubt)])
            refused = [(one, error) for one, error in failed if isinstance(error, EffectRefused)]
            give_back(tx, [one for one, _ in refused], state="refused")
            report_failures(tx, session, [(self._subject, error) for _, error in failed])
        self.gave_up = self.gave_up or bool(failed)
        if unsent:
            self.after = ""
        if off is None and down and not done and len(down) == len(claims):
            raise ConnectorUnavailable(
                f"connector {self.connector.name!r} took none of {len(down)} effects: {failed[0][1]}. "
                "They stay intended and are looked for before a repeat"
            )
        with session.write(settles=True) as tx:
            move(
                tx,
                [(one.file.case, CaseChange(state=CaseState.DEAD, reason=_reason(error))) for one, error in failed],
                kind="execution.failed",
            )
        session.count("failed", len(failed))
        session.log.info("%s", ", ".join(f"{count} {what}" for what, count in session.counts.items()) or "nothing sent")
        if off is not None:
            raise off

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
            self.session.check_switches()
            try:
                found = self.connector.look(request) if look_first else None
                return found if found is not None else self.connector.send(request)
            except ConnectorUnavailable as error:
                recovery = self.session.version.bundle.policy.recovery(error)
                pause = max(
                    recovery.backoff_seconds * 2 ** (attempt - 1) * random.uniform(0.5, 1.5),
                    error.retry_after_seconds or 0.0,
                )
                if (
                    attempt > recovery.retries
                    or time.monotonic() + pause + self.connector.timeout_seconds * 2 > lease_ends
                ):
                    raise
                look_first = not error.surely_not
                time.sleep(pause)

    def _key(self, file: CaseFile, payload_digest: str) -> str:
        run = self.session.run
        return effect_key(run.environment, run.workflow, file.case.business_key, self.action, payload_digest)

    @property
    def _subject(self) -> str:
        return f"connector {self.connector.name}"

    def _refusal(self) -> str:
        return (
            f"NotAuthorised at {self.session.task.task_id}: nothing allows {self.action!r} for exactly this content. "
            "Nothing was sent; resubmit the case to have it checked and decided again"
        )


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
