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
from interlock.console.identity import Reader
from interlock.console.ledger import OpenLedger
from interlock.console.reading import may_read
from interlock.console.rendering import render
from interlock.domain.facts.fact import show_number
from interlock.engine.datasets.snapshot import Snapshots
from interlock.engine.facts.provenance import trace
from interlock.hooks.setting import snapshot_path

router = APIRouter(default_response_class=HTMLResponse)


@router.get("/fact/{fact_id}", dependencies=guards(SeesDags("see facts")))
def fact(
    fact_id: str,
    person: Reader,
    ledger: OpenLedger,
    rows: Annotated[int, Query(ge=1, le=1000)] = 50,
    reading: str | None = None,
) -> Response:
    """
    Return where a fact comes from, with the first of its rows.

    :param reading: the reading of the run whose fact is shown; default: of the newest that stated it.
    """
    found = trace(ledger, fact_id, Snapshots(snapshot_path()), limit=rows, reading_id=reading)
    stated = found.fact
    return render(
        "fact.html.j2",
        here="fact",
        person=person,
        fact=stated,
        found=found,
        again=show_number(found.again, stated.unit, stated.decimals),
        shows_rows=may_read(person, ledger, "read_personal", found.run.workflow),
        limit=rows,
    )
