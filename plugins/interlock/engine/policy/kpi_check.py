"""Whether KPIs, insights and the tasks that name them fit together, asked before anyone publishes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from interlock.analysis.measure import SnapshotTable, empty_table
from interlock.domain.cases.wiring import Wiring
from interlock.domain.facts.indicator import Indicator, Kpis, parse_kpis
from interlock.domain.facts.insight import Insights, parse_insights
from interlock.domain.policy.version import Bundle
from interlock.errors import ConfigurationError, InterlockError, PolicyError, UnknownName

INSIGHTS = "insights.yaml"


def kpi_problems(bundle: Bundle, wiring: Wiring | None = None) -> list[str]:
    """
    Return what is wrong with the KPIs and insights of *bundle*, and with what names them.

    Every expression is tried on a table without rows, so a misspelt column is told before a run meets it.
    """
    problems: list[str] = []
    sets: dict[str, Kpis] = {}
    for path in sorted(bundle.files):
        folder, _, file = path.rpartition("/")
        if folder == "kpis" and file.endswith(".yaml"):
            try:
                sets[file.removesuffix(".yaml")] = kpis = parse_kpis(bundle.document(path), where=path)
            except ConfigurationError as error:
                problems.append(str(error))
                continue
            problems += _of_kpis(bundle, kpis, path)
    if INSIGHTS in bundle.files:
        try:
            insights = parse_insights(bundle.document(INSIGHTS))
        except (ConfigurationError, PolicyError) as error:
            problems.append(f"{INSIGHTS}: {error}")
        else:
            problems += _of_insights(insights, sets)
    for task in wiring.tasks.values() if wiring is not None else ():
        if task.kpis is not None and task.kpis not in sets:
            problems.append(f"task {task.task_id!r}: {UnknownName('set of KPIs', task.kpis, sets, where='kpis')}")
    return problems


def _of_kpis(bundle: Bundle, kpis: Kpis, path: str) -> Iterator[str]:
    dataset = bundle.datasets.get(kpis.dataset)
    if dataset is None:
        yield f"{path}: {UnknownName('dataset', kpis.dataset, bundle.datasets, where='datasets.yaml')}"
        return
    with empty_table(dataset.columns) as table:
        for name, indicator in kpis.indicators.items():
            yield from _of_indicator(table, indicator, dataset.columns, f"{path}: indicator {name!r}")


def _of_indicator(table: SnapshotTable, indicator: Indicator, columns: Mapping[str, str], where: str) -> Iterator[str]:
    for column in indicator.explain:
        if column not in columns:
            yield f"{where}: {UnknownName('column', column, columns, where='its dataset')}"
    for expression in (indicator.value, indicator.per):
        if expression is not None:
            try:
                table.measure(expression, indicator.where or "true")
            except InterlockError as error:
                yield f"{where}: {error}"


def _of_insights(insights: Insights, sets: Mapping[str, Kpis]) -> Iterator[str]:
    named = [*insights.kpis, *(insights.review.kpis if insights.review else ())]
    for name in dict.fromkeys(named):
        if name not in sets:
            yield f"{INSIGHTS}: {UnknownName('set of KPIs', name, sets, where='kpis')}"
    known = {indicator: kpis for name in insights.kpis if name in sets for indicator, kpis in _indicators(sets[name])}
    for rule in insights.insights:
        for indicator in rule.indicators:
            if indicator not in known:
                unknown = UnknownName("indicator", indicator, known, where="the KPIs that it names")
                yield f"{INSIGHTS}: insight {rule.name!r}: {unknown}"
            elif known[indicator].anomalies is None and {"anomaly", "expected"} & set(rule.fires.reads):
                yield (
                    f"{INSIGHTS}: insight {rule.name!r} asks for anomalies of {indicator!r}, and "
                    f"kpis/{known[indicator].kpis}.yaml does not say how they are looked for"
                )


def _indicators(kpis: Kpis) -> Iterator[tuple[str, Kpis]]:
    for name in kpis.indicators:
        yield name, kpis
