"""
What our operators add to a Dag file: CPU seconds and memory of importing them, against ``import airflow.sdk`` alone.

Each import runs in a process of its own, several times in turn; the medians are held against each other.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
from datetime import UTC, datetime

AIRFLOW = "from airflow.sdk import BaseOperator, BaseSensorOperator, Param, dag"
OURS = (
    "from interlock.operators import ConfidenceBranchOperator, DataQualityOperator, DraftingOperator, "
    "EnrichmentOperator, ExecutionOperator, IntakeOperator, ReasoningOperator, ReportingOperator, ValidationOperator\n"
    "from interlock.sensors import ApprovalGateSensor"
)
TELL = (
    "import resource\nused = resource.getrusage(resource.RUSAGE_SELF)\n"
    "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)"
)
RUNS = 7


def measure(code: str) -> tuple[float, float]:
    """Return CPU seconds and peak memory in MB of a process that runs *code*."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\n{TELL}"], capture_output=True, text=True, check=True, env=environment
    ).stdout.splitlines()[-1]
    seconds, memory = told.split()
    return float(seconds), float(memory)


def main() -> None:
    """Print the table."""
    alone, ours = [], []
    for _ in range(RUNS):
        alone.append(measure(AIRFLOW))
        ours.append(measure(f"{AIRFLOW}\n{OURS}"))
    cpu = [statistics.median(seconds for seconds, _ in found) for found in (alone, ours)]
    memory = [statistics.median(megabytes for _, megabytes in found) for found in (alone, ours)]
    print(f"{platform.machine()}, {multiprocessing.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}, median of {RUNS}")
    print("                        CPU s   peak MB")
    print(f"airflow.sdk           {cpu[0]:7.3f}  {memory[0]:8.1f}")
    print(f"and our operators     {cpu[1]:7.3f}  {memory[1]:8.1f}")
    print(f"added                 {cpu[1] - cpu[0]:7.3f}  {memory[1] - memory[0]:8.1f}   ratio {cpu[1] / cpu[0]:.3f}")


if __name__ == "__main__":
    main()
