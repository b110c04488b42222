"""The pages for browsers. They need no JavaScript."""

from __future__ import annotations

import time
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from raypipe.ledger.failure_log import describe_way_out, explain, group_by_kind
from raypipe.ledger.run_history import KILLED, NO_RUN, RUNNING, RunState
from raypipe.opensearch.search import MAX_HITS
from raypipe.opensearch.search.filters import Filters
from raypipe.web.parameters import (
    HITS,
    MAX_QUERY,
    MAX_ROWS,
    BookId,
    Description,
    Kind,
    Limit,
    Rows,
    RunName,
    read_filters,
)
from raypipe.web.readers import BookReader, NotFoundError, RunReader
from raypipe.web.rendering import STATIC_FILES, Renderer, read_static

LABELS = {
    "language": "Language",
    "author": "Author",
    "genre": "Genre",
    "flag": "Kind of text",
    "summarizer": "Summarized by",
    "fallback": "Fallback because of",
}
"""Names of the filters on the page, in their order."""

_RARE = ("fallback",)
"""Filters that few books have, so that a single value divides the books, too."""
_RUNS = 50
_FAILURES = 100
_REPORT_HEADERS = {
    # The report is a single file, with its style inside; it has no script.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
}
_KEEP = "public, max-age=31536000, immutable"


def make_pages(books: BookReader, runs: RunReader, renderer: Renderer) -> APIRouter:
    """Return the routes of the pages.

    Args:
        books: Reads books.
        runs: Reads runs and failures.
        renderer: Renders the templates.
    """
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    def page(template: str, section: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(renderer.render(template, section=section, **values))

    @router.get("/")
    def show_search(
        filters: Annotated[Filters, Depends(read_filters)], q: Description = "", limit: Limit = HITS
    ) -> HTMLResponse:
        chosen = filters.chosen()
        result = books.search(q, limit, filters) if q.strip() or chosen else None
        more = min(2 * limit, MAX_HITS)
        has_more = result is not None and len(result.hits) == limit < more
        return page(
            "search.html",
            "search",
            query=q,
            chosen=chosen,
            filters=_list_filters(books, chosen),
            result=result,
            more="/?" + urlencode({"q": q, **chosen, "limit": more}) if has_more else "",
            max_query=MAX_QUERY,
            index=books.alias.config.index,
        )

    @router.get("/books/{book_id}")
    def show_book(book_id: BookId) -> HTMLResponse:
        book = books.read(book_id)
        way_out = explain(book.failures[-1]["kind"]) if book.status == "failed" else ""
        return page("book.html", "search", book=book, document=book.document, way_out=way_out)

    @router.get("/runs")
    def list_runs() -> HTMLResponse:
        run = runs.find()
        values = _describe_run(run)
        return page(
            "runs.html", "runs", **values, runs=[_to_row(run) for run in runs.newest(_RUNS)]
        )

    @router.get("/runs/{name}")
    def show_run(name: RunName) -> HTMLResponse:
        run = runs.find(name)
        return page("run.html", "runs", **_describe_run(run), has_report=runs.has_report(run))

    @router.get("/runs/{name}/report")
    def show_report(name: RunName) -> HTMLResponse:
        return HTMLResponse(runs.read_report(name), headers=_REPORT_HEADERS)

    @router.get("/failures")
    def list_failures(kind: Kind = "", limit: Rows = _FAILURES) -> HTMLResponse:
        failed = runs.failures()
        groups = [(name, len(found), explain(name)) for name, found in group_by_kind(failed)]
        found = [book for book in failed if kind in ("", book.kind)]
        more = min(4 * limit, MAX_ROWS)
        is_cut = len(found) > limit < more
        return page(
            "failures.html",
            "failures",
            kind=kind,
            groups=groups,
            ways_out=describe_way_out(failed),
            failed=len(failed),
            found=len(found),
            books=found[::-1][:limit],
            more="/failures?" + urlencode({"kind": kind, "limit": more}) if is_cut else "",
        )

    @router.get("/static/{name}")
    def read_file(name: str) -> Response:
        if name not in STATIC_FILES:
            raise NotFoundError(f"there is no file {name}")
        headers = {"Cache-Control": _KEEP}
        return Response(read_static(name), media_type=STATIC_FILES[name], headers=headers)

    return router


def render_problem(renderer: Renderer, status: int, message: str, request: Request) -> HTMLResponse:
    """Return the page about a request that was not answered.

    Args:
        renderer: Renders the template.
        status: Status of the response.
        message: What happened, and what to do.
        request: The request.
    """
    section = request.url.path.split("/")[1] or "search"
    html = renderer.render("problem.html", section=section, status=status, message=message)
    return HTMLResponse(html, status)


def _list_filters(books: BookReader, chosen: dict[str, str]) -> list[dict[str, Any]]:
    """Return the filters that divide the books of the index, and those that are chosen."""
    facets = books.read_facets()
    return [
        {"name": name, "label": label, "values": facets[name], "chosen": chosen.get(name, "")}
        for name, label in LABELS.items()
        if len(facets[name]) > 1 or name in chosen or (name in _RARE and facets[name])
    ]


def _describe_run(run: RunState) -> dict[str, Any]:
    progress = run.progress
    return {
        "run": run,
        "record": run.record,
        "progress": progress,
        "is_running": run.status == RUNNING,
        "is_killed": run.status == KILLED,
        "has_begun": run.status != NO_RUN.status,
        "age_s": progress.age_s(time.time()) if progress is not None else None,
    }


def _to_row(run: RunState) -> dict[str, Any]:
    """Return the cells of a run in the table of runs; None where the number is unknown."""
    row: dict[str, Any] = {"run_id": run.run_id, "status": run.status, "seconds": None}
    if (record := run.record) is not None:
        done = record.indexed + record.finished
        row |= {"done": done, "failed": record.failed, "left": record.left}
        return row | {"calls": record.model_calls, "usd": record.usd, "seconds": record.seconds}
    names = ("done", "failed", "left", "calls", "usd")
    return row | {name: getattr(run.progress, name, None) for name in names}
