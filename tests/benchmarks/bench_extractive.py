"""Seconds that the default path takes for a book on one core, and where they go.

    python tests/benchmarks/bench_extractive.py [--books FOLDER]

Bytes to clean text, sentences, vectors, selection and keywords, and the summary's vector, for
each .txt file of a folder, which has real books. Each measurement is made in a new process, a copy
of a process that has processed a synthetic book, so that models are loaded but no word of the book
is cached. The best of three by CPU seconds; wall seconds are notes, because other processes may
have been at work. The last line is one JSON object, with the share of each step.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from processes import process_long_texts_here  # noqa: E402
from report import Report, parse_books_folder, say  # noqa: E402
from synthetic_books import synthetic_books  # noqa: E402

from raypipe.embedders.wordllama import WordLlamaEmbedder  # noqa: E402
from raypipe.summarizers.extractive import ExtractiveSummarizer  # noqa: E402
from raypipe.summarizers.keywords import extract_keywords  # noqa: E402
from raypipe.text import (  # noqa: E402
    TextCleaner,
    split_sentences,
)

REACH_SECONDS = 1.5
MEGABYTE = 1_000_000
ROUNDS = 3


Seconds = dict[str, float]


def timed(seconds: Seconds, step: str, work: Callable[..., Any], *inputs: object) -> Any:
    """Do the work and add its CPU seconds to the step."""
    start = time.process_time()
    result = work(*inputs)
    seconds[step] = time.process_time() - start
    return result


def measure(name: str, data: bytes) -> tuple[Seconds, Seconds]:
    """Return the seconds of one book, `cpu` and `wall`, and CPU seconds by step.

    The steps inside `summarize` are measured once more, each for itself, after the book.
    """
    cleaner, embedder = TextCleaner(), WordLlamaEmbedder()
    summarizer = ExtractiveSummarizer(embedder)
    whole: Seconds = {}
    steps: Seconds = {}
    began = time.perf_counter()
    book = timed(whole, "clean", cleaner.clean, data, name)
    summary = timed(whole, "summarize", summarizer.summarize, book)
    timed(whole, "embed summary", embedder.embed, [summary.text])
    wall = time.perf_counter() - began
    found = timed(steps, "sentences", split_sentences, book.text, book.language)
    timed(steps, "vectors", embedder.embed, found)
    timed(steps, "keywords", extract_keywords, book.text, book.language, summarizer.keywords)
    rest = max(0.0, whole["summarize"] - sum(steps.values()))
    cpu = sum(whole.values())
    steps |= {"clean": whole["clean"], "select": rest, "embed summary": whole["embed summary"]}
    return {"cpu": cpu, "wall": wall}, steps


def measure_in_copy(name: str, data: bytes) -> tuple[Seconds, Seconds]:
    """Return what `measure` returns in a copy of this process."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(measure, (name, data))


def main() -> None:
    """Run the benchmark; exit with 1 if the slowest book is out of reach."""
    process_long_texts_here()
    folder = parse_books_folder((__doc__ or "").partition("\n")[0])
    chosen = [(path.name, path.read_bytes()) for path in sorted(folder.glob("*.txt"))]
    measure("synthetic", next(iter(synthetic_books(1, 700_000))))  # loads the models
    slowest, total = {"cpu": 0.0, "wall": 0.0}, Counter[str]()
    for name, data in chosen:
        rounds = [measure_in_copy(name, data) for _ in range(ROUNDS)]
        seconds, steps = min(rounds, key=lambda round_: round_[0]["cpu"])
        total.update(steps)
        slowest = max(slowest, seconds, key=lambda one: one["cpu"])
        say(
            f"{name[:44]:44} {len(data) / MEGABYTE:.2f} MB  {seconds['cpu']:.2f} s CPU, "
            f"{seconds['wall']:.2f} s wall:  "
            + "  ".join(f"{step} {took:.2f}" for step, took in steps.items())
        )
    size = sum(len(data) for _, data in chosen) / MEGABYTE
    report = Report("extractive")
    report.at_most("slowest_book_cpu", slowest["cpu"], REACH_SECONDS, "s")
    report.note("slowest_book_wall_s", slowest["wall"])
    report.note("cpu_s_for_0.7_megabytes", 0.7 * total.total() / size)
    report.note("books", len(chosen))
    report.note("megabytes", round(size, 2))
    shares = {step: round(took / total.total(), 3) for step, took in total.most_common()}
    report.note("share", shares)
    report.finish()


if __name__ == "__main__":
    main()
