"""Render the report of a run as a page."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from raypipe import __version__
from raypipe.coordination.stop_kinds import stop_kind
from raypipe.core.exit_codes import FAILED_BOOKS
from raypipe.core.printable import escape_line
from raypipe.ledger.run_history import KILLED, RUNNING
from raypipe.web.rendering import format_code
from raypipe.web.report.comparison import compare_runs
from raypipe.web.report.course import draw_course
from raypipe.web.report.facts import RunFacts
from raypipe.web.report.sections import (
    Section,
    show_books,
    show_failures,
    show_latencies,
    show_models,
    show_outcome,
    show_settings,
)
from raypipe.web.report.texts import format_seconds
from raypipe.web.styles import read_style


@dataclass(frozen=True)
class Page:
    """The content of a report.

    Args:
        title: Title.
        status: Status of the run.
        status_class: `good`, `bad` or `warn`.
        summary: Lines below the title.
        sections: The sections, in order.
        made_at: When the page was made, ISO 8601, UTC.
        state: The state.
        version: raypipe's version.
    """

    title: str
    status: str
    status_class: str
    summary: Sequence[str]
    sections: Sequence[Section]
    made_at: str
    state: str
    version: str = __version__


def render_report(facts: RunFacts, other: RunFacts | None = None) -> str:
    """Return the page about a run, as HTML.

    All texts are escaped, whatever books, keys and messages contain. The page has no script, and
    its policy forbids every request.

    Args:
        facts: The run.
        other: The run to compare with; None for none.
    """
    style = read_style("report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    template = _environment().get_template("report.html")
    # A constant file of the package: nothing in it needs escaping.
    return template.render(page=_describe(facts, other), policy=policy, style=Markup(style))  # noqa: S704


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = format_code
    return environment


def _finalize(value: Any) -> Any:
    """Make control characters and overrides of the text direction visible."""
    return escape_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _describe(facts: RunFacts, other: RunFacts | None) -> Page:
    sections = [
        show_outcome(facts),
        draw_course(facts, other),
        show_latencies(facts),
        show_models(facts),
        show_books(facts),
        show_failures(facts),
        compare_runs(facts, other),
        show_settings(facts),
    ]
    status, status_class = _status(facts)
    return Page(
        f"raypipe run {facts.run.run_seq}",
        status,
        status_class,
        _summarize(facts),
        [section for section in sections if section is not None],
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        facts.state_uri,
    )


def _status(facts: RunFacts) -> tuple[str, str]:
    """Return the status as text, and its class in the style."""
    status = facts.run.status
    if status == "done" and facts.run.exit_code == FAILED_BOOKS:
        return "done, with failed books", "warn"
    return status, {"done": "good", RUNNING: "good", "error": "bad", KILLED: "bad"}.get(
        status, "warn"
    )


def _way_out(status: str, reason: str) -> str:
    """Return how a run continues; '' after an error, whose text has the fix."""
    if status == "error":
        return ""
    is_budget = stop_kind(reason) == "budget"
    return " Raise the budget, then run again." if is_budget else " Run again to continue."


def _summarize(facts: RunFacts) -> list[str]:
    run, record = facts.run, facts.record
    lines = [f"Run {run.run_id}"]
    if run.record is not None:
        lines[0] += f", begun at {record.started_at}, took {format_seconds(record.seconds)}."
    elif run.status == RUNNING:
        seen = run.progress.at if run.progress else "unknown"
        lines[0] += f" still works; its last numbers are of {seen}."
    else:
        lines[0] += " ended without a record. Run again to continue; nothing is lost."
    reason = record.reason or (run.progress.stop_reason if run.progress else "")
    if reason:
        lines.append(f"It stopped: {reason.rstrip('.')}.{_way_out(run.status, reason)}")
    if run.status == RUNNING and run.progress and run.progress.eta_s is not None:
        limit = f", limited by {run.progress.limit}" if run.progress.limit else ""
        lines.append(f"It ends in about {format_seconds(run.progress.eta_s)}{limit}.")
    if record.served:
        lines.append(f"The served index is {record.served}.")
    return lines
