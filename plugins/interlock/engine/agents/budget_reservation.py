"""
A task's part of the budgets that hold for it: blocks that it reserved in the ledger, from which its calls are paid.

What a call can cost at most is set aside before it is made. What it did cost is settled with the row that tells of it,
in one transaction. A purse is used by the loop of the calls and by the task; the two share a lock for its few numbers.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from interlock.domain.agents.agent_protocol import Hold, Planned, Usage
from interlock.domain.cost.budget import Account, Budget, accounts_of
from interlock.domain.cost.price import format_dollars, to_nano
from interlock.engine.runs.session import Session
from interlock.errors import BudgetExhausted, ConfigurationError
from interlock.ledger.cost.budget import Granted, give_back, reserve, settle, write_off
from interlock.ledger.store.transaction import Actor, Transaction, new_id

LOOK_SECONDS = 0.25
CALLS_OF_A_BLOCK = 2
"""A block pays for so many calls for each that may be in flight."""


@dataclass
class _Block:
    id: str
    accounts: list[Account]
    left: int = 0
    """Billionths that no call has set aside."""
    held: int = 0
    """Billionths that calls have set aside and that are not settled."""
    ends: float = 0.0
    """Monotonic time after which others may write it off."""


@dataclass
class Purse:
    """What the calls of one task are paid from."""

    session: Session
    in_flight: int = 1
    """Calls that may be made at once: how large a block is."""
    lasts: timedelta = timedelta(minutes=2)
    """How long a block outlives its last settlement: longer than a call may take."""
    budgets: tuple[Budget, ...] = field(init=False)
    left: int | None = field(init=False, default=None)
    """Billionths that the tightest account had room for when it was last asked."""

    def __post_init__(self) -> None:
        self.budgets = (*self.session.version.bundle.policy.budgets, *self.session.company.budgets.budgets)
        self.budgets = tuple(b for b in self.budgets if b.covers(self.session.run.workflow))
        self._per_case = next((budget for budget in self.budgets if budget.per == "case"), None)
        self._on_case: dict[str, int] = {}
        self._block: _Block | None = None
        self._blocks: dict[str, _Block] = {}
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        """One of the calls asks the ledger for all: else each would reserve a block, and only the last be used."""
        self._refused: BudgetExhausted | None = None
        self._soft: BudgetExhausted | None = None
        self._soft_waits = False

    @property
    def counts_cases(self) -> bool:
        """Whether a budget holds per case."""
        return self._per_case is not None

    def widen(self, in_flight: int, lasts: timedelta) -> None:
        """Let blocks be large and last long enough for one more agent."""
        self.in_flight, self.lasts = max(self.in_flight, in_flight), max(self.lasts, lasts)

    def know(self, spent: Mapping[str, Decimal]) -> None:
        """Take over what cases have cost before."""
        with self._lock:
            self._on_case |= {case_id: to_nano(cost) for case_id, cost in spent.items()}

    async def reserve(self, planned: Planned, *, has_cheaper: bool = False) -> Hold | None:
        """
        Set aside the most that a call can cost; None when there is no budget.

        :param has_cheaper: a cheaper agent can be asked, so that past a soft limit this one is refused.
        :raises BudgetExhausted: a budget has no room for it, or its soft limit is passed and a cheaper agent is there.
        :raises ConfigurationError: what it can cost is not known, so it fits no budget.
        """
        if not self.budgets:
            return None
        most = _most(planned)
        self._take_for_case(planned.case_id, most)
        try:
            while True:
                hold = self._take(most, has_cheaper)
                if hold is not None:
                    return hold
                if await asyncio.to_thread(self._reserve_more, most):
                    continue
                await asyncio.sleep(LOOK_SECONDS)
        except BaseException:
            self._give_case(planned.case_id, most)
            raise

    def set_aside(
        self, tx: Transaction, holder: str, calls: Sequence[Planned], *, until: datetime, has_cheaper: bool
    ) -> dict[str, Hold | None]:
        """
        Set aside under a block of their own, *holder*, what calls can cost that are made later; return holds by case.

        Whose calls are left out does not fit a budget, or should be asked about by a cheaper agent.

        :raises ConfigurationError: what one can cost is not known, so it fits no budget.
        """
        if not self.budgets:
            return {planned.case_id: None for planned in calls}
        fitting: dict[str, int] = {}
        for planned in calls:
            most = _most(planned)
            with suppress(BudgetExhausted):
                self._take_for_case(planned.case_id, most)
                fitting[planned.case_id] = most
        block = _Block(holder, self._accounts())
        wanted = sum(fitting.values())
        granted = self._ask(tx, block, wanted, min(fitting.values()), until) if fitting else Granted(0)
        soft = granted.past_soft
        left = 0 if soft is not None and (has_cheaper or soft.budget.past_soft == "wait") else granted.amount
        held: dict[str, Hold | None] = {}
        for case_id, most in fitting.items():
            if most > left:
                self._give_case(case_id, most)
                continue
            held[case_id], left = Hold(holder, most), left - most
        give_back(tx, holder, granted.amount - sum(hold.amount for hold in held.values() if hold is not None))
        return held

    def settle(self, tx: Transaction, used: Iterable[tuple[str, Usage]]) -> None:
        """Settle calls, given as (case id, usage), in the transaction that tells of them."""
        spent: dict[str, tuple[int, int]] = {}
        with self._lock:
            for case_id, usage in used:
                if usage.hold is None:
                    continue
                cost = to_nano(usage.cost or Decimal(0))
                before = spent.get(usage.hold.block, (0, 0))
                spent[usage.hold.block] = (before[0] + cost, before[1] + usage.hold.amount)
                if case_id in self._on_case:
                    self._on_case[case_id] += cost - usage.hold.amount
        own = {block_id: amounts for block_id, amounts in spent.items() if block_id in self._blocks}
        settle(tx, {block_id: amounts for block_id, amounts in spent.items() if block_id not in own})
        if own:
            settle(tx, own, expires_at=tx.at + self.lasts)
            with self._lock:
                for block_id, (_, freed) in own.items():
                    self._blocks[block_id].held -= freed
                    self._blocks[block_id].ends = time.monotonic() + self.lasts.total_seconds()

    def close(self) -> None:
        """Give back what no call has set aside, and count calls that were broken off as a cost nobody knows."""
        with self._lock:
            left = {block.id: block.left for block in self._blocks.values() if block.left}
            held = [block.id for block in self._blocks.values() if block.held]
            for block in self._blocks.values():
                block.left = block.held = 0
        if not left and not held:
            return
        with self._write() as tx:
            for block_id, amount in left.items():
                give_back(tx, block_id, amount)
            if held:
                write_off(tx, holders=held)

    def _take_for_case(self, case_id: str, most: int) -> None:
        if self._per_case is None:
            return
        limit = to_nano(self._per_case.limit)
        with self._lock:
            spent = self._on_case.get(case_id, 0)
            if spent + most > limit:
                raise BudgetExhausted(
                    f"a call can cost {format_dollars(most)}, and of the case's budget of {format_dollars(limit)} "
                    f"{format_dollars(max(limit - spent, 0))} are left",
                    scope="case",
                )
            self._on_case[case_id] = spent + most

    def _give_case(self, case_id: str, most: int) -> None:
        if self._per_case is not None:
            with self._lock:
                self._on_case[case_id] -= most

    def _take(self, most: int, has_cheaper: bool) -> Hold | None:
        with self._lock:
            for refusal in (self._refused, self._soft if self._soft_waits or has_cheaper else None):
                if refusal is not None and (refusal.until is None or refusal.until > self._now()):
                    raise refusal
            block = self._block
            if block is None or block.left < most or time.monotonic() > block.ends:
                return None
            if any(account.until is not None and account.until <= self._now() for account in block.accounts):
                self._block = None  # a new period has begun
                return None
            block.left -= most
            block.held += most
            return Hold(block.id, most)

    def _reserve_more(self, most: int) -> bool:
        """Reserve a block for calls of at most *most*; return whether it is worth trying again at once."""
        with self._asking:
            return self._ask_for_more(most)

    def _ask_for_more(self, most: int) -> bool:
        accounts = self._accounts()
        with self._lock:
            before = self._block
            if before is not None and before.left >= most and time.monotonic() <= before.ends:
                return True  # another call was faster
        if before is None or before.accounts != accounts or time.monotonic() > before.ends:
            self._let_go()
            before = _Block(new_id(), accounts)
        wanted = most * CALLS_OF_A_BLOCK * self.in_flight
        with self._write() as tx:
            granted = self._ask(tx, before, wanted, most, tx.at + self.lasts)
        if not granted.amount:
            keys = [account.key for account in accounts]
            with self._write() as tx:
                written_off = write_off(tx, accounts=keys, but={*self._blocks, before.id})
            if not written_off and granted.is_spent:
                self._refuse(granted.short, most)
            elif not written_off:
                self._let_go()
            return bool(written_off) or granted.is_spent
        with self._lock:
            self._block = self._blocks[before.id] = before
            before.left += granted.amount
            before.ends = time.monotonic() + self.lasts.total_seconds()
            self.left = granted.room
        if granted.past_soft is not None:
            self._pass_soft(granted.past_soft)
        return True

    def _accounts(self) -> list[Account]:
        run = self.session.run
        return accounts_of(
            self.budgets,
            environment=run.environment,
            workflow=run.workflow,
            run=run.id,
            at=self._now(),
            calendar=self.session.company.calendar,
        )

    def _ask(self, tx: Transaction, block: _Block, wanted: int, least: int, until: datetime) -> Granted:
        if not block.accounts:  # only budgets per case
            return Granted(wanted)
        return reserve(
            tx,
            block.accounts,
            environment=self.session.run.environment,
            holder=block.id,
            run_id=self.session.run.id,
            task=self.session.task.task_id,
            wanted=wanted,
            least=least,
            expires_at=until,
        )

    def _let_go(self) -> None:
        """Free what no call has set aside of the present block: others may be waiting for it."""
        with self._lock:
            block, self._block = self._block, None
            left = block.left if block is not None else 0
            if block is not None:
                block.left = 0
        if block is not None and left:
            with self._write() as tx:
                give_back(tx, block.id, left)

    def _refuse(self, account: Account | None, most: int) -> None:
        assert account is not None
        self._let_go()
        with self._lock:
            self._refused = BudgetExhausted(
                f"the budget of {account.budget} has no room for a call that can cost {format_dollars(most)}",
                scope=account.budget.per,
                until=account.until,
            )

    def _pass_soft(self, account: Account) -> None:
        told = f"{account.budget.soft:.0%} of the budget of {account.budget} are passed"
        with self._lock:
            if self._soft is None:
                self.session.log.warning("%s", told)
            self._soft = BudgetExhausted(told, scope=account.budget.per, until=account.until, is_soft=True)
            self._soft_waits = account.budget.past_soft == "wait"

    def _now(self) -> datetime:
        return self.session.ledger.clock()

    def _write(self) -> AbstractContextManager[Transaction]:
        return self.session.ledger.write(actor=Actor("task", self.session.task.task_id), chain=self.session.run.chain)


def _most(planned: Planned) -> int:
    """
    Return the most that a call can cost, in billionths.

    :raises ConfigurationError: it is not known.
    """
    if planned.most is None:
        raise ConfigurationError(
            f"nobody knows what a call of model {planned.model!r} can cost at most, so it fits no budget. Write "
            "its price into include/company/prices.yaml, and settings.max_tokens at the agent"
        )
    return to_nano(planned.most)
