"""Memory of one summarizer process over many books, one after another.

    python tests/benchmarks/bench_summarizer_memory.py [--books 500]

One child process does what a summarizer actor does: bytes to clean text, extractive summary,
vector of the summary. Its USS (memory that ends with it) is sampled each second from outside,
for the peak, and after each book from inside, for the growth. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

MEGABYTE = 1_000_000
REACH_PEAK_MB = 500.0
REACH_GROWTH = 0.05
REACH_SECONDS = 1.1
WINDOW = 10  # books around a mark whose median stands for it: one book's end is a matter of luck


def child() -> None:
    """Summarize the books that come through stdin, each after a line with its length."""
    from raypipe.embedders.wordllama import WordLlamaEmbedder
    from raypipe.summarizers.extractive import ExtractiveSummarizer
    from raypipe.text import TextCleaner

    cleaner, embedder = TextCleaner(), WordLlamaEmbedder()
    summarizer = ExtractiveSummarizer(embedder)
    process = psutil.Process()
    while header := sys.stdin.buffer.readline():
        data = sys.stdin.buffer.read(int(header))
        start, cpu_start = time.perf_counter(), measure_cpu(process)
        book = cleaner.clean(data, "book.txt")
        summary = summarizer.summarize(book)
        vector = embedder.embed([summary.text])
        seconds, cpu = time.perf_counter() - start, measure_cpu(process) - cpu_start
        assert vector.shape == (1, embedder.dimension)
        assert summary.text
        del data, book, summary, vector
        uss = measure_uss(process)
        sys.stdout.write(json.dumps({"seconds": seconds, "cpu": cpu, "uss": uss}) + "\n")
        sys.stdout.flush()


def feed(stdin: object, books: int, size: int) -> None:
    """Write the books to the child; the pipe holds us back while it works."""
    from synthetic_books import synthetic_books

    for data in synthetic_books(books, size):
        stdin.write(f"{len(data)}\n".encode() + data)  # type: ignore[attr-defined]
    stdin.close()  # type: ignore[attr-defined]


def watch(pid: int, samples: list[float], done: threading.Event) -> None:
    """Sample the USS of the child and of its own child, each second."""
    process = psutil.Process(pid)
    while not done.wait(1.0):
        try:
            samples.append(measure_uss(process))
        except psutil.NoSuchProcess:
            return


def measure_uss(process: psutil.Process) -> float:
    """Return the megabytes of a process and of the child that cleans long books."""
    processes = (process, *process.children())
    return float(sum(each.memory_full_info().uss for each in processes)) / MEGABYTE


def measure_cpu(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of the child that cleans long books."""
    times = [each.cpu_times() for each in (process, *process.children())]
    return float(sum(each.user + each.system for each in times))


def measure(books: int, size: int) -> dict[str, object]:
    """Run the child over the books and return the figures."""
    command = [sys.executable, __file__, "--child"]
    samples: list[float] = []
    done = threading.Event()
    after: list[dict[str, float]] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        threads = [
            threading.Thread(target=feed, args=(process.stdin, books, size), daemon=True),
            threading.Thread(target=watch, args=(process.pid, samples, done), daemon=True),
        ]
        for thread in threads:
            thread.start()
        for line in process.stdout:
            after.append(json.loads(line))
            if len(after) % 25 == 0 or len(after) == books:
                print(
                    f"{len(after)}/{books} books  {after[-1]['seconds']:.2f} s  "
                    f"USS {after[-1]['uss']:.0f} MB  peak {max(samples, default=0):.0f} MB",
                    flush=True,
                )
        done.set()
    if process.returncode or len(after) != books:
        raise SystemExit(f"the child ended after {len(after)} books, code {process.returncode}")
    return figures(books, size, samples, after)


def figures(
    books: int, size: int, samples: list[float], after: list[dict[str, float]]
) -> dict[str, object]:
    """Return the measured figures beside what they are to reach."""
    early = min(50, max(1, books // 2))
    uss = [entry["uss"] for entry in after]
    at_early = statistics.median(uss[max(0, early - WINDOW) : early])
    at_end = statistics.median(uss[-min(WINDOW, early) :])
    peak = max(samples + uss)
    growth = at_end / at_early - 1
    seconds = statistics.mean(entry["seconds"] for entry in after)
    return {
        "benchmark": "summarizer_memory",
        "books": books,
        "book_bytes": size,
        "peak_uss_mb": round(peak, 1),
        "reach_peak_uss_mb": REACH_PEAK_MB,
        f"uss_book_{early}_mb": round(at_early, 1),
        f"uss_book_{books}_mb": round(at_end, 1),
        "growth": round(growth, 4),
        "reach_growth": REACH_GROWTH,
        "seconds_a_book": round(seconds, 3),
        "reach_seconds_a_book": REACH_SECONDS,
        "cpu_seconds_a_book": round(statistics.mean(entry["cpu"] for entry in after), 3),
        "ok": peak <= REACH_PEAK_MB and growth <= REACH_GROWTH and seconds <= REACH_SECONDS,
    }


def main() -> None:
    """Run the benchmark; exit with 1 if a figure is out of reach."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=int, default=500)
    parser.add_argument("--bytes", type=int, default=MEGABYTE)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child()
        return
    result = measure(options.books, options.bytes)
    print(json.dumps(result))
    raise SystemExit(0 if result["ok"] else 1)


if __name__ == "__main__":
    main()
