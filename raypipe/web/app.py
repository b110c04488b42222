"""Make the app of the page: its routes, its errors, and who may use it."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from raypipe import __version__
from raypipe.core.errors import OptionError, RaypipeError
from raypipe.core.redact import redact_urls
from raypipe.web.access import AccessRules, Gate
from raypipe.web.api import make_api
from raypipe.web.pages import make_pages, render_problem
from raypipe.web.readers import BookReader, NotFoundError, RunReader
from raypipe.web.rendering import Renderer

log = logging.getLogger(__name__)

_UNEXPECTED = "an unexpected error; the terminal of `raypipe serve` shows it: please report it"


def create_app(books: BookReader, runs: RunReader, rules: AccessRules) -> ASGIApp:
    """Return the app.

    Args:
        books: Reads books.
        runs: Reads runs and failures.
        rules: Which requests are answered.
    """
    # The pages about the API that FastAPI makes load scripts from another server.
    app = FastAPI(
        title="raypipe",
        version=__version__,
        description="Search the books of an index, and read the runs and failures of a state.",
        docs_url=None,
        redoc_url=None,
    )
    renderer = Renderer()
    app.include_router(make_api(books, runs))
    app.include_router(make_pages(books, runs, renderer))

    def explain(request: Request, status: int, message: str) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": message}, status)
        return render_problem(renderer, status, message, request)

    @app.exception_handler(RaypipeError)
    def explain_error(request: Request, error: RaypipeError) -> Response:
        is_option, is_missing = isinstance(error, OptionError), isinstance(error, NotFoundError)
        return explain(request, 400 if is_option else 404 if is_missing else 503, str(error))

    @app.exception_handler(RequestValidationError)
    def explain_parameter(request: Request, error: RequestValidationError) -> Response:
        problems = (f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
        return explain(request, 422, "; ".join(problems))

    @app.exception_handler(HTTPException)
    def explain_status(request: Request, error: HTTPException) -> Response:
        message = "there is no such page" if error.status_code == 404 else str(error.detail)
        return explain(request, error.status_code, message)

    @app.exception_handler(Exception)
    def explain_unexpected(request: Request, error: Exception) -> Response:
        message = redact_urls(f"{type(error).__name__}: {error}")
        log.error("GET %s failed: %s", request.url.path, message, exc_info=error)
        return explain(request, 500, _UNEXPECTED)

    return Gate(app, rules)
