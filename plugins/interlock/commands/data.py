"""``airflow interlock data …``: propose a declaration, check a workflow's data, list quarantined rows."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from interlock.commands.source_option import as_declared, notation_of
from interlock.commands.terminal import command, print_json, print_table
from interlock.domain.base.plural import counted
from interlock.domain.policy.company import COMPANY
from interlock.engine.datasets.dataset_source import Reach
from interlock.engine.policy.bundle import load_contracts, read_bundle
from interlock.errors import InputError, SourceError, UnknownName
from interlock.hooks.connection import find_connection
from interlock.hooks.ledger import LedgerHook
from interlock.hooks.setting import include_path, snapshot_path
from interlock.hooks.source_access import source_access
from interlock.hooks.storage import object_path
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import demand_published

if TYPE_CHECKING:
    from interlock.ledger.facts.fact import RunReading


@command
def profile(args: Any) -> None:
    """Print or write a declaration and a suite that the file satisfies."""
    from interlock.analysis.profile import propose
    from interlock.domain.data.source import parse_source
    from interlock.engine.sources.source import read_rows

    name = args.dataset or re.sub(r"[^\w-]+", "_", Path(urlsplit(args.file).path).name.partition(".")[0]) or "dataset"
    if not re.fullmatch(r"[\w.-]+", name):
        raise InputError(
            f"{name!r} cannot name a dataset and its file. Give --dataset a name of letters, digits, '_' and '-'"
        )
    spec = parse_source(args.file, **notation_of(args))
    rows = read_rows(spec, connection=_connection, base=_include(args).parent, storage=object_path)
    dataset, suite = propose(rows, name=name, source=as_declared(args.file, spec))
    texts = {"datasets.yaml": _yaml(dataset), f"expectations/{name}.yaml": _yaml(suite)}
    if args.out is None:
        for path, text in texts.items():
            print(f"# {path}\n{text}")
        return
    folder = Path(args.out)
    existing = [path for path in texts if (folder / path).exists()]
    if existing:
        raise InputError(
            f"{' and '.join(existing)} in {str(folder)!r} would be overwritten. Give another --out, or none to print"
        )
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
        print(f"wrote {folder / path}")


@command
def readiness(args: Any) -> None:
    """Print whether each dataset of the workflow is fit for use, and why not; exit code 1 if a required one is not."""
    from interlock.domain.cases.outcome import read_instant
    from interlock.domain.data.source import parse_source
    from interlock.engine.datasets.readiness import look_at_datasets, look_at_source

    include = _include(args)
    bundle = read_bundle(include, args.workflow)
    if args.workflow == COMPANY:
        raise InputError(f"{COMPANY!r} is not a workflow, so it has no datasets")
    ledger = LedgerHook().get_conn()
    access = source_access(company_in_force(ledger).connectors, include=include)
    reach = Reach(connection=_connection, base=include.parent, storage=object_path, ledger=ledger, access=access)
    try:
        as_of = read_instant(args.as_of) if args.as_of else None
    except ValueError as error:
        raise InputError(f"--as-of: {error}") from None
    found: dict[str, Any] = {"datasets": look_at_datasets(bundle, reach, now=ledger.clock(), as_of=as_of)}
    settings = bundle.settings.intake
    if args.source:
        contract = load_contracts(include, args.workflow, [settings.contract])[settings.contract]
        spec = parse_source(args.source, **notation_of(args))
        found["source"] = look_at_source(spec, reach, contract=contract, settings=settings)
    if not found["datasets"] and not args.source:
        raise InputError(f"{args.workflow!r} declares no dataset. Name what its intake reads with --source")
    needed = [*(d for d in found["datasets"] if d["required"]), *([found["source"]] if args.source else [])]
    found["ready"] = all(one["state"] != "withheld" for one in needed)
    if args.json:
        print_json(found)
    else:
        print("\n".join(_describe_readiness(args.workflow, found)))
    if not found["ready"]:
        raise SystemExit(1)


def _describe_readiness(workflow: str, found: dict[str, Any]) -> Iterator[str]:
    for one in found["datasets"]:
        state = f"{one['dataset']}: {one['state']}"
        rows = f"{counted(one['rows'], 'row')} as of {one['as_of']:%Y-%m-%d %H:%M} UTC, {one['put_aside']} quarantined"
        yield f"{state}, {rows}" + ("" if one["required"] else "; not required")
        if (periods := one["periods"]) is not None:
            gaps = f", empty: {', '.join(periods['empty'][-5:])}" if periods["empty"] else ", none empty"
            full = counted(periods["count"], f"full {periods['grain']}")
            yield f"  {full}, {periods['first']} to {periods['last']}{gaps}"
        for severity in ("critical", "warning", "info"):
            yield from (f"  {severity}: {reason}" for reason in one["reasons"][severity])
    if "source" in found:
        source = found["source"]
        yield f"source of cases: {source['state']}, {source['fit']} of {source['rows']} rows satisfy the contract"
        yield from (f"  {count} × {problem}" for problem, count in source["problems"].items())
    yield f"{workflow} is {'' if found['ready'] else 'not '}ready"


@command
def quarantine(args: Any) -> None:
    """List the quarantined rows with their reasons, from the snapshots of the readings."""
    from interlock.engine.datasets.snapshot import Snapshots
    from interlock.ledger.facts.fact import readings_of_workflow

    ledger = LedgerHook().get_conn()
    demand_published(ledger, args.workflow)
    with ledger.read() as connection:
        readings = readings_of_workflow(connection, ledger.environment, args.workflow)
    for field, asked in (("dataset", args.dataset), ("run", args.run)):
        known = {str(getattr(reading, field)) for reading in readings}
        if asked is not None and asked not in known:
            raise UnknownName(field, asked, known, where=f"the readings of {args.workflow!r}")
        readings = [reading for reading in readings if asked in (None, getattr(reading, field))]
    rows: list[dict[str, Any]] = []
    is_lost = False
    for reading in readings:
        if len(rows) >= args.limit:
            break
        if reading.quarantine is None:
            continue
        try:
            rows += _quarantined_rows(reading, Snapshots(snapshot_path()), args.limit - len(rows))
        except SourceError as error:
            is_lost = True
            many = counted(reading.quarantined, "quarantined row")
            print(f"{reading.run}, {reading.dataset}: {many} cannot be shown: {error}", file=sys.stderr)
    if args.json:
        print_json(rows)
        return
    if is_lost and not rows:
        return
    heads = {"run": "RUN", "dataset": "DATASET", "row": "ROW", "reasons": "REASONS", "values": "VALUES"}
    empty = "No row was quarantined" if readings else f"No dataset of {args.workflow} was read yet"
    print_table([{**row, "reasons": "; ".join(row["reasons"])} for row in rows], heads, empty=empty)


def _quarantined_rows(reading: RunReading, snapshots: Any, limit: int) -> Iterator[dict[str, Any]]:
    from pyarrow import parquet

    with snapshots.open(reading.quarantine) as path:
        batches = parquet.ParquetFile(path).iter_batches(batch_size=1000)
        items = (item for batch in batches for item in batch.to_pylist())
        for item in list(islice(items, limit)):
            number, reasons = item.pop("_number"), item.pop("_reasons")
            yield {
                "run": reading.run,
                "dataset": reading.dataset,
                "row": number,
                "reasons": reasons,
                "values": item,
            }


def _include(args: Any) -> Path:
    return Path(args.include) if getattr(args, "include", None) else include_path()


def _connection(conn_id: str) -> Any:
    return find_connection(conn_id, wanted_for="the source", example="--conn-uri <uri>")


def _yaml(document: Any) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
