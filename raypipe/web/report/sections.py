"""The sections of a report about a single run, from the outcome to the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.core.units import format_usd
from raypipe.ledger.failure_log import FailedBook, describe_way_out, explain, group_by_kind
from raypipe.ledger.run_history import RUNNING
from raypipe.web.report.bars import draw_latencies, draw_outcome, draw_sizes
from raypipe.web.report.charts import Chart
from raypipe.web.report.facts import RunFacts
from raypipe.web.report.texts import (
    format_bytes,
    format_count,
    format_number,
    format_seconds,
    format_share,
)

MAX_EXAMPLES = 5
"""Failed books of a kind that are shown, the newest; `raypipe failures` lists all."""
MAX_KINDS = 40
_MAX_CHARS = 1_000

_OUTCOMES = {"done": 3, "failed": 2, "left": 1, "skipped": 4}
"""Outcomes of books, with their style in the chart."""


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Args:
        caption: What it shows.
        headings: Heading of each column.
        rows: The cells; the first of a row names it.
        texts: Number of first columns with texts; the others have numbers.
        is_folded: Whether it is shown on request only.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    is_folded: bool = False


@dataclass(frozen=True)
class Group:
    """A table with a heading and an explanation."""

    title: str
    text: str
    table: Table


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Args:
        name: Its anchor.
        title: Its heading.
        lines: Paragraphs.
        tiles: Names and values of single numbers.
        bars: Charts without axes.
        charts: Charts.
        tables: Tables.
        groups: Tables with headings.
    """

    name: str
    title: str
    lines: Sequence[str] = ()
    tiles: Sequence[tuple[str, str]] = ()
    bars: Sequence[Chart] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    groups: Sequence[Group] = ()


def show_outcome(facts: RunFacts) -> Section:
    """Return the counts of books, calls, tokens and dollars."""
    counts, record = facts.counts, facts.record
    tiles = [(name, format_count(counts[name])) for name in ("listed", *_OUTCOMES)]
    for name in ("degraded", "removed"):
        if counts[name]:
            tiles.append((name, format_count(counts[name])))
    tiles.append(("time", format_seconds(counts["seconds"])))
    tiles.append(("books per second", format_number(counts["books_per_s"])))
    if counts["model_calls"] or counts["cached_calls"]:
        tiles.append(("model calls", format_count(counts["model_calls"])))
        if counts["cached_calls"] is not None:
            tiles.append(("cached answers", format_count(counts["cached_calls"])))
        tiles.append(("input tokens", format_count(counts["input_tokens"])))
        tiles.append(("output tokens", format_count(counts["output_tokens"])))
        tiles.append(("cost", format_usd(counts["usd"])))
    lines = []
    if record.known_failures:
        lines.append(
            f"{format_count(record.known_failures)} of the skipped books have a failure of an "
            "earlier run; `raypipe retry all=true` tries them again."
        )
    if record.unseen:
        lines.append(
            f"{format_count(record.unseen)} finished books are in folders that could not be "
            f"listed ({format_count(record.unlisted_folders)}); they are kept."
        )
    if record.lacking:
        lines.append(f"The new index lacks {format_count(record.lacking)} books of the served one.")
    outcome = draw_outcome([(name, counts[name] or 0, style) for name, style in _OUTCOMES.items()])
    return Section("outcome", "Outcome", lines, tiles, [outcome] if outcome else [])


def show_latencies(facts: RunFacts) -> Section:
    """Return how long books took in each stage, and the steps of the run."""
    latencies = facts.statistics.latencies if facts.statistics else {}
    known = {stage: times for stage, times in latencies.items() if times.count}
    rows = [
        [
            stage,
            format_count(times.count),
            *(format_seconds(times.percentile(share)) for share in (0.5, 0.95, 0.99)),
            format_seconds(times.largest),
            format_seconds(times.total),
        ]
        for stage, times in known.items()
    ]
    tables = []
    if rows:
        headings = ["stage", "books", "p50", "p95", "p99", "longest", "sum"]
        tables.append(Table("Time of a book in each stage", headings, rows))
    if steps := facts.record.stage_seconds:
        caption = "Steps of the run; those of _busy are summed over workers"
        cells = [[name, format_seconds(seconds)] for name, seconds in steps.items()]
        tables.append(Table(caption, ["step", "time"], cells, is_folded=True))
    lines = (
        [
            "Percentiles are mostly accurate to 1 %. A book takes part in the embedding of its "
            "batch and in the write of its group: it counts with their whole time."
        ]
        if rows
        else [_no_statistics(facts)]
    )
    chart = draw_latencies(known)
    return Section(
        "stages", "Stage latencies", lines, charts=[chart] if chart else [], tables=tables
    )


