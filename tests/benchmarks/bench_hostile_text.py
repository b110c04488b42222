"""CPU seconds of crafted texts through cleaning, splitting and summarizing, step by step.

    python tests/benchmarks/bench_hostile_text.py [--kinds NAME|NAME] [--small 1] [--large 5]

Each kind of `hostile_texts.KINDS` at 5 MB and, if that takes half a second or more, at 1 MB, in a
separate process that is killed after `--limit` seconds. Figures: the slowest text of 5 MB, and the
largest ratio of the seconds at 5 MB to those at 1 MB. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from hostile_texts import PROSE, hostile_texts  # noqa: E402
from processes import process_long_texts_here  # noqa: E402
from report import Report, say  # noqa: E402

import raypipe.summarizers.extractive as extractive  # noqa: E402
import raypipe.summarizers.llm.quotes as quotes  # noqa: E402
import raypipe.text.cleaner as cleaner  # noqa: E402
from raypipe.core.errors import BookError  # noqa: E402
from raypipe.embedders.wordllama import WordLlamaEmbedder  # noqa: E402
from raypipe.summarizers.llm.chunks import (  # noqa: E402
    label_chunks,
    split_in_half,
    split_into_chunks,
)
from raypipe.text import CleanText  # noqa: E402

MEGABYTE = 1_000_000
REACH_SECONDS = 10.0
REACH_RATIO = 6.0
MIN_KINDS = 30
SHORT_S = 4.0
SMALL: dict[str, Callable[[], bytes]] = {}
LARGE: dict[str, Callable[[], bytes]] = {}
"""Makers of the texts of both sizes, by kind; the processes inherit them."""
CLEANING = (
    "decode", "repair_mojibake", "normalize_characters", "remove_page_furniture",
    "close_double_spacing", "separate_paragraphs", "strip_boilerplate", "remove_contents",
    "unwrap_lines", "count_words", "read_metadata", "detect_language", "find_chapters",
)  # fmt: skip
SPLITTING = ("split_sentences", "is_prose", "select_sentences", "extract_keywords")


def main() -> None:
    """Measure all kinds, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default="", help="names, separated by |; all without it")
    parser.add_argument("--small", type=float, default=1.0, help="megabytes")
    parser.add_argument("--large", type=float, default=5.0, help="megabytes")
    parser.add_argument("--processes", type=int, default=2, help="texts measured at once")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds before a text is killed")
    options = parser.parse_args()
    for megabytes, texts in ((options.small, SMALL), (options.large, LARGE)):
        texts.update(hostile_texts(int(megabytes * MEGABYTE)))
    names = options.kinds.split("|") if options.kinds else list(LARGE)
    report = Report("hostile_text")
    process_long_texts_here()
    warm_up()
    seconds: dict[str, float] = {}
    ratios: dict[str, float] = {}
    # Processes that are forked from threads may wait for ever for a lock of another thread.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(options.processes, context) as pool:
        for name, large, ratio in pool.map(measure_both, names, repeat(options.limit)):
            seconds[name] = large
            if ratio is not None:
                ratios[name] = ratio
    slowest = max(seconds, key=lambda name: seconds[name])
    say(f"slowest: {slowest}")
    report.at_most("slowest_s", seconds[slowest], REACH_SECONDS, f"s of CPU ({slowest})")
    if ratios:
        steepest = max(ratios, key=lambda name: ratios[name])
        report.at_most("ratio_of_seconds", max(ratios.values()), REACH_RATIO, f"({steepest})")
    report.at_least("kinds", len(seconds), min(MIN_KINDS, len(names)))
    report.note("prose_s", seconds.get("one line", 0.0))
    report.finish()


def measure_both(name: str, limit: float) -> tuple[str, float, float | None]:
    """Measure a kind; return its name, its CPU seconds at the large size, and their growth.

    The growth is None for a text that takes less than half a second. A short time is measured
    twice, and the lower value counts: it is disturbed more.
    """
    large, profile = measure(LARGE[name], limit, STEPS)
    ratio = None
    if large >= 0.5:
        times = 2 if large < SHORT_S else 1
        again = [measure(LARGE[name], limit, STEPS)[0] for _ in range(times - 1)]
        small = min(measure(SMALL[name], limit, STEPS)[0] for _ in range(times))
        large = min(large, *again) if again else large
        ratio = large / max(small, 1e-3)
    shares = ", ".join(f"{step} {part:.2f}" for step, part in profile.most_common(3))
    say(f"{name:36} {large:7.2f} s, x{ratio or 0:4.1f}: {shares}")
    return name, large, ratio


class StepSeconds:
    """Replaces the functions of the steps by functions that add up their CPU seconds."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        for module, names in ((cleaner, CLEANING), (extractive, SPLITTING)):
            for name in names:
                if hasattr(module, name):
                    setattr(module, name, self.timed(name, getattr(module, name)))

    def timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and records its CPU seconds."""

        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[step] += time.process_time() - began

        return run


STEPS = StepSeconds()


def warm_up() -> None:
    """Load all models, so that each process has them."""
    embedder = WordLlamaEmbedder()
    for text in (PROSE * 20, "Es war einmal ein König. " * 40, "Ã©" * 50 + " été. " * 300):
        book = cleaner.TextCleaner().clean(text.encode(), "a.txt")
        extractive.ExtractiveSummarizer(embedder).summarize(book)
    extractive.split_sentences(PROSE * 20, "und")  # loads the rules of unknown languages


def measure(
    make: Callable[[], bytes], limit: float, steps: StepSeconds
) -> tuple[float, Counter[str]]:
    """Return the CPU seconds of one text, and those of its steps; killed at the limit."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=process_text, args=(make(), steps, send))
    process.start()
    send.close()
    try:
        if not receive.poll(limit):
            process.kill()
            return limit, Counter({f"KILLED after {limit:g} s": 1.0})
        seconds, profile = receive.recv()
        return seconds, profile
    except EOFError:
        return limit, Counter({"DIED": 1.0})
    finally:
        process.join()


def process_text(data: bytes, steps: StepSeconds, send: Connection) -> None:
    """Clean, split and summarize one text in this process."""
    steps.seconds.clear()
    began = time.process_time()
    embedder = WordLlamaEmbedder()
    try:
        book = cleaner.TextCleaner().clean(data, "a_book.txt")
    except BookError as error:
        steps.seconds[f"failed as {error.kind}"] = 0.0
    else:
        extractive.ExtractiveSummarizer(embedder).summarize(book)
        steps.timed("chunks", split_as_models_do)(book)
        steps.timed("quotes", quotes.Quotes(book, embedder).select)(0, len(book.text), 150)
    send.send((time.process_time() - began, steps.seconds))


def split_as_models_do(book: CleanText) -> None:
    """Split a book as the summarizers do that call a model."""
    try:
        chunks = label_chunks(split_into_chunks(book, 28_800, 300_000, 500))
    except BookError:
        return
    for chunk in chunks:
        split_in_half(chunk)


if __name__ == "__main__":
    main()
