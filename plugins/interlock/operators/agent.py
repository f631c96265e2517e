"""The three roles that an agent of ``agents.yaml`` carries out: enrichment, reasoning, drafting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from interlock.operators.base import AgentRoleOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.domain.agents.agent_protocol import Agent
    from interlock.domain.base.contract import Contract
    from interlock.domain.cases.wiring import TaskKind
    from interlock.engine.runs.session import Session


class _AgentCarriedOperator(AgentRoleOperator):
    """
    :param agent: name of an agent in ``agents.yaml``; the published declaration counts, not the file.
    :param contract: the contract that its answers must satisfy.
    :param reads: contracts of the earlier handoffs that it sees besides the case itself: the shared context. Default:
        none, so it sees the case alone. A case without such a handoff becomes a dead letter with that reason.
    """

    interlock_kind: ClassVar[TaskKind] = "role"

    def __init__(
        self, *, agent: str, contract: type[Contract], reads: Sequence[type[Contract]] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.agent = agent
        self.contract = contract
        self.reads = tuple(reads)

    def wired(self) -> dict[str, Any]:
        """Return the agent, the contract, and whether it drafts."""
        return {"agent": self.agent, "contract": self.contract.__name__, "drafts": self.role == "drafting"}

    def work(self, session: Session, context: Context) -> dict[str, Any]:
        """Let the agent carry the role out."""
        from interlock.agents.load import load_agent
        from interlock.engine.agents.permission import declared_agent
        from interlock.engine.agents.role import run_role
        from interlock.engine.agents.work_item import Role
        from interlock.hooks.model import resolve_model
        from interlock.hooks.setting import cache_path, name_finder

        def make(name: str) -> Agent:
            return load_agent(
                name,
                declared_agent(session, self.role, name),
                session.files,
                cache=cache_path(),
                resolve_model=resolve_model,
                redaction=session.version.bundle.policy.redaction,
                find_names=name_finder(),
                prices=session.company.prices,
            )

        return run_role(session, make(self.agent), Role(self.role, self.contract, self.reads), make=make)


class EnrichmentOperator(_AgentCarriedOperator):
    """Adds the context that later roles need to each case: passages, records, history."""

    __doc__ = f"{__doc__}\n{_AgentCarriedOperator.__doc__}"
    role = "enrichment"


class ReasoningOperator(_AgentCarriedOperator):
    """Classifies each case, with a calibrated confidence or with none."""

    __doc__ = f"{__doc__}\n{_AgentCarriedOperator.__doc__}"
    role = "reasoning"


class DraftingOperator(_AgentCarriedOperator):
    """
    Drafts what is to be executed: a reply, an order, a change. People see the last draft at the gate.
    """

    __doc__ = f"{__doc__}\n{_AgentCarriedOperator.__doc__}"
    role = "drafting"
