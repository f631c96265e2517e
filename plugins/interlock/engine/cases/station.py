"""
A station: a task that takes the cases whose turn it is, decides what becomes of each, and hands them on.

The loop is the same for every task: read a group, decide what can be decided without a lock, lock the cases that nobody
changed meanwhile, write, move. A station gives it one function, from a case to its :class:`Passage`. What a killed task
had not written yet is still at the station when the task is tried again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from interlock.domain.cases.case import ACTIVE, CaseState
from interlock.engine.runs.session import GROUP, Session
from interlock.ledger.cases.case import CaseFile, cases_at, count_at, load_files, lock_cases, move
from interlock.ledger.cases.handoff import load_handoffs
from interlock.ledger.effects.authorisation import authorise
from interlock.ledger.routing.decision import DecisionEntry, record_decisions
from interlock.ledger.store.record import Case, CaseChange, Handoff
from interlock.ledger.store.transaction import Transaction


@dataclass(frozen=True)
class Group:
    """Cases that are at the station, as they were read."""

    files: Sequence[CaseFile]
    handoffs: Mapping[str, Handoff]
    """The answers and drafts of the cases, as far as the station loads them, by id."""

    def answer_of(self, file: CaseFile) -> Handoff | None:
        """Return what the last role that judged the case said."""
        return self.handoffs.get(file.case.handoff_id or "")

    def draft_of(self, file: CaseFile) -> Handoff | None:
        """Return the case's draft; None: no role wrote one."""
        return self.handoffs.get(file.case.draft_id or "")


@dataclass(frozen=True)
class Grant:
    """What may be executed for a case."""

    action: str
    payload_digest: str
    """Of exactly what may be sent."""
    basis: str
    """``decision:<id>`` or ``gate_request:<id>``."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """What becomes of one case at a station."""

    file: CaseFile
    change: CaseChange
    """Where it goes."""
    counts: Sequence[str] = ()
    """Under which names it is counted."""
    decision: DecisionEntry | None = None
    """What decided it, where that is to be recorded."""
    grant: Grant | None = None
    """What may be executed for it from now on."""
    kind: str = ""
    """The kind of its event; default: the station's."""


class Station:
    """The cases at a task of a run, read group by group and moved on."""

    def __init__(
        self,
        session: Session,
        *,
        limit: int = GROUP,
        contracts: Sequence[str] | None = None,
        handoffs: Sequence[Literal["handoff_id", "draft_id"]] = (),
        states: Iterable[CaseState] = ACTIVE,
        check: Callable[[], None] | None = None,
    ) -> None:
        """
        Stand at the session's task.

        :param limit: cases of a group.
        :param contracts: names of the handoffs whose payloads are loaded with a case; default: all.
        :param handoffs: which handoffs of a case are loaded with their provenance: the last answer, the draft.
        :param states: of the cases that are wanted.
        :param check: is called before each group; default: refuses to go on when a person switched the task off.
        """
        self.session, self.limit, self.contracts, self.states = session, limit, contracts, tuple(states)
        self._handoffs = handoffs
        self._check = check or session.check_switches
        self._after = ""

    def count(self) -> int:
        """Return how many cases are at the station."""
        with self.session.read() as connection:
            return count_at(connection, self.session.run, self.session.task.task_id, states=self.states)

    def next_group(self) -> Group | None:
        """Return the next cases by id; None: there are no more."""
        session = self.session
        with session.read() as connection:
            cases = cases_at(
                connection,
                session.run,
                session.task.task_id,
                limit=self.limit,
                after=self._after,
                states=self.states,
            )
            if not cases:
                return None
            files = load_files(connection, cases, contracts=self.contracts)
            named = {name for case in cases for which in self._handoffs if (name := getattr(case, which))}
            handoffs = load_handoffs(connection, sorted(named)) if named else {}
        self._check()
        self._after = cases[-1].id
        return Group(files, handoffs)

    def groups(self) -> Iterator[Group]:
        """Yield the cases, group by group."""
        while (group := self.next_group()) is not None:
            yield group

    def restart(self) -> None:
        """Begin again with the first case that is still here."""
        self._after = ""

    def lock(self, tx: Transaction, files: Sequence[CaseFile]) -> list[CaseFile]:
        """Lock the cases and return those that nobody changed since they were read; the others are counted."""
        unchanged = {case.id for case in lock_cases(tx, [file.case for file in files])}
        self.session.count("changed_meanwhile", len(files) - len(unchanged))
        return [file for file in files if file.id in unchanged]

    def pass_on(self, tx: Transaction, passages: Iterable[Passage], *, kind: str) -> list[Case]:
        """Write what decided about locked cases and what it allows, and move them; return them as they are now."""
        passages = list(passages)
        decisions = [passage.decision for passage in passages if passage.decision is not None]
        ids = record_decisions(tx, self.session.run, self.session.task.task_id, decisions)
        grants: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
        moves: defaultdict[str, list[tuple[Case, CaseChange]]] = defaultdict(list)
        for passage in passages:
            change = passage.change
            if passage.decision is not None:
                change = replace(change, decision_id=ids[passage.file.id])
            if passage.grant is not None:
                grant = passage.grant
                grants[grant.action].append((passage.file.id, grant.payload_digest, grant.basis))
            moves[passage.kind or kind].append((passage.file.case, change))
            for name in passage.counts:
                self.session.count(name)
        for action, granted in grants.items():
            authorise(tx, granted, action=action, version_id=self.session.version.id)
        return [case for each, changes in moves.items() for case in move(tx, changes, kind=each)]


class CaseStep:
    """What a task does with a group and with one case. A task whose agent is asked many times has a loop of its own."""

    kind: str
    """The kind of the event that a case's move is."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def prepare(self, group: Group) -> None:
        """Do what needs no lock, before the transaction."""

    def begin(self, tx: Transaction, here: Sequence[CaseFile]) -> None:
        """Write what comes before the moves of *here*, the cases that are locked."""

    def passage(self, file: CaseFile) -> Passage:
        """Return what becomes of one case."""
        raise NotImplementedError(f"{type(self).__name__} does not say what becomes of a case")


def run_step(station: Station, step: CaseStep, groups: Iterable[Group] | None = None) -> dict[str, int]:
    """
    Take every case at *station* through *step*; return counts.

    :param groups: the cases, where they were read before; default: reads them.
    """
    session = station.session
    total, done = station.count(), 0
    for group in station.groups() if groups is None else groups:
        step.prepare(group)
        with session.write() as tx:
            here = station.lock(tx, group.files)
            step.begin(tx, here)
            station.pass_on(tx, [step.passage(file) for file in here], kind=step.kind)
        done += len(group.files)
        figures = ", ".join(f"{count} {name}" for name, count in session.counts.items())
        session.log.info("%d of %d cases: %s", done, max(total, done), figures or "none was still here")
    return session.finish()
