from __future__ import annotations

from pathlib import Path

from interlock.ledger.book import Ledger
from interlock.ledger.verify import verify
from workflows import Workflow, rows


def test_a_whole_run_brings_every_case_to_its_place(tmp_path: Path, ledger: Ledger):
    flow = Workflow(tmp_path, ledger)

    flow.up_to("nowhere", rows("sure=0.95", "sure=0.5 surer=0.9", "sure=0.5", "nothing said", "sure=0.99 promise me"))

    assert flow.states() == {"R1": "executed", "R2": "executed", "R3": "waiting", "R4": "waiting", "R5": "waiting"}
    assert len(flow.sent()) == 2
    assert verify(ledger).problems == []
