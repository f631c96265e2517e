"""The key that the ledgers of tests are sealed with: those of the fixtures, and those that a workflow is given."""

from __future__ import annotations

from interlock.domain.base.seal import Sealer

SEAL = Sealer.of("tests", "a key that no company has ever sealed a ledger with")
