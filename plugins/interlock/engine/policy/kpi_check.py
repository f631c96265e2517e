"""Whether KPIs, insights and the tasks that name them fit together, asked before anyone publishes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from interlock.agents.rendering import constant_text
from interlock.analysis.measure import SnapshotTable, empty_table
from interlock.domain.agents.agent import ReportAgent
from interlock.domain.base.strict_yaml import load_yaml
from interlock.domain.cases.wiring import Wiring
from interlock.domain.facts.indicator import Indicator, Kpis, is_splittable, parse_kpis
from interlock.domain.facts.insight import Insights, parse_insights
from interlock.domain.policy.version import Bundle
from interlock.domain.reviews.number_parser import TAKEN, numbers_in
from interlock.domain.reviews.review_template import parse_outlines
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
    insights: Insights | None = None
    if INSIGHTS in bundle.files:
        try:
            insights = parse_insights(bundle.document(INSIGHTS))
        except (ConfigurationError, PolicyError) as error:
            problems.append(f"{INSIGHTS}: {error}")
        else:
            problems += _of_insights(insights, sets)
    problems += template_problems(bundle, sets, insights)
    for task in wiring.tasks.values() if wiring is not None else ():
        if task.kpis is not None and task.kpis not in sets:
            problems.append(f"task {task.task_id!r}: {UnknownName('set of KPIs', task.kpis, sets, where='kpis')}")
    return problems


def kpi_notes(bundle: Bundle) -> list[str]:
    """Return which parts of an indicator may be withheld, because its aggregate cannot be split by segment."""
    notes = []
    for path in sorted(bundle.files):
        if not (path.startswith("kpis/") and path.endswith(".yaml")):
            continue
        for name, indicator in parse_kpis(bundle.document(path), where=path).indicators.items():
            aggregates = [indicator.value, *([indicator.per] if indicator.per else [])]
            whole = [one for one in aggregates if not is_splittable(one)] if indicator.explain else []
            if whole:
                notes.append(
                    f"{path}: indicator {name!r}: {' and '.join(whole)} cannot be split by "
                    f"{', '.join(indicator.explain)}: "
                    "parts that do not add up to the whole are withheld. Sums and counts of rows can be split"
                )
    return notes


def template_problems(bundle: Bundle, sets: Mapping[str, Kpis], insights: Insights | None) -> Iterator[str]:
    """
    Yield what templates of insights and reviews state of themselves: a number that no fact carries is withheld at work.

    A number in a part that is written in some cases only is checked by the run, and so are names such as ``3M``.
    """
    indicators = [one for kpis in sets.values() for one in kpis.indicators.values()]
    names = {name for one in indicators for name in (one.title, *one.assumptions)}
    targets = {one.target for one in indicators if one.target is not None}
    for place, text in _templates(bundle, insights):
        try:
            constant = constant_text(text, TAKEN)
        except ConfigurationError:
            continue  # told where the template is parsed
        for name in sorted(names, key=len, reverse=True):
            constant = constant.replace(name, TAKEN * len(name))
        for number in numbers_in(constant):
            beside = constant[max(number.start - 1, 0) : number.end + 1].strip()
            is_name = re.search(r"\d[^\W\d]|[^\W\d]\d", beside) or number.is_fraction
            is_known = number.is_year or any(value in targets for value, _ in number.readings)
            if not (is_name or is_known):
                written = number.text.strip(TAKEN)
                yield (
                    f"{place} states {written!r} of itself, which is read as a number and which no fact carries. "
                    "Ask for a fact with say('…'), or use another word"
                )


def _templates(bundle: Bundle, insights: Insights | None) -> Iterator[tuple[str, str]]:
    for rule in insights.insights if insights is not None else ():
        yield f"{INSIGHTS}: title of insight {rule.name!r}", rule.title
        yield f"{INSIGHTS}: recommendation of insight {rule.name!r}", rule.recommendation
    for agent in bundle.agents.values():
        if not isinstance(agent, ReportAgent) or agent.template not in bundle.files:
            continue
        try:
            outlines = parse_outlines(load_yaml(bundle.text(agent.template), where=agent.template))
        except ConfigurationError:
            continue  # told when the agent is made
        for outline in (outlines.review, outlines.insight):
            yield f"{agent.template}: title", outline.title
            for section in outline.sections or ():
                yield f"{agent.template}: heading {section.heading!r}", section.heading
                for sentence in section.sentences:
                    yield f"{agent.template}: a sentence of {section.heading!r}", sentence.text


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
