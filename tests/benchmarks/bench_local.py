"""The local executor: its fixed cost for 10 books, and its wall time against Ray for 1,000."""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from processes import environment
from report import Report, say
from synthetic_books import synthetic_books

FEW = 10
BOOK_BYTES = 20_000


def main() -> None:
    """Run a few books in this process, and many books by either executor in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3, help="runs of either executor")
    options = parser.parse_args()
    report = Report("local")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        write_books(folder / "few", FEW)
        write_books(folder / "many", options.books)
        from raypipe.embedded.services import Services

        with Services(folder / "data") as services:
            endpoint = services.start_opensearch()
            measure_few(folder, endpoint, options.rounds, report)
            measure_many(folder, endpoint, options.books, options.rounds, report)
    report.finish()


def write_books(folder: Path, books: int) -> None:
    folder.mkdir()
    for number, data in enumerate(synthetic_books(books, BOOK_BYTES)):
        (folder / f"Book_{number}__by__Author_{number % 97}.txt").write_bytes(data)


def measure_few(folder: Path, endpoint: str, rounds: int, report: Report) -> None:
    """Compare a run of 10 books with the computation alone: clean, summarize, embed."""
    run_few(folder, endpoint, "warm-up")  # loads the embedder's weights and connects
    fixed = []
    for number in range(max(rounds, 5)):
        computing = compute_few(folder)
        seconds, job_seconds = run_few(folder, endpoint, f"round-{number}")
        fixed.append(seconds - computing)
        say(f"10 books: {seconds:.2f} s, of which {computing:.2f} s compute; {job_seconds}")
    report.at_most("fixed_s_of_10_books", statistics.median(fixed), 1.0, "s beside own compute")
    report.note("fixed_s_of_10_books_largest", max(fixed))


def run_few(folder: Path, endpoint: str, name: str) -> tuple[float, dict[str, float]]:
    """Run 10 books with the default parts in this process; return its wall and step seconds."""
    from hydra import compose, initialize_config_dir

    from raypipe.cli.job_factory import build_listing_job
    from raypipe.config.build import read_options
    from raypipe.config.paths import conf_dir
    from raypipe.config.schema import register_schemas
    from raypipe.ledger.writer_lock import WriterLock
    from raypipe.run.runner import run

    register_schemas()
    overrides = [
        "executor=local",
        "storage=local",
        f"storage.path={folder / 'few'}",
        "opensearch=self_managed",
        f"opensearch.endpoint={endpoint}",
        f"opensearch.index=few-{name}",
        f"state.uri={folder / name}",
    ]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("run", overrides=overrides)
    logging.getLogger("raypipe").setLevel(logging.WARNING)
    began = time.monotonic()
    job = build_listing_job(cfg, read_options(cfg))
    with WriterLock.acquire(job.ledger.state) as lock:
        record = run(job, lock)
    seconds = time.monotonic() - began
    assert (record.indexed, record.failed, record.left) == (FEW, 0, 0), record
    return seconds, record.stage_seconds


def compute_few(folder: Path) -> float:
    """Return the seconds of the same computation in a single thread, without a run."""
    from raypipe.embedders.wordllama import WordLlamaEmbedder
    from raypipe.summarizers.extractive import ExtractiveSummarizer
    from raypipe.text import TextCleaner

    cleaner, embedder = TextCleaner(), WordLlamaEmbedder()
    summarizer = ExtractiveSummarizer(embedder)
    began = time.monotonic()
    texts = []
    for path in sorted((folder / "few").iterdir()):
        text = cleaner.clean(path.read_bytes(), path.name)
        texts.append(f"{text.title}. {summarizer.summarize(text).text}")
    embedder.embed(texts)
    return time.monotonic() - began


def measure_many(folder: Path, endpoint: str, books: int, rounds: int, report: Report) -> None:
    """Run the command with either executor in turns, and divide the wall times."""
    walls: dict[str, list[float]] = {"ray": [], "local": []}
    for number in range(rounds):
        # Every second round begins with the other executor: a drift of the machine favors none.
        for executor in list(walls)[:: -1 if number % 2 else 1]:
            name = f"many-{executor}-{number}"
            began = time.monotonic()
            record = run_command(folder, endpoint, executor, name)
            walls[executor].append(time.monotonic() - began)
            assert (record["indexed"], record["failed"]) == (books, 0), record
            say(f"{executor}: {walls[executor][-1]:.1f} s; {record['stage_seconds']}")
    ratios = [local / ray for local, ray in zip(walls["local"], walls["ray"], strict=True)]
    report.at_most(
        "wall_local_to_ray", statistics.median(ratios), 0.7, f"of Ray's wall, {books:,} books"
    )
    report.note("wall_local_to_ray_largest", max(ratios))
    report.note("wall_s_local", statistics.median(walls["local"]))
    report.note("wall_s_ray", statistics.median(walls["ray"]))


def run_command(folder: Path, endpoint: str, executor: str, name: str) -> dict[str, Any]:
    done = subprocess.run(
        [
            sys.executable, "-m", "raypipe", "run", f"executor={executor}", "storage=local",
            f"storage.path={folder / 'many'}", "summarizer=lead", "embedder=hash", "scale=medium",
            "opensearch=self_managed", f"opensearch.endpoint={endpoint}",
            f"opensearch.index={name}", f"state.uri={folder / name}", "output=json",
        ],
        cwd=folder, env=environment(), check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    record: dict[str, Any] = json.loads(done.stdout)
    return record


if __name__ == "__main__":
    main()
