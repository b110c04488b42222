"""300 hostile books among 300 good ones, by either executor: none without an outcome, no good lost.

    python tests/benchmarks/bench_hostile_books.py [--books 300] [--executors local,ray]

The hostile books are texts of `hostile_texts` of 40 kB and 250 kB, bytes that are no text, and a
book of 15 MB that cannot meet the deadline. Both runs are the command, against a real node. A book
has an outcome if it is indexed or has a failure row. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from hostile_texts import KINDS, hostile_texts  # noqa: E402
from processes import environment  # noqa: E402
from report import Report, say  # noqa: E402
from synthetic_books import synthetic_books  # noqa: E402

GOOD_SIZES = (30_000, 300_000)
HOSTILE_SIZES = (40_000, 250_000)
SLOW_BYTES = 15_000_000
DEADLINE_S = 3
"""Long for a book of 300 kB, and too short for a crafted book of 15 MB."""
SLOW = "hostile-slow.txt"


def main() -> None:
    """Write the books, run both executors, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=300, help="good books, and hostile ones")
    parser.add_argument("--executors", default="local,ray")
    options = parser.parse_args()
    report = Report("hostile_books")
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name:
        folder = Path(name)
        write_books(folder / "books", options.books)
        from raypipe.embedded.services import Services

        with Services(folder / "data") as services:
            endpoint = services.start_opensearch()
            for executor in options.executors.split(","):
                measure(folder, endpoint, executor, report)
    report.finish()


def write_books(folder: Path, books: int) -> None:
    """Write as many good books as hostile ones."""
    folder.mkdir()
    for size in GOOD_SIZES:
        for number, data in enumerate(synthetic_books(books // len(GOOD_SIZES), size, seed=size)):
            (folder / f"good-{size}-{number}.txt").write_bytes(data)
    hostile = itertools.chain([(SLOW, KINDS["one letter per paragraph"](SLOW_BYTES))], bad_books())
    for name, data in itertools.islice(hostile, books):
        (folder / name).write_bytes(data)


def bad_books() -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of hostile books."""
    chance = random.Random(1)
    yield "hostile-noise.txt", chance.randbytes(300_000)
    yield "hostile-zeros.txt", bytes(300_000)
    for size in HOSTILE_SIZES:
        for number, (_, make) in enumerate(hostile_texts(size)):
            yield f"hostile-{size}-{number}.txt", make()


def measure(folder: Path, endpoint: str, executor: str, report: Report) -> None:
    """Run the command once, and compare its outcomes with the books."""
    began = time.monotonic()
    record = run_command(folder, endpoint, executor)
    seconds = time.monotonic() - began
    books = {path.name for path in (folder / "books").iterdir()}
    failures = failed_books(folder / executor)
    indexed = books_in_index(endpoint, f"hostile-{executor}")
    say(f"{executor}: {seconds:.0f} s, {record['indexed']} indexed, {Counter(failures.values())}")
    missing = books - indexed - failures.keys()
    report.at_most(f"without_outcome_{executor}", len(missing), 0, "books")
    good = {name for name in books if name.startswith("good")}
    report.at_most(f"good_lost_{executor}", len(good - indexed), 0, "books")
    report.at_least(f"books_{executor}", len(books), record["listed"])
    report.at_least(f"failed_by_deadline_{executor}", failures.get(SLOW) == "too_slow", 1)
    report.note(f"seconds_{executor}", seconds)


def run_command(folder: Path, endpoint: str, executor: str) -> dict[str, Any]:
    """Run the command; it ends with 3, because books fail."""
    done = subprocess.run(
        [
            sys.executable, "-m", "raypipe", "run", f"executor={executor}", "storage=local",
            f"storage.path={folder / 'books'}", "embedder=hash", "scale=medium",
            f"text.deadline_s={DEADLINE_S}", "breaker.max_share=1",
            "opensearch=self_managed", f"opensearch.endpoint={endpoint}",
            f"opensearch.index=hostile-{executor}", f"state.uri={folder / executor}", "output=json",
        ],
        cwd=folder, env=environment(), check=False, stdout=subprocess.PIPE, text=True,
        timeout=1_200,
    )  # fmt: skip
    assert done.returncode == 3, done.returncode
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def failed_books(state: Path) -> dict[str, str]:
    """Return the kind of failure of each failed book."""
    from raypipe.ledger.failure_log import FailureLog
    from raypipe.state.local import LocalState

    rows = FailureLog(LocalState(str(state))).read_latest().to_pylist()
    return {row["key"]: row["kind"] for row in rows}


def books_in_index(endpoint: str, index: str) -> set[str]:
    """Return the keys of the books that a search finds."""
    from raypipe.opensearch.connection.client import Connection

    connection = Connection(endpoint)
    connection.ask("POST", f"/{index}/_refresh")
    query = {"size": 10_000, "_source": ["key"], "query": {"match_all": {}}}
    found = connection.ask("POST", f"/{index}/_search", body=query)
    return {hit["_source"]["key"] for hit in found["hits"]["hits"]}


if __name__ == "__main__":
    main()
