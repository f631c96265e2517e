"""
Work that can wait, asked about in batches of the provider.

Sent is: written as intended with the money set aside and the cases waiting, then brought to the provider, then run. A
batch outlives the task that sent it and holds no worker: whatever run comes to the task next looks how it stands and
takes up its cases when it is over. What the crash of a process leaves unclear is found again at the provider by the
batch's name, so nothing is sent or counted twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from interlock.domain.agents.agent import ModelAgent
from interlock.domain.agents.agent_protocol import Answer, Failure, Hold, Work
from interlock.domain.base.contract import Contract
from interlock.domain.base.plural import counted
from interlock.domain.cases.case import CaseState
from interlock.engine.agents.fallback_chain import Carrier
from interlock.engine.agents.result_writer import ResultWriter
from interlock.engine.agents.work_item import WorkItem
from interlock.errors import AgentUnavailable, BatchRefused, InterlockError
from interlock.ledger.agents.provider_batch import (
    WITH_PROVIDER,
    change_batch,
    end_batch,
    intend_batch,
    open_batches,
    take_up_batch,
    uncounted,
    usage_id,
)
from interlock.ledger.cases.case import CaseFile, going_on, load_files, lock_cases, move
from interlock.ledger.store.record import CaseChange, ProviderBatch
from interlock.ledger.store.transaction import new_id

if TYPE_CHECKING:
    from interlock.agents.batch_call import Sent, Written
    from interlock.agents.batch_client import BatchClient, Reply
    from interlock.agents.batch_client import BatchStatus as AtProvider
    from interlock.agents.model import TextModelAgent

LATE = timedelta(hours=1)
"""How long after its window a batch is still waited for."""
MARGIN = timedelta(hours=2)
"""A case is asked about directly when a batch could come back later than this before the case is due."""
UNCLEAR = timedelta(minutes=2)
"""How long after a request to run a batch it may still appear at the provider."""
UPLOADS = timedelta(minutes=15)
"""How long another run may take to bring a batch to the provider."""
FULL = timedelta(minutes=15)
"""How long cases wait whose batch the provider had no room for."""
MOST_BYTES = 100_000_000
"""Of one batch; OpenAI takes 200 MB."""


@dataclass(frozen=True)
class Returned:
    """A batch that is over, with what it holds."""

    row: ProviderBatch
    status: str
    replies: Mapping[str, Reply]
    at_provider: AtProvider | None = None

    def sent(self, case_id: str) -> Sent:
        """Return what is known of a case's request."""
        from interlock.agents.batch_call import Sent

        most = self.row.cases[case_id]["most"]
        hold = None if most is None else Hold(self.row.id, most)
        return Sent(self.row.agent, self.row.connection, hold, usage_id(self.row.id, case_id))


