"""Where agents of kind ``function`` import what they take and give from: this path stays."""

from interlock.domain.agents.agent_protocol import Answer, Failure, Usage, Work

__all__ = ["Answer", "Failure", "Usage", "Work"]
