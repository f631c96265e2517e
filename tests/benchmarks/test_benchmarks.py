"""The benchmarks run; what they measure is for ``make bench``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("bench_budget.py", ["4", "40"]),
        ("bench_dataset.py", ["--rows", "2000"]),
        ("bench_kpi.py", ["--cases", "200"]),
        ("bench_ledger.py", ["--events", "1000"]),
        ("bench_model.py", ["20", "10", "0.05", "--ours"]),
        ("bench_replay.py", ["50"]),
        ("bench_seal.py", ["20"]),
    ],
)
def test_a_benchmark_runs_on_a_small_scale(script, arguments):
    command = [sys.executable, str(Path(__file__).parent / script), *arguments]

    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) >= 2  # a table