class Batches:
    """The batches of one task: those that it sends, and those that are out."""

    def __init__(self, carrier: Carrier, contract: type[Contract], writer: ResultWriter) -> None:
        self.carrier, self.contract, self.writer = carrier, contract, writer
        self.session = carrier.session
        self._out: set[str] = set()
        self._refused = False

    @cached_property
    def client(self) -> BatchClient | None:
        """The provider's interface for batches; None when the agent's model has none that we speak."""
        if self.carrier.agent.kind != "model":
            return None
        from interlock.agents.batch_call import batch_client

        return batch_client(self._agent.name, self._agent.declaration, self._agent.new_model())

    @property
    def _agent(self) -> TextModelAgent:
        return cast("TextModelAgent", self.carrier.agent)

    def send(self, pending: dict[str, WorkItem], works: Mapping[str, Work]) -> dict[str, WorkItem]:
        """Send what can wait, and return what is to be asked about directly."""
        declared = self.carrier.declaration
        if not isinstance(declared, ModelAgent) or declared.urgency == "now" or self._refused or self.client is None:
            return pending
        back = self.session.ledger.clock() + declared.batch_window + MARGIN
        waits = {
            case_id: case
            for case_id, case in pending.items()
            if case_id not in self._out and (case.file.case.due_at is None or case.file.case.due_at >= back)
        }
        if not waits:
            return pending
        from interlock.agents.batch_call import write_calls

        written = write_calls(self._agent, [works[case_id] for case_id in waits], self.contract)
        gone: set[str] = set()
        for group in _groups(written):
            gone |= self._send_group(declared, waits, group)
            if self._refused:
                break
        return {case_id: case for case_id, case in pending.items() if case_id not in gone}

    def _send_group(
        self, declared: ModelAgent, waits: Mapping[str, WorkItem], written: Mapping[str, Written]
    ) -> set[str]:
        """Send one batch; return the cases that wait for it."""
        row, cases = self._intend(declared, waits, written)
        if row is None or not cases:
            return set()
        client, session = self.client, self.session
        assert client is not None
        endpoint = next(iter(written.values())).endpoint
        created: AtProvider | None = None
        try:
            file = client.upload(row.id, {case_id: written[case_id].body for case_id in cases}, endpoint)
            with session.write() as tx:
                sending = change_batch(tx, row, "intended", sent_at=tx.at)
            if sending is None:
                session.log.warning("batch %s was given up by another run, which has its cases", row.id)
                return set(cases)
            row = sending
            created = client.create(row.id, file, endpoint, declared.batch_window)
        except InterlockError as error:
            if isinstance(error, AgentUnavailable) and row.sent_at is not None:
                created = self._find(row)
                if created is None:
                    session.log.warning("%s; whether batch %s runs is looked up later", error, row.id)
                    return self._count_out(cases)
            elif isinstance(error, BatchRefused) and error.retry_after_seconds is not None:
                return self._wait_for_room(row, cases, error)
            else:
                self._give_back(row, cases, str(error))
                if not isinstance(error, BatchRefused):
                    raise
                self._refused = True
                session.log.warning("%s, so %d cases are asked about directly", error, len(cases))
                return set()
        self._note_submitted(row, created)
        session.log.info("%s with the provider in batch %s", counted(len(cases), "case", "are"), created.id)
        return self._count_out(cases)

    def _count_out(self, cases: Mapping[str, WorkItem]) -> set[str]:
        self.session.count("waiting", len(cases))
        self.session.count("with_provider", len(cases))
        return set(cases)

    def _intend(
        self, declared: ModelAgent, waits: Mapping[str, WorkItem], written: Mapping[str, Written]
    ) -> tuple[ProviderBatch | None, dict[str, WorkItem]]:
        """Set the money aside, let the cases wait and write that they will be sent."""
        session, carrier, batch_id = self.session, self.carrier, new_id()
        with session.write() as tx:
            expires_at = tx.at + declared.batch_window
            locked = {row.id: row for row in lock_cases(tx, [waits[case_id].file.case for case_id in written])}
            held = carrier.purse.set_aside(
                tx,
                batch_id,
                [written[case_id].planned for case_id in written if case_id in locked],
                until=expires_at + LATE,
                has_cheaper=declared.cheaper is not None,
            )
            if not held:
                return None, {}
            row = intend_batch(
                tx,
                session.run,
                batch_id,
                task=session.task.task_id,
                agent=carrier.name,
                agent_digest=carrier.maker.agent_digest,
                connection=declared.conn_id,
                cases={
                    case_id: {
                        "key": carrier.maker.key(waits[case_id].input_digest),
                        "most": hold.amount if hold is not None else None,
                    }
                    for case_id, hold in held.items()
                },
                expires_at=expires_at,
            )
            change = CaseChange(
                state=CaseState.WAITING,
                wait_for=WITH_PROVIDER,
                wait_until=expires_at + LATE,
                reason="is with the provider, in a batch",
            )
            moved = move(tx, [(locked[case_id], change) for case_id in held], kind=f"{self.writer.role.name}.sent")
        cases = {after.id: waits[after.id] for after in moved}
        for after in moved:
            cases[after.id].file = replace(cases[after.id].file, case=after)
        return row, cases

    def _note_submitted(self, row: ProviderBatch, at_provider: AtProvider) -> ProviderBatch | None:
        with self.session.write(settles=True) as tx:
            return change_batch(tx, row, "submitted", provider_id=at_provider.id)

    def _give_back(self, row: ProviderBatch, cases: Mapping[str, WorkItem], reason: str) -> None:
        """Take cases back that were not sent."""
        with self.session.write(settles=True) as tx:
            locked = lock_cases(tx, [case.file.case for case in cases.values()])
            for after in move(tx, [(found, going_on(found)) for found in locked], kind="case.taken_up"):
                cases[after.id].file = replace(cases[after.id].file, case=after)
            end_batch(tx, row, "failed", reason)

    def _wait_for_room(self, row: ProviderBatch, cases: Mapping[str, WorkItem], error: BatchRefused) -> set[str]:
        with self.session.write(settles=True) as tx:
            until = tx.at + max(FULL, timedelta(seconds=error.retry_after_seconds or 0))
            locked = lock_cases(tx, [case.file.case for case in cases.values()])
            change = CaseChange(wait_for="RateLimited", wait_until=until, reason=str(error))
            move(tx, [(found, change) for found in locked], kind="case.waits")
            end_batch(tx, row, "failed", str(error))
        self.session.count("waiting", len(cases))
        return set(cases)

    def _find(self, row: ProviderBatch) -> AtProvider | None:
        assert self.client is not None
        try:
            return self.client.find(row.id, row.created_at)
        except AgentUnavailable:
            return None

    def returned(self) -> Iterator[Returned]:
        """Look how the batches stand that are out, and yield those that are over."""
        for row in self._open():
            over = self._look(row)
            if over is not None:
                yield over
        out = self._open()
        with self.session.read() as connection:
            self._out = {case_id for row in out for case_id in uncounted(connection, row)}
        if out:
            since = out[0].created_at.strftime("%Y-%m-%d %H:%M")
            self.session.log.info("%s with the provider since %s UTC", counted(len(self._out), "case", "are"), since)

    def _open(self) -> list[ProviderBatch]:
        with self.session.read() as connection:
            return open_batches(connection, self.session.run, self.session.task.task_id)

    def _look(self, row: ProviderBatch) -> Returned | None:
        from interlock.agents.batch_call import LOST

        now = self.session.ledger.clock()
        is_late = now > row.expires_at + LATE
        if self.client is None or row.agent != self.carrier.name:
            return Returned(row, LOST, {}) if is_late else None
        try:
            if row.state == "intended":
                found = self._look_for(row, now)
                if found is None:
                    return None
                row = found
            at_provider = self.client.look(row.provider_id or "")
            if at_provider is not None and not at_provider.is_over:
                if not is_late:
                    return None
                self.client.cancel(at_provider.id)
            if at_provider is None or not at_provider.is_over:
                self.session.log.warning("batch %s did not come back within its window", row.provider_id)
                return Returned(row, LOST, {})
            if at_provider.problem:
                told = "batch %s failed as a whole: %s"
                self.session.log.warning(told, at_provider.id, at_provider.problem)
            return Returned(row, at_provider.status, self.client.replies(at_provider), at_provider)
        except AgentUnavailable as error:
            self.session.log.warning("%s; its cases go on waiting", error)
            return None

    def _look_for(self, row: ProviderBatch, now: datetime) -> ProviderBatch | None:
        """Find out what became of a batch whose sender died; None when that is not clear yet, or it was never sent."""
        sent_at: datetime | None = row.sent_at
        if sent_at is None:
            if row.run_id == self.session.run.id or now - row.created_at > UPLOADS:
                self._give_up(row)
            return None
        found = self._find(row)
        if found is not None:
            return self._note_submitted(row, found)
        if now - sent_at > UNCLEAR:
            self._give_up(row)
        return None

    def _give_up(self, row: ProviderBatch) -> None:
        """Take the cases up again of a batch that the provider does not have."""
        with self.session.write() as tx:
            standing = take_up_batch(tx, self.session.run, self.session.task.task_id, row)
            end_batch(tx, row, "failed", "it did not reach the provider")
        self.session.log.info("%d cases of a batch that was never sent are taken up", len(standing.here))

    def take_up(self, returned: Returned) -> list[CaseFile]:
        """Take the cases up that waited for a batch, and return those that were asked what they would be asked now."""
        row, session = returned.row, self.session
        with session.write() as tx:
            standing = take_up_batch(tx, session.run, session.task.task_id, row)
        with session.read() as connection:
            reads = [contract.__name__ for contract in self.writer.role.reads]
            files = load_files(connection, standing.here, contracts=reads)
        session.log.info(
            "batch %s is %s: %d answers for %d cases",
            row.provider_id,
            returned.status,
            sum(1 for reply in returned.replies.values() if reply.status),
            len(row.cases),
        )
        keys = row.cases
        return [file for file in files if self.carrier.maker.key(self.carrier.see(file)[1]) == keys[file.id]["key"]]

    def read(self, returned: Returned, works: Sequence[Work]) -> Iterator[Answer | Failure | None]:
        """Yield what a batch says of each case."""
        from interlock.agents.batch_call import read_answers

        return read_answers(
            self._agent,
            works,
            self.contract,
            returned.replies,
            {work.case_id: returned.sent(work.case_id) for work in works},
            batch=str(returned.row.provider_id),
            status=returned.status,
        )

    def close(self, returned: Returned) -> None:
        """Count what answers cost that nobody used, and end the batch."""
        from interlock.agents.batch_call import count_answers

        row, session = returned.row, self.session
        with session.write() as tx:
            standing = take_up_batch(tx, session.run, session.task.task_id, row)
        unused = [*standing.elsewhere, *(found.id for found in standing.here)]
        used = count_answers(
            self._agent,
            unused,
            self.contract,
            returned.replies,
            {case_id: returned.sent(case_id) for case_id in unused},
            status=returned.status,
        )
        with session.write(settles=True) as tx:
            self.writer.write_calls(tx, [(case_id, self.carrier.name, usage) for case_id, usage in used.items()])
            if not standing.others:
                end_batch(tx, row, "collected" if returned.at_provider is not None else "lost")
        if self.client is not None and returned.at_provider is not None and not standing.others:
            self.client.forget(returned.at_provider)

    def call_back(self) -> None:
        """Ask the provider to end what is out: a person stopped the agent."""
        for row in self._open():
            try:
                if self.client is None or row.agent != self.carrier.name or row.provider_id is None:
                    continue
                self.client.cancel(row.provider_id)
                self.session.log.info("batch %s was called back", row.provider_id)
            except InterlockError as error:
                self.session.log.warning("batch %s could not be called back: %s", row.provider_id, error)


def _groups(written: Mapping[str, Written]) -> Iterator[dict[str, Written]]:
    """Yield *written* in parts that a provider takes."""
    group: dict[str, Any] = {}
    size = 0
    for case_id, one in written.items():
        if group and size + len(one.body) > MOST_BYTES:
            yield group
            group, size = {}, 0
        group[case_id] = one
        size += len(one.body) + 200
    if group:
        yield group
