"""Damaged and hostile files in every format, and the seconds for books of a megabyte.

    python tests/benchmarks/bench_formats.py [--files 400] [--seed 1]

Part 1: files with changed, removed and repeated bytes, bombs, deep pages and endless elements go
through the cleaner as in a run. Each must be a book or a failure with a known kind. Figures: the
other outcomes, the slowest, and the highest memory of the worker and its child process. Part 2: CPU
seconds to read an EPUB, HTML, DOCX and PDF file with 1 MB of text. The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402

from raypipe.config.paths import conf_dir  # noqa: E402
from raypipe.core.errors import BookError  # noqa: E402
from raypipe.ledger.failure_log import KINDS  # noqa: E402
from raypipe.text import TextCleaner, isolation  # noqa: E402
from raypipe.text.child_tasks import make_format  # noqa: E402
from raypipe.text.formats import Format  # noqa: E402
from tests.unit.text.formats.books import (  # noqa: E402
    PARAGRAPH,
    make_chapter,
    make_docx,
    make_epub,
    make_package,
    make_pdf,
    make_zip,
    paragraph,
    run,
)

MEGABYTE = 1_000_000
REACH_MB, REACH_S = 500.0, 60.0
REACH_READ = {"epub": 1.0, "html": 0.5, "docx": 5.0, "pdf": 5.0}


def main() -> None:
    """Measure both parts, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = Report("formats")
    formats = read_formats()
    cleaner = TextCleaner(formats=formats)
    counts: Counter[str] = Counter()
    slowest, slowest_name, others = 0.0, "", []
    with watch_memory() as peak:
        for name, data in hostile_files(options.files, random.Random(options.seed)):
            started = time.perf_counter()
            outcome = clean(cleaner, data, name)
            seconds = time.perf_counter() - started
            counts[outcome] += 1
            if outcome != "book" and outcome not in KINDS:
                others.append(f"{name}: {outcome}")
            if seconds > slowest:
                slowest, slowest_name = seconds, name
    say(f"outcomes: {dict(counts.most_common())}")
    report.at_least("files", counts.total(), options.files)
    report.at_most("neither_book_nor_failure", len(others), 0, "; ".join(others[:3]))
    report.at_most("slowest_s", slowest, REACH_S, f"s ({slowest_name})")
    report.at_most("memory_mb", max(peak.values()), REACH_MB, f"MB of {max(peak, key=peak.get)}")  # type: ignore[arg-type]
    for name, data in large_books().items():
        started = time.process_time()
        text = formats[name].read(data, f"a.{name}", 64 * MEGABYTE).text
        seconds = time.process_time() - started
        report.at_most(
            f"{name}_s_per_mb", seconds / (len(text) / MEGABYTE), REACH_READ[name], "s of CPU"
        )
    report.note("outcomes", dict(counts))
    report.finish()


def read_formats() -> Mapping[str, Format]:
    """Return the formats of the default configuration."""
    settings = yaml.safe_load((conf_dir() / "text" / "default.yaml").read_text(encoding="utf-8"))
    return {
        name: make_format(":".join(part["_target_"].rsplit(".", 1)), {})
        for name, part in settings["formats"].items()
    }


def clean(cleaner: TextCleaner, data: bytes, name: str) -> str:
    """Return `book`, the kind of the failure, or another exception."""
    try:
        return "book" if cleaner.clean(data, name).text else "empty book"
    except BookError as error:
        return error.kind
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@contextmanager
def watch_memory() -> Iterator[dict[str, float]]:
    """Yield the highest resident memory of worker and child in MB, updated every 20 ms."""
    peak = {"worker": 0.0, "child": 0.0}
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.wait(0.02):
            for name, pid in (("worker", None), ("child", isolation._child.pid)):
                if name == "child" and pid is None:
                    continue
                try:
                    used = psutil.Process(pid).memory_info().rss / 1e6
                except psutil.Error:
                    continue
                peak[name] = max(peak[name], used)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stopped.set()
        thread.join()


