"""
The page of a fact: where a number comes from, its rows, and the number recomputed.

Everyone who may see cases may see a fact, as reviews state it. The underlying rows may contain personal data, so they
are shown only to people with that right in the workflow.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response

from interlock.console.guard import SeesDags, guards
from interlock.console.reading import Sees
from interlock.console.rendering import render
from interlock.domain.facts.fact import show_number
from interlock.engine.datasets.snapshot import Snapshots
from interlock.engine.facts.provenance import trace
from interlock.errors import UnknownName
from interlock.hooks.setting import snapshot_path

router = APIRouter(default_response_class=HTMLResponse)


@router.get("/fact/{fact_id}", dependencies=guards(SeesDags("see facts")))
def fact(fact_id: str, sight: Sees, rows: Annotated[int, Query(ge=1, le=1000)] = 50) -> Response:
    """Return where a fact comes from, with the first of its rows."""
    found = trace(sight.ledger, fact_id, Snapshots(snapshot_path()), limit=rows)
    if found.run.dag_id not in sight.dags:
        raise UnknownName("fact", fact_id, [])
    stated = found.fact
    return render(
        "fact.html.j2",
        here="fact",
        person=sight.person,
        fact=stated,
        found=found,
        again=show_number(found.again, stated.unit, stated.decimals),
        shows_rows=sight.may_read("read_personal", found.run.workflow),
        limit=rows,
    )