def show_models(facts: RunFacts) -> Section | None:
    """Return the calls and cost of each model; None without a call."""
    used = [each for each in facts.record.models if each["calls"] or each["cached_calls"]]
    if not used:
        return None
    numbers = ("calls", "cached_calls", "input_tokens", "output_tokens")
    rows = [
        [
            str(each["model"]),
            str(each["service_tier"]),
            *(format_count(each[name]) for name in numbers),
            format_usd(each["usd"]),
        ]
        for each in used
    ]
    headings = ["model", "tier", "calls", "from the cache", "input tokens", "output tokens", "cost"]
    caption = "What the run used of each model"
    return Section("models", "Models", tables=[Table(caption, headings, rows, texts=2)])


def show_books(facts: RunFacts) -> Section | None:
    """Return the sizes of the books and the slowest books; None if neither is known."""
    statistics = facts.statistics
    if statistics is None or not (statistics.sizes.count or statistics.slowest):
        return None
    chart = draw_sizes(statistics.sizes)
    rows = [
        [book.key[:_MAX_CHARS], book.stage, format_seconds(book.seconds), format_bytes(book.size)]
        for book in statistics.slowest
    ]
    caption = "Books that took longest to read, clean and summarize, and the stage that took most"
    headings = ["book", "stage", "time", "size"]
    tables = [Table(caption, headings, rows, texts=2)] if rows else []
    return Section("books", "Books", charts=[chart] if chart else [], tables=tables)


def show_failures(facts: RunFacts) -> Section:
    """Return the failed books by kind, with examples and the ways out."""
    if not facts.failed:
        failed = facts.counts["failed"]
        text = "No book failed." if not failed else f"{format_count(failed)} books failed so far."
        return Section("failures", "Failures", [text])
    groups = []
    for kind, books in group_by_kind(facts.failed)[:MAX_KINDS]:
        share = format_share(len(books) / len(facts.failed))
        shown = books[-MAX_EXAMPLES:][::-1]
        caption = f"Failed with {kind}"
        if len(shown) < len(books):
            caption += f", the newest {len(shown)} of {format_count(len(books))} books"
        table = Table(caption, ["book", "stage", "message"], [_row(book) for book in shown], 3)
        noun = "book" if len(books) == 1 else "books"
        groups.append(
            Group(f"{kind}: {len(books):,} {noun}, {share}", f"{_sentence(explain(kind))}", table)
        )
    lines = [f"{line}." for line in describe_way_out(facts.failed)]
    lines.append("`raypipe failures` lists all books that no later run finished.")
    return Section("failures", "Failures", lines, groups=groups)


def show_settings(facts: RunFacts) -> Section:
    """Return the options of the run and the versions of raypipe, Python and libraries."""
    tables = []
    if versions := facts.record.versions:
        rows = [[name, version] for name, version in versions.items()]
        tables.append(Table("Versions", ["program", "version"], rows, texts=2))
    lines = []
    if facts.settings:
        rows = [[name, value] for name, value in facts.settings.items()]
        caption = f"All {len(rows):,} options, without secrets, price tables and prompts"
        tables.append(Table(caption, ["option", "value"], rows, texts=2, is_folded=True))
    elif facts.run.status == RUNNING:
        lines.append("The options are recorded when the run ends.")
    else:
        lines.append("This run recorded no options.")
    return Section("settings", "Settings and versions", lines, tables=tables)


def _no_statistics(facts: RunFacts) -> str:
    if facts.statistics is not None:
        return "No book has left a stage."
    if facts.run.status == RUNNING:
        return "The run records its statistics every 30 seconds; there are none yet."
    return "This run recorded no statistics: it processed no book, or an older raypipe made it."


def _row(book: FailedBook) -> list[str]:
    message = book.message.removeprefix(f"{book.key}: ")
    return [book.key[:_MAX_CHARS], book.stage, message[:_MAX_CHARS]]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
