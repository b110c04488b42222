"""Runs in a state for the tests of their reports, written by the code of the ledger."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from raypipe.coordination.counts import Progress
from raypipe.coordination.process_meter import ResourceUsage
from raypipe.coordination.stage_times import StageClock, StageTimes
from raypipe.coordination.time_series import TimeSeries
from raypipe.core.book import Book
from raypipe.core.histogram import Histogram
from raypipe.ledger.facade import Ledger
from raypipe.ledger.failure_log import FailedBook
from raypipe.ledger.run_records import RunRecord, save_config
from raypipe.ledger.run_statistics import SIZE_UNIT, VERSION, statistics_name
from raypipe.state.store import State

HOSTILE = "\"><script>alert('x')</script>&\u202e\x00\x1b[2J<svg onload=x>"
"""A text that would be a script, a quote, an order of letters or a control character."""
CONFIG = {
    "limit": 10,
    "quota": {"tokens_per_minute": 90_000},
    "summarizer": {"model": {"model_id": HOSTILE, "api_key": "sk-very-secret"}},
    "opensearch": {"endpoint": "https://user:hunter2@search.example.org:9200"},
    "prices": {"models": {"m": {"input": 1}}},
}


def run_id_of(seq: int) -> str:
    return f"20261128T1002{seq:02d}Z-{seq:04d}"


def statistics_of(books: int, seconds: float, slowness: float = 1.0) -> dict[str, Any]:
    """Return the values of `statistics.json`."""
    clock, times, sizes, series = StageClock(), StageTimes(), Histogram(SIZE_UNIT), TimeSeries()
    for number in range(books):
        size = 2_000 + number % 97 * 40_000
        key = f"shelf/{HOSTILE} {number}.txt" if number % 5 == 0 else f"shelf/{number}.txt"
        wave = 1 + math.sin(number)
        book = Book(f"id{number}", key, "etag", size, 0.0)
        clock.add_book(book, {"read": 0.02 * wave, "text": 0.01, "summarize": slowness * wave})
        sizes.add(size)
    clock.add("embed", 0.3, books)
    clock.add("write", 0.9, books)
    if taken := clock.take():
        times.merge(taken)
    at = 0.0
    while at <= seconds:
        done = int(books * at / seconds)
        calls = 9 * done
        progress = Progress(
            done=done, failed=done // 50, model_calls=calls, input_tokens=2_000 * calls,
            output_tokens=90 * calls, usd=0.001 * calls, throttled=done // 9, in_flight=12,
            tokens_per_minute=90_000.0,
        )  # fmt: skip
        series.add(at, progress, ResourceUsage(2_000_000_000 + done, 1.5))
        at += max(series.every_s, seconds / 5_000)
    return {
        "version": VERSION,
        "at": "2026-11-28T10:20:00Z",
        "ended": True,
        "series": series.describe(),
        "latencies": {stage: each.describe() for stage, each in times.latencies.items()},
        "sizes": sizes.describe(),
        "slowest": [asdict(book) for book in sorted(times.slowest, reverse=True)],
    }


def write_statistics(state: State, seq: int, books: int = 200, seconds: float = 600.0) -> None:
    """Write the statistics of a run."""
    values = {**statistics_of(books, seconds, slowness=seq), "run_id": run_id_of(seq)}
    state.put(statistics_name(run_id_of(seq)), json.dumps(values).encode())


def failed_books(seq: int, number: int) -> list[FailedBook]:
    """Return failed books of three kinds, with hostile keys and messages."""
    kinds = ("binary", "model", "no such kind <b>")
    return [
        FailedBook(
            f"f{count}", f"{HOSTILE}{count}.txt", "etag", "recipe", "text", kinds[count % 3],
            f"{HOSTILE}{count}.txt: {HOSTILE}", count % 3 == 1, 1, seq, float(count),
        )
        for count in range(number)
    ]  # fmt: skip


def write_record(state: State, seq: int, **values: Any) -> RunRecord:
    """Write the record of a run."""
    used = {"model": HOSTILE, "service_tier": "default", "calls": 90, "cached_calls": 5}
    used |= {"input_tokens": 4_000, "output_tokens": 300, "usd": 1.25}
    numbers: dict[str, Any] = {"listed": 250, "skipped": 40, "indexed": 200, "failed": 10}
    numbers |= {"model_calls": 90, "cached_calls": 5, "input_tokens": 4_000, "usd": 1.25}
    numbers |= {"exit_code": 3, "seconds": 612.0, "started_at": "2026-11-28T10:02:17Z"}
    numbers |= {"versions": {"raypipe": "1"}, "stage_seconds": {"graph": 600.0}, "models": [used]}
    record = RunRecord(run_id_of(seq), seq, **{"status": "done", **numbers, **values})
    record.save(state)
    return record


def write_run(state: State, seq: int, **values: Any) -> RunRecord:
    """Write all files of a run."""
    write_statistics(state, seq)
    Ledger(state).failures.append(failed_books(seq, 10), seq, "t", 0)
    save_config(state, run_id_of(seq), {**CONFIG, "limit": 10 * seq})
    return write_record(state, seq, **values)
