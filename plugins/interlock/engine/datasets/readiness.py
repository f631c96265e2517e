"""
Whether a workflow's data is fit before anything is built on it: each dataset read and checked, and nothing recorded.

What the ledger knows (the reading before) is not asked, so a dataset is held against its declaration, its suite, its
control totals and its own earlier periods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from interlock.analysis.history import coverage
from interlock.analysis.inspection import check_result
from interlock.analysis.staging import staging
from interlock.domain.base.contract import Contract, check_payload
from interlock.domain.cases.business_key import key_text
from interlock.domain.data.dataset import Dataset
from interlock.domain.data.source import SourceSpec, parse_source
from interlock.domain.policy.suite_check import load_suite
from interlock.domain.policy.version import Bundle
from interlock.domain.policy.workflow import Intake
from interlock.engine.datasets.dataset_check import check_staged
from interlock.engine.datasets.dataset_source import Reach, take_in
from interlock.engine.datasets.reading import Beside, judge
from interlock.engine.sources.source import read_rows
from interlock.errors import ContractViolation, InterlockError, SourceError


def look_at_datasets(
    bundle: Bundle, reach: Reach, *, now: datetime, as_of: datetime | None = None
) -> list[dict[str, Any]]:
    """
    Return, for each dataset, its state and reasons as a reading would have them, and which periods it covers.

    :param as_of: left out, when the newest row became known.
    """
    return [_look_at(bundle, name, dataset, reach, now, as_of) for name, dataset in bundle.datasets.items()]


def _look_at(
    bundle: Bundle, name: str, dataset: Dataset, reach: Reach, now: datetime, as_of: datetime | None
) -> dict[str, Any]:
    suite = load_suite(bundle, dataset.suite) if dataset.suite is not None else None
    with staging(dataset) as staged:
        found = []
        try:
            found += take_in(staged, dataset.source, reach)
        except InterlockError as error:
            found.append(check_result(dataset, "source", str(error)))
        staged.type_rows()
        staged.put_future_aside(now)
        wanted = as_of or staged.newest_known() or now
        staged.read_as_of(wanted)

        def rows_of(source: Any) -> Any:
            spec = parse_source(source)
            return read_rows(
                spec, connection=reach.connection, base=reach.base, storage=reach.storage, access=reach.access
            )

        declared, *rest = check_staged(name, staged, wanted, suite, Beside(rows_of, None, None))
        verdict = judge([replace(declared, results=(*found, *declared.results)), *rest])
        covered = coverage(staged, wanted)
        return {
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


def look_at_source(spec: SourceSpec, reach: Reach, *, contract: type[Contract], settings: Intake) -> dict[str, Any]:
    """Return how many rows of an intake's source satisfy its contract, and what the others lack."""
    number = fit = 0
    problems, keys = Counter[str](), Counter[str]()
    try:
        for row in read_rows(
            spec, connection=reach.connection, base=reach.base, storage=reach.storage, access=reach.access
        ):
            number += 1
            lacking = _lacks(row.values, row.problem, contract, settings)
            fit += not lacking
            problems.update(lacking[:1])
            keys[key_text((row.values or {}).get(settings.key))] += 1
    except SourceError as error:
        return {"state": "withheld", "rows": number, "fit": fit, "problems": {str(error): 1}}
    keys.pop("", None)
    twice = sum(count - 1 for count in keys.values())
    if twice:
        problems[f"{settings.key}: comes again, and opens no second case"] = twice
    state = "withheld" if not fit else "warned" if problems else "fit"
    return {"state": state, "rows": number, "fit": fit, "problems": dict(problems.most_common(10))}


def _lacks(
    values: Mapping[str, Any] | None, problem: str | None, contract: type[Contract], settings: Intake
) -> list[str]:
    if values is None:
        return [str(problem)]
    if settings.key not in values and settings.when_key_is_missing == "refuse":
        return [f"{settings.key}: there is no such column, and it is the business key"]
    given = {name: value for name, value in values.items() if name in contract.model_fields and value is not None}
    if settings.key not in values:
        given[settings.key] = "content"
    try:
        check_payload(contract, given)
    except ContractViolation as violation:
        return list(violation.problems)
    return []
