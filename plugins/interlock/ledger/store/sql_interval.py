"""Lengths of time and medians of them in SQL, the same on SQLite and on PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, Select, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class seconds_between(FunctionElement[float]):  # it is written as a function of SQL
    """The seconds from one instant to another."""

    type = Float()
    name = "seconds_between"
    inherit_cache = True


@compiles(seconds_between, "postgresql")
def _on_postgresql(element: Any, compiler: Any, **kwargs: Any) -> str:
    start, end = element.clauses
    return f"EXTRACT(EPOCH FROM ({compiler.process(end, **kwargs)} - {compiler.process(start, **kwargs)}))::float"


@compiles(seconds_between, "sqlite")
def _on_sqlite(element: Any, compiler: Any, **kwargs: Any) -> str:
    start, end = (compiler.process(clause, **kwargs) for clause in element.clauses)
    whole = f"(strftime('%s', {end}) - strftime('%s', {start}))"  # julianday() is some microseconds off
    return f"({whole} + CAST('0' || substr({end}, 20) AS REAL) - CAST('0' || substr({start}, 20) AS REAL))"


def medians(
    connection: Connection, durations: Select[Any], seconds: ColumnElement[Any], *groups: ColumnElement[Any]
) -> dict[tuple[Any, ...], tuple[float, int]]:
    """
    Return the median and the number of *seconds* by *groups*.

    :param durations: what the columns are selected from; its own columns are replaced.
    """
    ranked = durations.with_only_columns(
        *(group.label(f"g{number}") for number, group in enumerate(groups)),
        seconds.label("seconds"),
        func.row_number().over(partition_by=groups or None, order_by=seconds).label("place"),
        func.count().over(partition_by=groups or None).label("number"),
    ).subquery()
    names = [ranked.c[f"g{number}"] for number in range(len(groups))]
    middle = select(*names, func.avg(ranked.c.seconds), func.max(ranked.c.number)).where(
        ranked.c.place.in_([(ranked.c.number + 1) // 2, (ranked.c.number + 2) // 2])
    )
    found = connection.execute(middle.group_by(*names) if names else middle)
    return {tuple(row[: len(groups)]): (float(row[-2]), int(row[-1])) for row in found if row[-1]}
