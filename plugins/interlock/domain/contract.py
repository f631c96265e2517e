"""Where the ``contracts.py`` of a workflow imports :class:`Contract` from: this path stays."""

from interlock.domain.base.contract import Contract, check_payload, contract_digest, explain, variable_prefix

__all__ = ["Contract", "check_payload", "contract_digest", "explain", "variable_prefix"]
