"""The console's app: the API and the pages, behind Airflow's login."""

from __future__ import annotations

from pathlib import Path

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from interlock.console.identity import current_person
from interlock.errors import (
    ConfigurationError,
    InputError,
    InterlockError,
    LedgerUnavailable,
    NotAuthorised,
    UnknownName,
)

_STATUS: tuple[tuple[type[InterlockError], int], ...] = (
    (UnknownName, 404),
    (NotAuthorised, 403),
    (InputError, 409),
    (ConfigurationError, 422),
    (LedgerUnavailable, 503),
)


def create_app() -> FastAPI:
    """Return the app that Airflow mounts; everything in it but its static files asks for a login."""
    from interlock.console.api import router as api
    from interlock.console.page import router as pages

    app = FastAPI(title="Interlock", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    app.include_router(api, prefix="/api", dependencies=[Depends(current_person)])
    app.include_router(pages, dependencies=[Depends(current_person)])
    app.add_exception_handler(InterlockError, _tell)
    return app


async def _tell(request: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    return JSONResponse({"detail": str(error), "error": type(error).__name__}, status_code=status)
