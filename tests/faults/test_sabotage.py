"""Whether what the sabotage takes hold of is still there: otherwise each of its tests would say so after minutes."""

from __future__ import annotations

from importlib import import_module
from inspect import getattr_static

import pytest
from faults.sabotage import SIZES

REPLACED = [
    "interlock.agents.artefact.write_artefact",
    "interlock.connectors.http.HttpTarget.send",
    "interlock.connectors.mail.MailServer.send",
    "interlock.connectors.outbox.Outbox.send",
    "interlock.engine.agents.role.run_role",
    "interlock.ledger.store.ledger.write",
    "interlock.ledger.store.transaction.Transaction.flush",
    "interlock.ledger.store.transaction.Transaction.insert",
    "interlock.ledger.store.transaction.Transaction.update",
    "interlock.operators.runtime.run_task",
]


@pytest.mark.parametrize("name", [*SIZES, *REPLACED])
def test_what_is_sabotaged_is_there(name: str):
    parts = name.split(".")
    holder = next(at for at in range(len(parts) - 1, 0, -1) if parts[at - 1].islower())
    place = import_module(".".join(parts[:holder]))
    for part in parts[holder:]:
        place = getattr_static(place, part)

    assert callable(place) or isinstance(place, type(SIZES.get(name)))
