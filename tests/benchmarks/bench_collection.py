"""A Serverless collection that loses answers: what stands in it after a kill and a second run.

    python tests/benchmarks/bench_collection.py [--books 2000] [--kill-after 0.4]

The collection is a real node behind a stub that takes no ids, has no refresh, shows documents after
10 s, refuses what is not signed, answers some requests 402 and loses the answer of each 33rd (three
kinds: cut before it was carried out, cut after, 503 after). A run is killed (-9, with all that it
started) when a share of the books is there, and run again; then a tenth of the books is changed,
and run once more. After each run every book must stand there once, in its newest version. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import psutil  # noqa: E402
from bench_bulk import node  # noqa: E402
from processes import environment  # noqa: E402
from report import Report  # noqa: E402

from raypipe.ledger.checkpoint import Checkpoint  # noqa: E402
from raypipe.state.factory import open_state  # noqa: E402
from tests.integration.serverless_stub import SIGNER, Collection, collection  # noqa: E402

INDEX = "collection"
VISIBLE_S = 10
UNKNOWN, FULL = 33, 50
DOCS = 10


def write(folder: Path, numbers: Sequence[int], words: str) -> None:
    """Write small books."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        text = " ".join(f"Sentence {i} of book {number} {words} and ends." for i in range(20))
        (folder / f"Book_{number:05d}.txt").write_text(text)


def start(here: Path, args: Sequence[str]) -> subprocess.Popen[str]:
    """Start a run in a session of its own."""
    env = environment(AWS_ACCESS_KEY_ID=SIGNER.key, AWS_SECRET_ACCESS_KEY=SIGNER.secret)
    return subprocess.Popen(
        [sys.executable, "-m", "raypipe", "run", *args],
        cwd=here,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(here: Path, args: Sequence[str]) -> dict[str, Any]:
    """Run to the end; returns the record."""
    process = start(here, args)
    out, _ = process.communicate()
    assert process.returncode == 0, process.returncode
    record: dict[str, Any] = json.loads(out)
    return record


def documents(url: str) -> list[dict[str, Any]]:
    """Return all that stands there, seen or not yet."""
    from opensearchpy import OpenSearch

    client = OpenSearch(url, timeout=60)
    client.indices.refresh(index=f"{INDEX}*")
    body = {"size": 10_000, "_source": ["key", "summary"]}
    return [one["_source"] for one in client.search(index=f"{INDEX}*", body=body)["hits"]["hits"]]


def killed(here: Path, args: Sequence[str], url: str, after: int) -> int:
    """Kill a run -9 when so many documents are there, and some that its ledger does not know yet.

    Returns:
        How many those are: the next run writes them again.
    """
    checkpoint = Checkpoint(open_state(str(here / "state")))
    process = start(here, args)
    there = 0
    while process.poll() is None and (there < after or there <= len(checkpoint.read_latest())):
        there = len(documents(url))
        time.sleep(0.02)
    assert process.poll() is None, "it ended before it could be killed"
    # Ray's workers too, which would end what they are at: as if the machine had lost its power.
    everything = [psutil.Process(process.pid), *psutil.Process(process.pid).children(True)]
    for one in everything:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.communicate()
    return len(documents(url)) - len(checkpoint.read_latest())


def compare(report: Report, name: str, url: str, books: int, changed: int) -> None:
    """Hold what stands there against the books."""
    found = documents(url)
    copies = Counter(one["key"] for one in found)
    wanted = {f"Book_{number:05d}.txt" for number in range(books)}
    stale = 0
    for one in found:
        number = int(one["key"][5:10])
        stale += ("a storm" in one["summary"]) != (number < changed)
    report.at_most(f"{name}_lost", len(wanted - copies.keys()), 0)
    report.at_most(f"{name}_doubled", len(found) - len(copies), 0)
    report.at_most(f"{name}_stale", stale, 0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=2000)
    parser.add_argument("--kill-after", type=float, default=0.4)
    wanted = parser.parse_args()
    report = Report("collection")
    with ExitStack() as stack:
        here = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="raypipe-bench-")))
        url = stack.enter_context(node(None))
        made = Collection(visible_s=VISIBLE_S, behind_s=5.0, unknown=UNKNOWN, full=FULL)
        stack.enter_context(collection(url, made))
        books = here / "books"
        write(books, range(wanted.books), "tells of a lamp")
        args = [
            "storage=local", f"storage.path={books}", f"state.uri={here / 'state'}",
            "summarizer=lead", "embedder=hash", *made.options(f"opensearch.index={INDEX}"),
            f"opensearch.max_docs={DOCS}", "ray.dashboard=false", "output=json",
        ]  # fmt: skip
        again = killed(here, args, url, round(wanted.books * wanted.kill_after))
        report.at_least("written_and_not_in_the_ledger_at_the_kill", again, 1)
        began = time.monotonic()
        run(here, args)
        report.note("second_run_s", time.monotonic() - began)
        compare(report, "after_the_kill", url, wanted.books, 0)
        changed = wanted.books // 10
        write(books, range(changed), "tells of a storm")
        record = run(here, args)
        report.at_most("changed_but_not_indexed", changed - record["indexed"], 0)
        compare(report, "after_a_change", url, wanted.books, changed)
        report.note("bulk_requests", made.seen["bulk"])
        report.note("capacity_reached", made.seen["full"])
        report.at_least("unknown_outcomes", made.seen["unknown"] / made.seen["bulk"], 0.02)
        report.at_most("requests_with_ids", made.seen["ids"], 0)
        report.at_most("requests_unsigned", made.seen["unsigned"], 0)
    report.finish()


if __name__ == "__main__":
    main()
