"""
Whether a workflow's data is fit before anything is built on it: each dataset read and checked, and nothing recorded.

What the ledger knows (the reading before) is not asked, so a dataset is held against its declaration, its suite, its
control totals and its own earlier periods.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

from interlock.analysis.history import coverage
from interlock.analysis.inspection import check_result
from interlock.analysis.staging import staging
from interlock.domain.base.contract import Contract
from interlock.domain.data.dataset import Dataset
from interlock.domain.data.source import SourceSpec, describe, parse_source
from interlock.domain.policy.suite_check import load_suite
from interlock.domain.policy.version import Bundle
from interlock.domain.policy.workflow import Intake
from interlock.engine.cases.intake import _new_case
from interlock.engine.datasets.dataset_check import check_staged
from interlock.engine.datasets.dataset_source import Reach, take_in
from interlock.engine.datasets.reading import NO_INSTANT, Beside, judge
from interlock.engine.sources.source import read_rows
from interlock.errors import InterlockError, SourceError


def look_at_datasets(
    bundle: Bundle, reach: Reach, *, now: datetime, as_of: datetime | None = None
) -> list[dict[str, Any]]:
    """
    Return, for each dataset, its state and reasons as a reading would have them, and which periods it covers.

    :param as_of: the instant of a run; default: as in a run, when the newest row of the first dataset became known. All
        datasets are read as of the same one.
    """
    found = []
    for name, dataset in bundle.datasets.items():
        looked, as_of = _look_at(bundle, name, dataset, reach, now, as_of)
        found.append(looked)
    return found


def _look_at(
    bundle: Bundle, name: str, dataset: Dataset, reach: Reach, now: datetime, as_of: datetime | None
) -> tuple[dict[str, Any], datetime | None]:
    """Return what is known of a dataset, and the instant that it fixes for those after it; None: it fixes none."""
    suite = load_suite(bundle, dataset.suite) if dataset.suite is not None else None
    with staging(dataset) as staged:
        found = []
        try:
            found += take_in(staged, dataset.source, reach)
        except InterlockError as error:
            staged.forget_rows()  # a part of the rows is none of them
            found.append(check_result(dataset, "source", str(error)))
        staged.type_rows()
        staged.put_future_aside(now)
        as_of = as_of or staged.newest_known()
        if as_of is None and not found:
            found.append(check_result(dataset, "source", NO_INSTANT))
        wanted = as_of or now
        staged.read_as_of(wanted)

        def rows_of(source: Any) -> Any:
            spec = parse_source(source)
            return read_rows(
                spec, connection=reach.connection, base=reach.base, storage=reach.storage, access=reach.access
            )

        declared, *rest = check_staged(name, staged, wanted, suite, Beside(rows_of, None, None))
        verdict = judge([replace(declared, results=(*found, *declared.results)), *rest])
        covered = coverage(staged, wanted)
        looked = {
            "dataset": name,
            "state": verdict.state,
            "reasons": verdict.reasons,
            "required": dataset.required,
            "as_of": wanted,
            "rows": staged.count(),
            "put_aside": staged.count_aside(),
            "periods": None
            if covered is None
            else {
                "grain": covered.grain,
                "first": covered.periods[0][0].label,
                "last": covered.periods[-1][0].label,
                "count": len(covered.periods),
                "empty": [period.label for period in covered.gaps],
            },
        }
        return looked, as_of


def look_at_source(spec: SourceSpec, reach: Reach, *, contract: type[Contract], settings: Intake) -> dict[str, Any]:
    """Return how many rows of an intake's source would open a case, by what the intake itself does with each."""
    number = fit = 0
    problems, keys = Counter[str](), Counter[str]()
    source = describe(spec)
    try:
        for row in read_rows(
            spec, connection=reach.connection, base=reach.base, storage=reach.storage, access=reach.access
        ):
            number += 1
            new = _new_case(row, contract, settings, source)
            fit += new.reason is None
            if new.reason is not None:
                problems[str(row.problem) if row.values is None else new.reason.partition("; ")[0]] += 1
            keys[new.business_key] += 1
    except SourceError as error:
        return {"state": "withheld", "rows": number, "fit": fit, "problems": {str(error): 1}}
    twice = sum(count - 1 for count in keys.values())
    if twice:
        problems[f"{settings.key}: comes again, and opens no second case"] = twice
    state = "withheld" if not fit else "warned" if problems else "fit"
    return {"state": state, "rows": number, "fit": fit, "problems": dict(problems.most_common(10))}