def hostile_files(number: int, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of damaged and hostile files."""
    bombs = list(make_bombs().items())
    yield from bombs[:number]
    body = f"<p>{PARAGRAPH}</p>" * 300
    books = {
        "a.epub": make_epub({"OEBPS/one.xhtml": make_chapter("CHAPTER I", body)}),
        "a.html": f"<!DOCTYPE html><html><body>{body}</body></html>".encode(),
        "a.docx": make_docx(*([paragraph(run(PARAGRAPH))] * 300)),
        "a.pdf": make_pdf([[(72, 720 - 14 * row, PARAGRAPH) for row in range(45)]] * 5),
        "a.md": "\n\n".join(["# Title", *[f"*{PARAGRAPH}*"] * 300]).encode(),
        "a.txt.gz": gzip.compress(f"{PARAGRAPH}\n\n".encode() * 300),
        "a.txt.bz2": bz2.compress(f"{PARAGRAPH}\n\n".encode() * 300),
        "a.zip": make_zip({"a.txt": f"{PARAGRAPH}\n\n" * 300}),
    }
    names = list(books)
    for index in range(number - len(bombs)):
        name = names[index % len(names)]
        yield f"{index}-{name}", damage(books[name], rng)


def damage(data: bytes, rng: random.Random) -> bytes:
    """Return a file with changed, removed or repeated bytes."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 3, 20, 200))):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    start = rng.randrange(len(damaged))
    stop = min(len(damaged), start + rng.randrange(1, 2_000))
    way = rng.randrange(4)
    if way == 0:
        del damaged[start:]
    elif way == 1:
        del damaged[start:stop]
    elif way == 2:
        damaged[start:start] = damaged[start:stop] * rng.randrange(1, 50)
    return bytes(damaged)


def make_bombs() -> dict[str, bytes]:
    """Return files that would fill the memory, or take forever."""
    million: Callable[[str], str] = lambda text: text * (MEGABYTE // len(text))  # noqa: E731
    pages = {
        name: f"<html><body>{million(text)}".encode()
        for name, text in {
            "deep": "<div>",
            "open": "<a ",
            "quotes": "<a b='",
            "comments": "<!--",
            "cells": "<table><tr><td>",
            "entities": "&amp",
            "notes": "<p class=footnote>",
        }.items()
    }
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    growing = f'<!DOCTYPE p [<!ENTITY a0 "aaaaaaaaaa">{entities}]><package>&a11;</package>'
    many = {f"c{n}": "one.xhtml" for n in range(20_000)}
    return {
        **{f"{name}.html": page for name, page in pages.items()},
        "zeros.txt.gz": gzip.compress(bytes(200 * MEGABYTE)),
        "zeros.txt.bz2": bz2.compress(bytes(200 * MEGABYTE)),
        "nested.gz": gzip.compress(gzip.compress(gzip.compress(bytes(100 * MEGABYTE)))),
        "zeros.epub": make_epub({"OEBPS/one.xhtml": bytes(100 * MEGABYTE)}),
        "page.epub": make_epub({"OEBPS/one.xhtml": b"<p>a" * (15 * MEGABYTE)}),
        "entities.epub": make_epub({"OEBPS/book.opf": growing}),
        "spine.epub": make_epub(package=make_package(many)),
        "members.zip": make_zip({f"{n}.txt": "x" for n in range(60_000)}),
        "members.epub": make_epub({f"{n}.txt": "x" for n in range(60_000)}),
        "large.docx": make_docx(*([paragraph(run("a"))] * MEGABYTE)),
        "large.html": b"<html>" + b"<p>word " * (2 * MEGABYTE),
    }


def large_books() -> dict[str, bytes]:
    """Return books with a megabyte of text."""
    number = MEGABYTE // len(PARAGRAPH) // 20
    chapters = {f"c{index}": f"c{index}.xhtml" for index in range(20)}
    body = f"<p class='x'>{PARAGRAPH[:40]}<i>{PARAGRAPH[40:]}</i></p>\n" * number
    files = {
        f"OEBPS/{path}": make_chapter(f"CHAPTER {n}", body)
        for n, path in enumerate(chapters.values())
    }
    words = paragraph(run(PARAGRAPH[:40]) + run(PARAGRAPH[40:]))
    return {
        "epub": make_epub(files, make_package(chapters)),
        "html": f"<!DOCTYPE html><html><body>{body * 20}</body></html>".encode(),
        "docx": make_docx(*([words] * (number * 20))),
        "pdf": make_pdf([[(72, 720 - 14 * row, PARAGRAPH) for row in range(45)]] * 270),
    }


if __name__ == "__main__":
    main()
