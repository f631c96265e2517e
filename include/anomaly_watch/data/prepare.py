"""
Makes ``metrics.parquet`` of the seven published series: ``python prepare.py``.

One table of all of them, as a store of metrics would give it: series, time and value, in the order of time. Nothing is
left out and no value is changed. A series is called by what it measures: the published names say what went wrong.
"""

from __future__ import annotations

from pathlib import Path

import pandas

FOLDER = Path(__file__).parent
SERIES = {
    "ambient_temperature_system_failure": "ambient_temperature",
    "cpu_utilization_asg_misconfiguration": "cpu_utilization",
    "ec2_request_latency_system_failure": "request_latency",
    "machine_temperature_system_failure": "machine_temperature",
    "nyc_taxi": "taxi_passengers",
    "rogue_agent_key_hold": "key_hold",
    "rogue_agent_key_updown": "key_updown",
}


def metrics(folder: Path) -> pandas.DataFrame:
    """Return the rows of all series of *folder*."""
    parts = []
    for published, name in SERIES.items():
        rows = pandas.read_csv(folder / f"{published}.csv.gz", dtype={"timestamp": str})
        parts.append(rows.rename(columns={"timestamp": "at"}).assign(series=name))
    together = pandas.concat(parts).sort_values(["at", "series"], kind="stable")
    return together[["series", "at", "value"]]


if __name__ == "__main__":
    metrics(FOLDER).to_parquet(FOLDER / "metrics.parquet", index=False, compression="zstd")
