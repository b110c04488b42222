"""The report of a run of 100,000 books: its size, and the time to build and to open it.

    python tests/benchmarks/bench_report.py [--books 100000]

The ledger of two runs is written by the code that runs use: documents, acknowledgements, failures
with long keys, records, configurations and statistics. `raypipe report` then builds the page, a
process of its own. Chromium opens it where it is installed. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from before import PRESENT  # noqa: E402
from report import Report, say  # noqa: E402

from raypipe.coordination.counts import Progress  # noqa: E402
from raypipe.coordination.forecast import Outlook  # noqa: E402
from raypipe.coordination.process_meter import ResourceUsage  # noqa: E402
from raypipe.coordination.progress import Snapshot  # noqa: E402
from raypipe.coordination.run_coordinator import RunCoordinator  # noqa: E402
from raypipe.coordination.stage_times import StageClock  # noqa: E402
from raypipe.core.book import Book, Document  # noqa: E402
from raypipe.core.options import BreakerOptions  # noqa: E402
from raypipe.ledger.checkpoint import Processed  # noqa: E402
from raypipe.ledger.facade import Ledger  # noqa: E402
from raypipe.ledger.failure_log import KINDS, FailedBook  # noqa: E402
from raypipe.ledger.run_records import RunRecord, run_id, save_config  # noqa: E402
from raypipe.run.statistics_file import StatisticsFile  # noqa: E402
from raypipe.state.local import LocalState  # noqa: E402
from raypipe.state.store import state_id  # noqa: E402
from tests.slow.chromium import browse, find_chromium  # noqa: E402

RECIPE, GROUP, FAILED_SHARE, BOOKS_PER_S = "1" * 16, 1_000, 0.03, 2.0
ROUNDS = 3


def main() -> None:
    """Write the ledger, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=100_000)
    books = parser.parse_args().books
    report = Report("report")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        state = LocalState(str(Path(name) / "state"))
        state_id(state)
        for seq in (1, 2):
            say(f"writing the ledger of run {seq}")
            write_run(state, seq, books)
        builds, page = [], Path()
        for _ in range(ROUNDS):
            began = time.perf_counter()
            command = PRESENT.command("report", f"state.uri={state.root}", "output=json")
            done = subprocess.run(
                command, check=True, text=True, stdout=subprocess.PIPE, cwd=name,
                env=PRESENT.environment(),
            )  # fmt: skip
            builds.append(time.perf_counter() - began)
            page = Path(json.loads(done.stdout)["path"])
        report.at_most("size", page.stat().st_size / 1e6, 2.0, "MB")
        report.at_most("build", statistics.median(builds), 10.0, "s, the whole command")
        if find_chromium():
            opens = [open_seconds(page) for _ in range(ROUNDS)]
            report.at_most("open", statistics.median(opens), 1.0, "s to load, draw and photograph")
        else:
            report.note("open", "not measured: Chromium is not installed")
        report.note("statistics_kb", page.with_name("statistics.json").stat().st_size / 1e3)
    report.note("books", books)
    report.finish()


def open_seconds(page: Path) -> float:
    """Return the seconds from the request of the page to a picture of its first screen."""
    with (
        tempfile.TemporaryDirectory(prefix="raypipe-bench-") as folder,
        browse(Path(folder)) as tab,
    ):
        tab.look(width=1200)
        tab.go("about:blank")
        began = time.perf_counter()
        tab.go(page.as_uri())
        tab.call("Page.captureScreenshot", format="png")
        return time.perf_counter() - began


