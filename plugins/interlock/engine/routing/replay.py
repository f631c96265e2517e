"""
A proposed policy on the decisions of the past: from the ledger's rows to what would flip.

The proposal's threshold is looked up as a branch does, from the report of the agent whose answer was decided on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from interlock.domain.base.contract import variable_prefix
from interlock.domain.cases.wiring import Wiring
from interlock.domain.policy.version import Bundle
from interlock.domain.routing.replay import (
    FORGOTTEN,
    UNASKED,
    Again,
    Comparison,
    DecidedBy,
    RecordedDecision,
    carried_out,
    compare,
    decide_again,
)
from interlock.domain.routing.routing import Router
from interlock.engine.routing.rule_input import threshold_of
from interlock.errors import InputError
from interlock.ledger.cases.handoff import agent_reports
from interlock.ledger.policy.version import load_version
from interlock.ledger.routing.replay import PastCase, PastDecision, past_cases, past_decisions, wirings
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.transaction import Connection


def replay_policy(
    ledger: Ledger,
    proposal: Bundle,
    *,
    last: int = 10_000,
    wiring: Wiring | None = None,
    minutes_per_review: float = 3.0,
) -> Comparison:
    """
    Return what *proposal* would have done with the last *last* decisions of its workflow.

    :param wiring: the Dag that would carry it out; left out, each decision is held against the Dag of its own run.
    :raises PolicyError: a rule does not compile.
    :raises InputError: *last* is less than 1, or *minutes_per_review* is negative.
    """
    if last < 1 or minutes_per_review < 0:
        raise InputError(f"cannot replay {last} decisions at {minutes_per_review} minutes: give positive numbers")
    router = Router.of(proposal)  # a rule that does not compile is reported before anything is read
    with ledger.read() as connection:
        past = past_decisions(connection, ledger, proposal.workflow, last=last)
        replay = _Replay(connection, proposal, router, past, wiring)
        return compare(replay.pairs(), proposal.policy, minutes_per_review=minutes_per_review)


class _Replay:
    def __init__(
        self,
        connection: Connection,
        proposal: Bundle,
        router: Router,
        past: Sequence[PastDecision],
        wiring: Wiring | None,
    ) -> None:
        self.connection, self.proposal, self.router, self.past = connection, proposal, router, past
        self.versions = {i: load_version(connection, i).bundle for i in {one.version_id for one in past}}
        reports = agent_reports(connection, sorted({one.agent_digest for one in past if one.agent_digest}))
        self.thresholds = {agent: threshold_of(proposal.policy, report) for agent, report in reports.items()}
        self.unknown_agent = threshold_of(proposal.policy, None)
        own = wirings(connection, sorted({one.run_id for one in past if one.run_id}))
        self.own_wirings = {run_id: Wiring.from_json(document) for run_id, document in own.items()}
        self.wiring = wiring
        self.same_fields = {
            i: _fields(bundle, bundle.policy.contract) == _fields(proposal, proposal.policy.contract)
            for i, bundle in self.versions.items()
        }
        self.gated = {
            i: {route for gate in bundle.policy.gates.values() for route in gate.routes}
            for i, bundle in self.versions.items()
        }

    def pairs(self) -> Iterator[tuple[RecordedDecision, Again]]:
        """Yield each decision with what the proposal says of it; what was not recorded is looked for, all at once."""
        said = [self._again(one, self._known(one)) if self._by(one) == "rules" else UNASKED for one in self.past]
        open_ones = [i for i, again in enumerate(said) if again.unknown and self.past[i].inputs is not None]
        cases = past_cases(self.connection, sorted({self.past[i].case_id for i in open_ones}))
        for i in open_ones:
            one = self.past[i]
            said[i] = self._again(one, self._filled(one, cases[one.case_id]) | self._known(one))
        for one, again in zip(self.past, said, strict=True):
            yield self._recorded(one), again

    def _by(self, one: PastDecision) -> DecidedBy:
        wiring = self.own_wirings.get(one.run_id or "")
        if one.decided_by.startswith("person:"):
            return "people"
        kind = wiring.tasks[one.task].kind if wiring is not None and one.task in wiring.tasks else None
        if kind == "role":  # the runbook's, after a failure
            return "checks"
        if kind == "validation":
            return "people" if one.rule.startswith("asked for by ") else "checks"
        return "rules"

    def _recorded(self, one: PastDecision) -> RecordedDecision:
        return RecordedDecision(
            case_id=one.case_id,
            business_key=one.business_key,
            by=self._by(one),
            rule=one.rule,
            route=one.policy_route or one.route,
            error=one.error,
            confidence=one.confidence,
            is_gated=(one.policy_route or one.route) in self.gated[one.version_id],
        )

    def _known(self, one: PastDecision) -> dict[str, Any]:
        """Return what the decision recorded, with the proposal's threshold."""
        known = dict(one.inputs or {})
        if not self.same_fields[one.version_id]:  # which fields are empty depends on which there are
            known.pop("missing", None)
            known.pop("known", None)
        known["confidence"], known["attempt"] = one.confidence, one.attempt
        known["threshold"] = self.thresholds.get(one.agent_digest or "", self.unknown_agent)
        return known

    def _again(self, one: PastDecision, known: Mapping[str, Any]) -> Again:
        if one.inputs is None:
            return Again(rule="", route="", unknown=(FORGOTTEN,))
        said = decide_again(self.router, known)
        if isinstance(said, tuple):
            return Again(rule="", route="", unknown=said)
        wiring = self.wiring if self.wiring is not None and one.task in self.wiring.tasks else None
        return carried_out(wiring or self.own_wirings.get(one.run_id or ""), one.task, said)

    def _filled(self, one: PastDecision, there: PastCase) -> dict[str, Any]:
        """Return what the case and its handoffs say of the moment of the decision, as far as that is certain."""
        version = self.versions[one.version_id]
        before = {warning.name for warning in there.warnings if warning.raised_at <= one.created_at}
        known: dict[str, Any] = {"data_warnings": sorted(before)}
        if there.payload is not None and all(at < one.created_at for at in there.put_back):
            fields = _fields(version, version.policy.contract)
            known |= {f"case.{name}": there.payload.get(name) for name in fields | set(there.payload)}
            if self.same_fields[one.version_id]:
                filled = {name for name, value in there.payload.items() if value not in (None, "", [], {})}
                known |= {"known": sorted(filled), "missing": sorted(fields - filled)}
        for contract in set(version.contracts) - {version.policy.contract}:
            known |= _handed_on(one, there, contract, _fields(version, contract))
        return known


def _handed_on(one: PastDecision, there: PastCase, contract: str, fields: set[str]) -> dict[str, Any]:
    """
    Return the fields of the case's handoff under *contract* when the decision was made; empty when it is not certain.

    The handoff that was decided on is certain. Of others the latest before it counts, unless the case was ever put
    back to work: then an earlier round's may have stood aside.
    """
    prefix = variable_prefix(contract)
    mine = [h for h in there.handoffs if h.contract == contract]
    own = next((h for h in mine if h.id == one.handoff_id), None)
    if own is None and there.put_back:
        return {}
    before = [h for h in mine if h.created_at <= one.created_at]
    found = own or (before[-1] if before else None)
    if found is None:
        return {f"{prefix}.{name}": None for name in fields}
    return {f"{prefix}.{name}": value for name, value in (found.body or {}).items()}


def _fields(bundle: Bundle, contract: str) -> set[str]:
    return set(bundle.contracts.get(contract, {}).get("schema", {}).get("properties", {}))
