"""Whether datasets, suites and the tasks that check them fit together: asked before anyone publishes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches

from interlock.domain.cases.wiring import Wiring
from interlock.domain.data.quality import Suite, parse_suite
from interlock.domain.policy.version import Bundle
from interlock.errors import ConfigurationError, UnknownName

FOLDER = "expectations"


def suite_problems(bundle: Bundle, wiring: Wiring | None = None) -> list[str]:
    """
    Return what is wrong with the suites of *bundle*, and with what names them.

    :param wiring: the Dag; default: its data checks are not checked.
    """
    problems: list[str] = []
    for name, dataset in bundle.datasets.items():
        if dataset.suite is not None:
            problems += _misfits(bundle, dataset.suite, dataset.columns, f"dataset {name!r}", "datasets.yaml")
    fields = bundle.contracts.get(bundle.policy.contract, {}).get("schema", {}).get("properties", {})
    for task in wiring.tasks.values() if wiring is not None else ():
        where = f"task {task.task_id!r}"
        if task.suite is not None:
            problems += _misfits(bundle, task.suite, fields, f"contract {bundle.policy.contract!r}", where)
        if task.dataset is not None and task.dataset not in bundle.datasets:
            problems.append(f"{where}: {UnknownName('dataset', task.dataset, bundle.datasets, where='datasets.yaml')}")
    return problems


def load_suite(bundle: Bundle, name: str) -> Suite:
    """
    Return the suite *name*.

    :raises UnknownName: there is none.
    :raises ConfigurationError: it cannot be used.
    """
    path = f"{FOLDER}/{name}.yaml"
    if path not in bundle.files:
        existing = [file.removeprefix(f"{FOLDER}/").removesuffix(".yaml") for file in bundle.files if FOLDER in file]
        raise UnknownName("suite", name, existing, where=FOLDER)
    return parse_suite(bundle.document(path), where=path)


def _misfits(bundle: Bundle, name: str, columns: Collection[str], of: str, where: str) -> Iterator[str]:
    try:
        suite = load_suite(bundle, name)
    except ConfigurationError as error:
        yield f"{where}: {error}"
        return
    for item in suite.expectations:
        for column in item.columns:
            if column not in columns:
                near = get_close_matches(column, list(columns), n=1)
                meant = f"; did you mean {near[0]!r}?" if near else ""
                yield f"{FOLDER}/{name}.yaml, {item.title!r}: {of} has no column {column!r}{meant}"
