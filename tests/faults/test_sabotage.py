"""Whether what the sabotage takes hold of is still there: otherwise each of its tests would say so after minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from inspect import getattr_static

import pytest
from faults.sabotage import AT_A_STATION, SIZES

REPLACED = [
    "interlock.agents.artefact.write_artefact",
    "interlock.connectors.http.HttpTarget.send",
    "interlock.connectors.mail.MailServer.send",
    "interlock.connectors.outbox.Outbox.send",
    "interlock.engine.agents.role.run_role",
    "interlock.engine.cases.station.Station",
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


def test_a_station_takes_as_few_cases_at_once_as_it_is_told():
    seen = "import inspect; from faults.sabotage import small_groups; small_groups(); "
    seen += "from interlock.engine.cases.station import Station; "
    seen += "print(inspect.signature(Station).parameters['limit'].default)"

    done = subprocess.run(
        [sys.executable, "-c", seen],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == [str(AT_A_STATION)]