def write_run(state: LocalState, seq: int, books: int) -> None:
    """Write all that a run leaves in a state."""
    ledger, name = Ledger(state), run_id(seq, 1.79e9 + seq)
    listed = [book_of(number) for number in range(books)]
    failed = [book for number, book in enumerate(listed) if number % round(1 / FAILED_SHARE) == 0]
    done = [book for number, book in enumerate(listed) if number % round(1 / FAILED_SHARE)]
    for group, part in enumerate(split(done)):
        documents = (document_of(book, seq) for book in part)
        ledger.documents.append(documents, seq, f"g{group}", 0)
        rows = [
            Processed(book.book_id, book.etag, RECIPE, "books-1", "0" * 32, seq, 1.79e9)
            for book in part
        ]
        ledger.checkpoint.append(rows, seq, f"g{group}", 0)
    for group, part in enumerate(split(failed)):
        ledger.failures.append((failure_of(book, seq) for book in part), seq, f"g{group}", 0)
    write_statistics(state, name, listed, seq)
    save_config(
        state, name, {"limit": None, "stages": {f"s{n}": {"workers": n} for n in range(99)}}
    )
    RunRecord(
        name, seq, "done", 3, listed=books, indexed=len(done), failed=len(failed),
        model_calls=9 * books, input_tokens=20_000 * books, output_tokens=900 * books,
        usd=0.012 * books, seconds=books / BOOKS_PER_S, started_at="2026-11-28T10:02:17Z",
        index="books-1", served="books-1", stage_seconds={"graph": books / BOOKS_PER_S},
    ).save(state)  # fmt: skip


def write_statistics(state: LocalState, name: str, books: list[Book], seq: int) -> None:
    """Write the statistics of a run as its driver does, with a clock that is set."""
    coordinator, clocks = RunCoordinator(BreakerOptions()), [StageClock() for _ in range(16)]
    now = [0.0]
    quiet: Any = SimpleNamespace(put=lambda *_, **__: None)  # until the last write
    work: Any = SimpleNamespace(books=books, run_id=name, ledger=SimpleNamespace(state=quiet))
    file = StatisticsFile(work, coordinator.times, lambda: now[0])
    for number, book in enumerate(books):
        wave = 1 + math.sin(number)
        seconds = {"read": 0.04 * wave, "text": 0.02, "summarize": seq * book.size / 40_000 * wave}
        clocks[number % 16].add_book(book, seconds)
        if number % 16 == 15:
            clocks[number // 16 % 16].add("embed", 0.2, 16)
            for clock in clocks:
                coordinator.finish("summarize", [], 1.0, 0, clock.take())
        now[0] = number / BOOKS_PER_S
        if number % max(round(BOOKS_PER_S * file.every_s), 1) == 0:
            file.show(snapshot_of(number, len(books), ended=False))
    quiet.put = state.put
    file.show(snapshot_of(len(books), len(books), ended=True))


def snapshot_of(number: int, total: int, *, ended: bool) -> Snapshot:
    """Return the numbers of a run in which a number of books are done."""
    calls = 9 * number
    progress = Progress(
        done=number, failed=number // 33, model_calls=calls, input_tokens=2_200 * calls,
        output_tokens=100 * calls, usd=0.0013 * calls, throttled=calls // 50, in_flight=64,
        tokens_per_minute=3e6,
    )  # fmt: skip
    return Snapshot(progress, total, Outlook(), ResourceUsage(4_000_000_000, 2.0), ended)


def book_of(number: int) -> Book:
    """Return a book; sizes are spread like those of Project Gutenberg, keys are long."""
    size = int(380_000 * math.exp(math.sin(number * 12.9898) * 1.3))
    return Book(f"{number:064x}", f"{'shelf/' * 30}{number}.txt", f"{number:032x}", size, 1.7e9)


def failure_of(book: Book, seq: int) -> FailedBook:
    """Return a failure with a long message, of a kind that follows from the book."""
    kinds = [*KINDS]
    kind = kinds[book.size % len(kinds)]
    message = f"{book.key}: {'a long explanation ' * 15}"
    return FailedBook(
        book.book_id, book.key, book.etag, RECIPE, "text", kind, message[:500], False, 1, seq,
        1.79e9,
    )  # fmt: skip


def document_of(book: Book, seq: int) -> Document:
    """Return a small document of a book."""
    return Document(
        book.book_id, book.key, book.etag, "s3://books", book.size, 1.7e9, "Title", "Author", "en",
        60_000, "utf-8", (), book.book_id, "t", "s", RECIPE, "extractive", "hash",
        "A summary. " * 9, ("lamp",), 9, 20_000, 900, seq, 1.79e9, "node", (0.5,) * 8,
    )  # fmt: skip


def split(books: list[Book]) -> Iterable[list[Book]]:
    """Yield the books in groups, as a sink commits them."""
    for start in range(0, len(books), GROUP):
        yield books[start : start + GROUP]


if __name__ == "__main__":
    main()
