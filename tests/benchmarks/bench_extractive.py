"""Seconds the default path takes a book on one core, and where they go.

    python tests/benchmarks/bench_extractive.py [--books FOLDER]

Bytes to clean text, sentences, vectors, selection and keywords, and the summary's vector, for
each .txt file of a folder; without a folder, synthetic books. CPU seconds of the best of three
rounds. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from raypipe.embedders.wordllama import WordLlamaEmbedder  # noqa: E402
from raypipe.summarizers.extractive import ExtractiveSummarizer  # noqa: E402
from raypipe.summarizers.keywords import keywords  # noqa: E402
from raypipe.text import TextCleaner, sentences  # noqa: E402

REACH_SECONDS = 1.5
MEGABYTE = 1_000_000
ROUNDS = 3


def timed(seconds: dict[str, float], step: str, work: Callable[..., Any], *inputs: object) -> Any:
    """Do the work and add its CPU seconds to the step."""
    start = time.process_time()
    result = work(*inputs)
    seconds[step] = time.process_time() - start
    return result


def measure(name: str, data: bytes) -> dict[str, float]:
    """Return CPU seconds by step for one book; `summarize` holds the three steps after it."""
    cleaner, embedder = TextCleaner(), WordLlamaEmbedder()
    summarizer = ExtractiveSummarizer(embedder)
    seconds: dict[str, float] = {}
    book = timed(seconds, "clean", cleaner.clean, data, name)
    summary = timed(seconds, "summarize", summarizer.summarize, book)
    timed(seconds, "embed summary", embedder.embed, [summary.text])
    found = timed(seconds, "sentences", sentences, book.text, book.language)
    timed(seconds, "vectors", embedder.embed, found)
    timed(seconds, "keywords", keywords, book.text, book.language, summarizer.keywords)
    return seconds


def books(folder: Path) -> list[tuple[str, bytes]]:
    """Return the folder's books, or synthetic ones where there is no folder."""
    if folder.is_dir():
        return [(path.name, path.read_bytes()) for path in sorted(folder.glob("*.txt"))]
    from synthetic_books import synthetic_books

    return [(f"synthetic {at}", data) for at, data in enumerate(synthetic_books(4, 700_000))]


def main() -> None:
    """Run the benchmark; exit with 1 if the slowest book is out of reach."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=Path, default=ROOT.parent / "shared" / "books")
    chosen = books(parser.parse_args().books)
    measure(*chosen[0])  # loads the models
    worst, total = 0.0, dict[str, float]()
    for name, data in chosen:
        rounds = [measure(name, data) for _ in range(ROUNDS)]
        best = min(rounds, key=lambda seconds: seconds["clean"] + seconds["summarize"])
        whole = best["clean"] + best["summarize"] + best["embed summary"]
        worst = max(worst, whole)
        for step, seconds in best.items():
            total[step] = total.get(step, 0.0) + seconds
        print(
            f"{name[:44]:44} {len(data) / MEGABYTE:.2f} MB  {whole:.2f} s  "
            + "  ".join(f"{step} {seconds:.2f}" for step, seconds in best.items())
        )
    size = sum(len(data) for _, data in chosen) / MEGABYTE
    whole = total["clean"] + total["summarize"] + total["embed summary"]
    result = {
        "benchmark": "extractive",
        "books": len(chosen),
        "megabytes": round(size, 2),
        "slowest_book_seconds": round(worst, 3),
        "reach_slowest_book_seconds": REACH_SECONDS,
        "seconds_a_megabyte": round(whole / size, 3),
        "share": {step: round(seconds / whole, 3) for step, seconds in total.items()},
        "ok": worst <= REACH_SECONDS,
    }
    print(json.dumps(result))
    raise SystemExit(0 if result["ok"] else 1)


if __name__ == "__main__":
    main()
