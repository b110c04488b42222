"""Show the progress of a run on a terminal, in a table that is drawn again each second."""

from __future__ import annotations

import logging
import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from raypipe.cli.log_handlers import LogFile, find_log_file, logs_json
from raypipe.coordination.progress import LOG_EVERY_S, ProgressLog, Snapshot
from raypipe.coordination.progress_line import (
    format_calls,
    format_eta,
    format_progress,
)
from raypipe.core.activity import activity
from raypipe.core.printable import escape_line

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

_MAX_KINDS = 6


def find_view() -> LiveDisplay | None:
    """Return the live display, or None where lines are logged.

    That is without a terminal, with `log=json`, and where the encoding of the terminal lacks the
    bar: the escapes of its characters would be wider than the lines that are drawn again.
    """
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    return LiveDisplay() if is_terminal and _has_bar(sys.stderr) and not logs_json() else None


def _has_bar(stream: TextIO) -> bool:
    try:
        _bar(0.5).encode(stream.encoding or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


class LiveDisplay:
    """A table on the terminal; the log scrolls above it. The log file still gets the lines."""

    every_s = 1.0

    def __init__(self) -> None:
        self._live: Live | None = None
        self._handlers: list[tuple[logging.StreamHandler, object]] = []  # type: ignore[type-arg]
        self._filed_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def show(self, snapshot: Snapshot) -> None:
        """Draw the table; at the end, replace it by the last progress line."""
        if snapshot.ended:
            self.close()
            ProgressLog().show(snapshot)
            return
        if self._live is None:
            self._start()
        assert self._live is not None
        self._live.update(draw(snapshot), refresh=True)
        activity.sign()
        if time.monotonic() - self._filed_at >= LOG_EVERY_S and (file := find_log_file()):
            self._filed_at = time.monotonic()
            line = format_progress(
                snapshot.progress, snapshot.total, snapshot.outlook, snapshot.usage
            )
            file.write_line(logging.INFO, line)

    def _start(self) -> None:
        from rich.console import Console
        from rich.live import Live

        stderr = sys.stderr
        console = Console(file=stderr)
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()  # it replaces sys.stderr by a stream that prints above the table
        console.show_cursor(True)  # a killed process could not show it again
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, LogFile):
                self._handlers.append((handler, handler.stream))
                handler.setStream(sys.stderr)

    def close(self) -> None:
        """Remove the table, and let the log go to the terminal directly."""
        for handler, stream in self._handlers:
            handler.setStream(stream)
        self._handlers.clear()
        if self._live is not None:
            self._live.stop()
            self._live = None


def draw(snapshot: Snapshot) -> Table:
    """Return the table of a snapshot."""
    from rich.table import Table
    from rich.text import Text

    progress, outlook, total = snapshot.progress, snapshot.outlook, snapshot.total
    table = Table.grid(padding=(0, 2))
    finished = progress.done + progress.failed
    share = finished / total if total else 1.0
    rows = [
        ("books", f"{_bar(share)} {share:.0%}"),
        (
            "",
            f"done {progress.done:,} · failed {progress.failed:,} · "
            f"left {progress.books_left(total):,} · {outlook.books_per_s:,.1f} books/s",
        ),
    ]
    if progress.stage_books:
        seconds = max(outlook.seconds, 1e-3)
        stages = (
            f"{stage} {books:,} ({books / seconds:,.1f}/s)"
            for stage, books, _ in progress.stage_books
        )
        rows.append(("stages", " · ".join(stages)))
    if progress.calls or progress.in_flight or outlook.estimated_calls:
        rows.append(("models", " · ".join(format_calls(progress, outlook))))
    if progress.paused:
        rows.append(("paused", progress.paused))
    if progress.bulk_requests:
        mean = round(progress.bulk_documents / progress.bulk_requests)
        requests = _count(progress.bulk_requests, "bulk request")
        rows.append(("index", f"{requests} · {_count(mean, 'document')} each"))
    if progress.failures:
        kinds = (f"{kind} {books:,}" for kind, books in progress.failures[:_MAX_KINDS])
        rows.append(("failed", " · ".join(kinds)))
    if snapshot.usage:
        usage = snapshot.usage
        rows.append(("machine", f"{usage.memory / 1e9:.1f} GB · CPU {usage.cpu * 100:.0f} %"))
    rows.append(("ETA", format_eta(outlook)))
    if progress.stop_reason:
        rows.append(("stopping", progress.stop_reason))
    for name, text in rows:
        table.add_row(Text(name, style="bold"), Text(escape_line(text)))
    return table


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _bar(share: float, width: int = 30) -> str:
    filled = round(min(max(share, 0.0), 1.0) * width)
    return "█" * filled + "░" * (width - filled)
