"""
The console's app: the API and the pages, behind Airflow's login.

A browser that asks for a page gets an error as a page, other clients as JSON. Without a login, a page cannot redirect
to Airflow's login: it may be in a frame that must not navigate, so it is a small page that reloads the top.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from interlock.console.address import base_path
from interlock.console.entrance import Entrance
from interlock.console.identity import current_person
from interlock.console.security import SecurityHeaders
from interlock.domain.base.door import as_text
from interlock.errors import (
    AgentUnavailable,
    ConfigurationError,
    ConnectorUnavailable,
    InterlockError,
    LedgerError,
    NotAuthorised,
    Superseded,
    UnknownName,
)

_STATUS: tuple[tuple[type[InterlockError], int], ...] = (
    (UnknownName, 404),
    (NotAuthorised, 403),
    (ConfigurationError, 422),
    (Superseded, 409),
    (LedgerError, 503),
    (ConnectorUnavailable, 503),
    (AgentUnavailable, 503),
    (InterlockError, 409),
)
"""The first class that an error is of counts. None is a 500: that is for what nobody thought of."""


def create_app() -> FastAPI:
    """Return the app that Airflow mounts; everything in it except its static files needs a login."""
    from interlock.console.api_case import router as api
    from interlock.console.api_delegation import router as api_of_delegations
    from interlock.console.api_incident import router as api_of_incidents
    from interlock.console.api_outcome import router as api_of_outcomes
    from interlock.console.api_value import router as api_of_value
    from interlock.console.api_version import router as api_of_versions
    from interlock.console.page import router as pages
    from interlock.console.page_fact import router as pages_of_facts
    from interlock.console.page_quality import router as pages_of_quality
    from interlock.console.page_value import router as pages_of_value
    from interlock.reporting.page import FOLDER as REPORTING

    app = FastAPI(title="Interlock", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/reporting", StaticFiles(directory=REPORTING / "static"), name="reporting")
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    app.include_router(api, prefix="/api", dependencies=[Depends(current_person)])
    for router in (api_of_versions, api_of_delegations, api_of_incidents, api_of_outcomes, api_of_value):
        app.include_router(router, prefix="/api", dependencies=[Depends(current_person)])
    app.include_router(pages_of_quality, dependencies=[Depends(current_person)])
    app.include_router(pages_of_value, dependencies=[Depends(current_person)])
    app.include_router(pages_of_facts, dependencies=[Depends(current_person)])
    app.include_router(pages, dependencies=[Depends(current_person)])
    app.add_exception_handler(InterlockError, _error_response)
    app.add_exception_handler(HTTPException, _http_error_response)
    app.add_middleware(Entrance, refuse=_refused)
    app.add_middleware(SecurityHeaders)
    return app


async def _error_response(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    return _refused(request, status, as_text(str(error)), type(error).__name__)


def _refused(request: Request, status: int, message: str, error: str = "UnfitValue") -> Response:
    if _wants_page(request):
        return _page(status, message)
    return JSONResponse({"detail": message, "error": error}, status_code=status)


async def _http_error_response(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if not _wants_page(request):
        return await http_exception_handler(request, error)
    # Airflow answers 403 "Invalid JWT token" to the cookie of a server whose keys were changed.
    if error.status_code == 401 or (error.status_code == 403 and "JWT" in str(error.detail)):
        return _page(401, "", template="lost_session.html.j2", login=_login_address())
    return _page(error.status_code, str(error.detail))


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _page(status: int, message: str, *, template: str = "error.html.j2", **values: str) -> Response:
    from interlock.console.rendering import render

    return render(template, status=status, message=message, code=status, **values)


def _login_address() -> str:
    from airflow.api_fastapi.app import get_auth_manager

    address = str(get_auth_manager().get_url_login())
    if "://" in address or address.startswith(f"{base_path()}/auth/"):
        return address
    return f"{base_path()}/{address.lstrip('/')}"
