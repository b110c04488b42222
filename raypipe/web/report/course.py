"""The section of a report about the course of a run: books, calls, tokens, cost and quota."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from raypipe.core.units import format_usd
from raypipe.ledger.run_statistics import RunStatistics
from raypipe.web.report.charts import Chart
from raypipe.web.report.curves import Curve, draw_curves, rate
from raypipe.web.report.facts import RunFacts
from raypipe.web.report.sections import Section, Table
from raypipe.web.report.texts import format_bytes, format_count, format_number, format_share

_MINUTE = 60.0
_QUOTA = ("quota.", "budget.")
_OTHER_STYLE = 4


def draw_course(facts: RunFacts, other: RunFacts | None = None) -> Section | None:
    """Return the numbers of a run over time; None if they are not known.

    Args:
        facts: The run.
        other: A run whose rates are drawn into the same charts.
    """
    statistics = facts.statistics
    if statistics is None or len(statistics.series["seconds"]) < 2:
        return None
    charts = [
        draw_curves(
            "done", "Books that are done and failed", _books(statistics), format_count
        ),
        _draw_rates("books-rate", "Books per second", "books", statistics, other, 1.0),
    ]  # fmt: skip
    tables = []
    if any(statistics.column("calls")):
        cost = _curve(statistics, "usd", "cost")
        charts += [
            _draw_rates("calls", "Model calls per minute", "calls", statistics, other, _MINUTE),
            _draw_rates("tokens", "Tokens per minute", "tokens", statistics, other, _MINUTE),
            draw_curves("cost", "Cost in dollars", [cost], format_usd)
            if any(cost.values)
            else None,
        ]
        tables.append(_show_quota(facts, statistics))
    if any(statistics.column("memory_bytes")):
        memory = _curve(statistics, "memory_bytes", "memory")
        charts.append(draw_curves("memory", "Memory in use", [memory], format_bytes))
    return Section(
        "course",
        "Over time",
        [] if other is None else [f"Dashed gray lines: run {other.run.run_seq}."],
        charts=[chart for chart in charts if chart is not None],
        tables=tables,
    )


def _books(statistics: RunStatistics) -> list[Curve]:
    curves = [_curve(statistics, "done", "done")]
    if any(statistics.column("failed")):
        curves.append(_curve(statistics, "failed", "failed", style=2))
    return curves


def _draw_rates(
    name: str,
    title: str,
    noun: str,
    statistics: RunStatistics,
    other: RunFacts | None,
    per_s: float,
) -> Chart | None:
    """Draw the rate of books, calls or tokens; with the limit of tokens, and of another run."""
    curves = [rate(_count_of(statistics, noun), noun, per_s)]
    if noun == "tokens":
        curves.append(_curve(statistics, "tokens_per_minute", "limit of the quota", style=0))
    if other is not None and other.statistics is not None:
        label = f"{noun} of run {other.run.run_seq}"
        curves.append(rate(_count_of(other.statistics, noun), label, per_s, _OTHER_STYLE))
    return draw_curves(name, title, curves, format_number)


def _count_of(statistics: RunStatistics, noun: str) -> Curve:
    columns = {"books": ("done", "failed"), "tokens": ("input_tokens", "output_tokens")}
    parts = [statistics.column(name) for name in columns.get(noun, (noun,))]
    return Curve(
        noun, statistics.column("seconds"), [sum(part) for part in zip(*parts, strict=True)]
    )


def _curve(statistics: RunStatistics, column: str, name: str, style: int = 1) -> Curve:
    """Return the known values of a column."""
    points = zip(statistics.column("seconds"), statistics.series[column], strict=True)
    known = [(seconds, value) for seconds, value in points if value is not None]
    return Curve(name, [seconds for seconds, _ in known], [value for _, value in known], style)


def _show_quota(facts: RunFacts, statistics: RunStatistics) -> Table:
    """Return how much of the quota the calls used."""
    shares = quota_shares(statistics)
    in_flight = [value for value in statistics.series["in_flight"] if value is not None]
    rows = [["throttled calls", format_count(max(statistics.column("throttled")))]]
    if in_flight:
        rows.append(["calls in flight, on average", format_number(float(np.mean(in_flight)))])
        rows.append(["calls in flight, at most", format_count(max(in_flight))])
    measures: dict[str, Callable[[list[float]], float]] = {
        "on average": lambda values: float(np.mean(values)),
        "p95": lambda values: float(np.percentile(values, 95)),
        "at most": max,
    }
    for name, measure in measures.items():
        if shares:
            rows.append([f"share of the tokens per minute, {name}", format_share(measure(shares))])
    if not shares:
        rows.append(["share of the tokens per minute", "there was no limit"])
    rows += [
        [name, value]
        for name, value in facts.settings.items()
        if name.startswith(_QUOTA) and value != "null"
    ]
    return Table("Use of the quota", ["measure", "value"], rows)


def quota_shares(statistics: RunStatistics) -> list[float]:
    """Return the tokens per minute in each interval as a share of their limit."""
    tokens = _count_of(statistics, "tokens")
    points = zip(tokens.seconds, tokens.values, statistics.series["tokens_per_minute"], strict=True)
    return [
        (after - before) / (end - start) * _MINUTE / limit
        for (start, before, _), (end, after, limit) in pairwise(points)
        if limit and end > start
    ]
