"""The pages: the review queue and the cases of a task. Rendered on the server; nothing of them is loaded from elsewhere."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from interlock.console.identity import Reader

router = APIRouter(default_response_class=HTMLResponse)


@router.get("/")
def home(person: Reader) -> str:
    """Return the review queue."""
    return f"<h1>Interlock</h1><p>{person.id}</p>"
