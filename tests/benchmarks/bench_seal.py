"""
What the look at seals takes of sending: ``python tests/benchmarks/bench_seal.py [sends]`` (10,000 by default).

Refunds are taken in, judged, drafted and validated by the tests' workflow on a new SQLite ledger; then they are sent to
an outbox, which writes a file for each and is the fastest of the connectors. The look is what is done in the
transaction that claims a send: digests, seals, events.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "plugins"), str(PROJECT / "tests")]

from interlock.domain.data.source import SourceRow  # noqa: E402  # the path is made above
from interlock.ledger.effects import effect  # noqa: E402
from interlock.ledger.store.ledger import Ledger  # noqa: E402
from interlock.ledger.store.migrate import migrate  # noqa: E402
from workflows import Workflow  # noqa: E402


def rows(count: int) -> Iterator[SourceRow]:
    """Yield *count* rows of a source that a rule lets go on."""
    for number in range(1, count + 1):
        yield SourceRow(number=number, values={"refund_id": f"B-{number:07d}", "text": "sure=0.95 the parcel broke"})


class Timed:
    """The look, with the seconds that it took of the clock and of this process."""

    def __init__(self) -> None:
        self.seconds = self.busy = 0.0
        self._look = effect.look_at

    def __call__(self, *arguments: Any) -> Any:
        started, busy = time.perf_counter(), time.process_time()
        try:
            return self._look(*arguments)
        finally:
            self.seconds += time.perf_counter() - started
            self.busy += time.process_time() - busy


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", "test")
        migrate(ledger.engine)
        flow = Workflow(Path(folder), ledger)
        flow.up_to("send", rows(count))
        look = Timed()
        vars(effect)["look_at"] = look
        started, busy = time.perf_counter(), time.process_time()
        counts = flow.execute()
        took, busy = time.perf_counter() - started, time.process_time() - busy
        assert counts == {"sent": count}, counts
    print("   sends  seconds  sends/s  look, seconds  of all  of the CPU")
    shares = f"{look.seconds / took:>7.1%}  {look.busy / busy:>10.1%}"
    print(f"{count:>8}  {took:>7.1f}  {count / took:>7.0f}  {look.seconds:>13.2f} {shares}")


if __name__ == "__main__":
    main()
