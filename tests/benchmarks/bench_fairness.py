"""Whether a long book, or a call that hangs, delays the others.

    python tests/benchmarks/bench_fairness.py [--others 120] [--seeds 3]

The whole command over books of 8 chunks, first beside one book of 400 chunks, then beside the same
chunks as 13 books; and once with a call of one book that hangs for 5 minutes, once without. A
figure is the ratio of the others' finish times, p50 and p95 over the seeds. Times go from the first
call that the server saw to when a book's summary was there. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402
from simulated import log_of, options, server, start, write_books  # noqa: E402

from raypipe.core.book import DOCUMENT_SCHEMA  # noqa: E402
from raypipe.state.local import LocalState  # noqa: E402
from raypipe.state.table_schema import TableSchema  # noqa: E402

LONG, CHUNK_BYTES, OTHER_CHUNKS = 400, 1_000, 8
HANG_S = 300
REACH = 1.05
_FORM = TableSchema(DOCUMENT_SCHEMA, kind="documents", version=3)


def main() -> None:
    """Measure all variants with each seed and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--others", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    report = Report("fairness")
    ratios: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        for seed in range(1, given.seeds + 1):
            folder = Path(name) / str(seed)
            one = times(folder / "long", given.others, seed, {"a-long": (9_000, LONG)})
            parts = {f"a-part-{at:02d}": (9_000 + at, _share(at)) for at in range(13)}
            many = times(folder / "parts", given.others, seed, parts)
            calm = times(folder / "calm", given.others, seed, {"a-short": (9_000, OTHER_CHUNKS)})
            hung = times(
                folder / "hung", given.others, seed, {"a-short": (9_000, OTHER_CHUNKS)}, True
            )
            for what, pair in (("long_book", (one, many)), ("hanging_call", (hung, calm))):
                for share in (50, 95):
                    ratio = _at(pair[0], share) / _at(pair[1], share)
                    ratios.setdefault(f"{what}_p{share}", []).append(ratio)
                    say(f"seed {seed}, {what} p{share}: {ratio:.3f}")
    for what, found in ratios.items():
        report.note(f"{what}_each", [round(one, 3) for one in found])
        report.at_most(what, statistics.median(found), REACH, "x, median of the seeds")
    report.finish()


def _share(at: int) -> int:
    """Return the chunks of one of 13 books that have as many as the long one."""
    return LONG // 13 + (at < LONG % 13)


def _at(found: Sequence[float], share: int) -> float:
    return statistics.quantiles(found, n=100)[share - 1]


def times(
    folder: Path, others: int, seed: int, beside: dict[str, tuple[int, int]], hangs: bool = False
) -> list[float]:
    """Return the seconds after which each of the others was done."""
    books = {name: (number, chunks, CHUNK_BYTES) for name, (number, chunks) in beside.items()}
    books |= {f"b{at:04d}": (at, OTHER_CHUNKS, CHUNK_BYTES) for at in range(others)}
    write_books(folder / "books", books, seed)
    script = f"[{{fault:hang,contains:' 9000 1.',nth:1,seconds:{HANG_S}}}]"
    log = folder / "calls.jsonl"
    fault = [f"faults.script={script}"] if hangs else []
    latency = ["latency.base_s=0.5", "latency.sigma=0.4", f"seed={seed}", f"log={log}"]
    with server(*latency, *fault) as models:
        process = start(
            folder, models, *options(folder / "books", folder / "state", "quota=none"),
            "quota.max_in_flight=64", "summarizer.chunk_tokens=300",
        )  # fmt: skip
        if hangs:  # nobody need wait out the five minutes
            end_once_done(process, folder / "state", others)
        process.communicate()
    began = min(call["sent_at"] for call in log_of(log))
    done = [at - began for key, at in finished(folder / "state") if key.startswith("b")]
    assert len(done) == others, f"{len(done)} of {others} were done"
    return sorted(done)


def finished(state: Path) -> Iterator[tuple[str, float]]:
    """Yield key and time of each finished document."""
    kept = LocalState(str(state))
    for name in kept.list("documents/"):
        file = kept.open(name)
        assert file is not None
        with file:
            for row in _FORM.read(file, ["key", "finished_at"]).to_pylist():
                yield row["key"], row["finished_at"]


def end_once_done(process: subprocess.Popen[str], state: Path, others: int) -> None:
    """Stop a run at once when the others are done."""
    while process.poll() is None:
        if sum(key.startswith("b") for key, _ in finished(state)) >= others:
            for _ in range(2):
                process.send_signal(signal.SIGINT)
                time.sleep(0.5)
            return
        time.sleep(1.0)


if __name__ == "__main__":
    main()
