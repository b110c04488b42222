"""The section of a report that sets two runs side by side."""

from __future__ import annotations

from collections.abc import Callable

from raypipe.core.units import format_usd
from raypipe.web.report.facts import RunFacts
from raypipe.web.report.sections import Section, Table
from raypipe.web.report.texts import (
    format_change,
    format_count,
    format_number,
    format_seconds,
)

_FORMATS: dict[str, Callable[[float | None], str]] = {
    "seconds": format_seconds,
    "books_per_s": format_number,
    "usd": format_usd,
}
_NAMES = {
    "seconds": "time",
    "books_per_s": "books per second",
    "model_calls": "model calls",
    "cached_calls": "cached answers",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "usd": "cost",
}
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_MAX_ROWS = 200


def compare_runs(facts: RunFacts, other: RunFacts | None) -> Section | None:
    """Return the numbers, latencies and settings of two runs; None without a second run."""
    if other is None:
        return None
    this, that = (f"run {each.run.run_seq}" for each in (facts, other))
    headings = ["", this, that, "change"]
    tables = [
        Table(f"Numbers of {this} and {that}", ["number", *headings[1:]], _numbers(facts, other))
    ]
    if rows := _latencies(facts, other):
        tables.append(Table(f"Time of a book in {this} and {that}", ["stage", *headings[1:]], rows))
    lines = [f"Run {other.run.run_seq} is {other.run.run_id}: {other.run.status}."]
    if facts.settings and other.settings:
        changed = _changed_settings(facts, other)
        if changed:
            caption = f"Options that differ between {this} and {that}"
            tables.append(Table(caption, ["option", this, that], changed, texts=3))
        else:
            lines.append("Both runs had the same options.")
    return Section("comparison", f"Comparison with {that}", lines, tables=tables)


def _numbers(facts: RunFacts, other: RunFacts) -> list[list[str]]:
    rows = []
    mine, theirs = facts.counts, other.counts
    for name, value in mine.items():
        if value is None and theirs[name] is None:
            continue
        show = _FORMATS.get(name, format_count)
        change = format_change(value, theirs[name])
        rows.append([_NAMES.get(name, name), show(value), show(theirs[name]), change])
    return rows


def _latencies(facts: RunFacts, other: RunFacts) -> list[list[str]]:
    if facts.statistics is None or other.statistics is None:
        return []
    rows = []
    for stage, times in facts.statistics.latencies.items():
        before = other.statistics.latencies.get(stage)
        if before is None or not times.count or not before.count:
            continue
        for name, share in _SHARES.items():
            new, old = times.percentile(share), before.percentile(share)
            cells = [format_seconds(new), format_seconds(old), format_change(new, old)]
            rows.append([f"{stage}, {name}", *cells])
    return rows


def _changed_settings(facts: RunFacts, other: RunFacts) -> list[list[str]]:
    names = dict.fromkeys([*facts.settings, *other.settings])
    return [
        [name, facts.settings.get(name, "not set"), other.settings.get(name, "not set")]
        for name in names
        if facts.settings.get(name) != other.settings.get(name)
    ][:_MAX_ROWS]
