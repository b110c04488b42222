"""raypipe against the way of the scripts that it replaces.

    python tests/benchmarks/bench_predecessor.py [--books 48] [--chunks 12]

Those had a thread per book, made the calls of a book one after another and slept half a second
between them; their default was 4 threads. Both work over the same books against the same model,
0.5 s a call, and make the calls of the same plan. Once raypipe has 4 calls in flight as well, once
both have their defaults. Time goes from the first call that the server saw to its last answer. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402
from simulated import log_of, of_books, options, run, server, write_books  # noqa: E402

SLEEP_S, LATENCY_S, THREADS = 0.5, 0.5, 4
CHUNK_BYTES = 1_000
SAME_REACH, DEFAULT_REACH = 1.9, 20.0


def main() -> None:
    """Measure the three and divide."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=48)
    parser.add_argument("--chunks", type=int, default=12)
    given = parser.parse_args()
    report = Report("predecessor")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        few, many = folder / "few", folder / "many"
        sizes = {f"b{one:04d}": (one, given.chunks, CHUNK_BYTES) for one in range(given.books)}
        write_books(few, sizes)
        more = {f"b{one:04d}": (one, given.chunks, CHUNK_BYTES) for one in range(8 * given.books)}
        write_books(many, more)
        old = predecessor(folder / "old", few, given.chunks)
        same = raypipe(folder / "same", few, [f"quota.max_in_flight={THREADS}"])
        default = raypipe(folder / "default", many, [])
        report.note("calls_per_s_of_the_predecessor", old)
        report.note("calls_per_s_with_4_in_flight", same)
        report.note("calls_per_s_by_default", default)
        report.at_least("same_4_in_flight", same / old, SAME_REACH, "x")
        report.at_least("defaults", default / old, DEFAULT_REACH, "x")
    report.finish()


def predecessor(folder: Path, books: Path, chunks: int) -> float:
    """Return calls a second of a thread per book, a call at a time, with sleeps between."""
    import boto3

    say("the predecessor's way")
    folder.mkdir()
    with server(*_model(folder)) as models:
        os.environ.update(AWS_ACCESS_KEY_ID="simulated", AWS_SECRET_ACCESS_KEY="simulated")
        client = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=models.url)

        def summarize(path: Path) -> None:
            text = path.read_text()
            size = len(text) // chunks
            parts = [text[at * size : (at + 1) * size] for at in range(chunks)]
            for prompt in [*parts, "Put it together: " + path.name + text[:4_000]]:
                client.converse(
                    modelId="amazon.nova-lite-v1:0",
                    messages=[{"role": "user", "content": [{"text": prompt}]}],
                    inferenceConfig={"maxTokens": 400},
                )
                time.sleep(SLEEP_S)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(summarize, sorted(books.glob("*.txt"))))
    return _rate(folder)


def raypipe(folder: Path, books: Path, more: list[str]) -> float:
    """Return calls a second of raypipe."""
    say(f"raypipe {' '.join(more)}")
    folder.mkdir()
    with server(*_model(folder)) as models:
        args = [one for one in options(books, folder / "state") if not one.startswith("scale=")]
        record = run(folder, models, *args, "summarizer.chunk_tokens=300", *more)
    assert record["failed"] == record["left"] == 0, record
    return _rate(folder)


def _model(folder: Path) -> list[str]:
    return [f"latency.base_s={LATENCY_S}", "latency.sigma=0", f"log={folder / 'calls.jsonl'}"]


def _rate(folder: Path) -> float:
    calls = of_books(log_of(folder / "calls.jsonl"))
    began = min(call["sent_at"] for call in calls)
    return len(calls) / (max(call["answered_at"] for call in calls) - began)


if __name__ == "__main__":
    main()
