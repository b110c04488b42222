"""One node, one S3 and one proxy for all jobs of the chaos tests, and a job that is killed."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from raypipe.checkpoint import Checkpoint
from raypipe.embedded.services import Services
from raypipe.opensearch.client import Connection
from raypipe.opensearch.index import find
from raypipe.opensearch.settings import OpenSearchIndex
from raypipe.state.local import LocalState
from tests.chaos.parts import marked
from tests.chaos.proxy import Proxy, Trouble
from tests.integration.running import Project, check_balance, wait_for
from tests.integration.s3_here import S3Here

log = logging.getLogger(__name__)

PARTS = "tests.chaos.parts"
BUCKET = "chaos"
KINDS = ("driver", "worker", "node", "proxy", "disk")
TRIES = 3
"""Runs until books whose worker died twice are done as well."""
AIM_S = 10.0
"""A kill that is aimed at a place waits so long for a run to come by there."""
DIMENSIONS = (16, 24, 32, 48, 64, 96)
"""Each is a recipe of its own, so that an index is built beside the one that is served."""


@dataclass
class World:
    """What all jobs share."""

    home: Path
    s3: S3Here
    proxy: Proxy
    stack: ExitStack
    books: int
    starts: int = 0

    def start_node(self) -> None:
        """Start the node on its data, wherever there is a port."""
        self.starts += 1
        services = self.stack.enter_context(Services(self.home / "node"))
        self.proxy.target = services.opensearch()

    def kill_node(self) -> None:
        """Kill the node as the kernel would."""
        [node] = [
            one
            for one in psutil.process_iter(["cmdline"])
            if str(self.home / "node") in " ".join(one.info["cmdline"] or ())
            and "java" in Path((one.info["cmdline"] or [""])[0]).name
        ]
        node.kill()
        with contextlib.suppress(psutil.NoSuchProcess):
            node.wait(30)


@contextmanager
def world(home: Path, s3: S3Here, books: int, chance: random.Random) -> Iterator[World]:
    """Yield a world with a node that runs and so many books in a bucket."""
    s3.bucket(BUCKET)
    for number in range(books):
        s3.put(BUCKET, f"Book_{number:04d}__by__Author_{number}.txt", text(number).encode())
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy("", chance))
        made = World(home, s3, proxy, stack, books)
        made.start_node()
        yield made


def text(number: int) -> str:
    """Return a book of some 200 words that are its own."""
    return " ".join(f"Sentence {i} of book {number} tells of a lamp and ends." for i in range(20))


@dataclass
class Job:
    """A job that is killed again and again, until it is done."""

    world: World
    home: Path
    chance: random.Random
    recipe: int = 0
    landed: Counter[str] = field(default_factory=Counter)
    graph_s: float = 8.0  # how long a whole run works on the books
    kills: list[tuple[int, set[str]]] = field(default_factory=list)  # reads then, and what was done

    def __post_init__(self) -> None:
        self.project = Project(self.home, self.world.proxy.url)
        self.marks = self.home / "marks"
        self.marks.mkdir()
        self.reads = self.home / "reads"
        self.reads.touch()

    def args(self, *more: str) -> list[str]:
        """Return the options of a run."""
        marks = f"marks={self.marks}"
        return [
            *self.world.s3.options(BUCKET),
            f"storage._target_={PARTS}.MarkingS3Store", f"+storage.{marks}",
            f"+storage.reads={self.reads}",
            "summarizer=lead", f"summarizer._target_={PARTS}.MarkingSummarizer",
            f"+summarizer.{marks}",
            "embedder=hash", f"embedder.dimension={DIMENSIONS[self.recipe]}",
            *self.project.where(), "opensearch.max_docs=10",
            f"opensearch.connection._target_={PARTS}.MarkingConnection",
            f"+opensearch.connection.{marks}", "opensearch.connection.timeout_s=10",
            f"checkpoint._target_={PARTS}.MarkingCheckpoint", f"+checkpoint.{marks}",
            "stages.summarize.workers=1", "stages.summarize.books_per_task=5",
            f"state.uri={self.project.state}", "ray.dashboard=false", "output=json", *more,
        ]  # fmt: skip

    def start(self) -> subprocess.Popen[str]:
        """Start the command, and wait until it works on books, or has ended."""
        for left in self.marks.iterdir():
            left.unlink()  # of those who were killed
        process = self.project.start("run", *self.args())
        wait_for(lambda: marked(self.marks) or process.poll() is not None)
        return process

    def measure(self) -> None:
        """Run to the end without a kill, and learn how long that takes."""
        process = self.start()
        began = time.monotonic()
        self.project.ended(process, 0)
        self.graph_s = time.monotonic() - began

    def kill(self, kind: str, aim: str = "") -> bool:
        """Kill something at a random moment; returns whether there was something to kill.

        Args:
            kind: One of `KINDS`.
            aim: A phase to wait for, then; empty = whatever there is.
        """
        if kind == "disk":
            return self._fill_disk()
        left = max(0.1, 1 - self._share_done())
        process = self.start()
        deadline = time.monotonic() + self.chance.uniform(0, self.graph_s * left)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        deadline = time.monotonic() + AIM_S
        while aim and aim not in marked(self.marks) and process.poll() is None:
            if time.monotonic() > deadline:
                break
            time.sleep(0.001)
        if process.poll() is not None:
            self._ended(process)
            return False
        places = marked(self.marks) or {"elsewhere"}
        self.landed.update(places)
        log.warning("%s killed in %s", kind, ", ".join(sorted(places)))
        self.kills.append((self.reads.stat().st_size, self.processed()))
        if kind == "driver":
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.project.wait_until_ended(killed=True)
        elif kind == "worker":
            self._kill_worker()
            self._ended(process)
        elif kind == "proxy":
            self.world.proxy.trouble = Trouble(delay=0.05, drop=0.02, cut=0.02)
            try:
                self._ended(process)
            finally:
                self.world.proxy.trouble = Trouble()
        else:
            self.world.kill_node()
            time.sleep(1)
            self.world.start_node()
            self._ended(process)
        return True

    def finish(self) -> None:
        """Run to the end, failed books once more, and hold everything against a clean run."""
        for _ in range(TRIES):
            if self._ended(self.start()) == 0:
                break
        self.check()

    def check(self) -> None:
        """Raise AssertionError unless nothing is lost, doubled or stale."""
        index = OpenSearchIndex(Connection(self.world.proxy.target), index=self.project.index)
        handle = find(index)
        assert handle is not None
        documents = self._documents(handle.physical)
        assert len(documents) == self.world.books
        for number in range(self.world.books):
            title = f"Book {number:04d}"
            source = documents[title]
            assert source["author"] == f"Author {number}", title
            assert f"of book {number} " in source["summary"], title
            assert len(source["summary_vector"]) == DIMENSIONS[self.recipe], title
        rows = Checkpoint(state=LocalState(str(self.project.state))).of_generation(
            handle.generation
        )
        ids = rows["book_id"].to_pylist()
        assert sorted(ids) == sorted(one["book_id"] for one in documents.values())
        assert len(ids) == len(set(ids))
        assert len(set(rows["recipe"].to_pylist())) == 1
        loading = index.connection.ask("GET", f"/{index.index}-loading", ignore=(404,))
        assert not loading, "what is built is served"
        for size, done in self.kills:
            again = set(self.reads.read_bytes()[size:].decode().split())
            assert not again & done, "a book that was processed was read again"

    def next_recipe(self) -> None:
        """Go on with another recipe: the next run builds an index beside this one."""
        self.recipe = (self.recipe + 1) % len(DIMENSIONS)

    def processed(self) -> set[str]:
        """Return the ids of all books that the ledger ever called processed."""
        rows = Checkpoint(state=LocalState(str(self.project.state))).history()
        return set(rows["book_id"].to_pylist())

    def _share_done(self) -> float:
        """Return the share of the books that stand in the index that was written last."""
        rows = Checkpoint(state=LocalState(str(self.project.state))).history()
        cells = rows.select(["generation", "run_seq"]).to_pylist()
        last = max(cells, key=lambda one: one["run_seq"], default={"generation": ""})
        there = sum(one["generation"] == last["generation"] for one in cells)
        return there / self.world.books

    def _fill_disk(self) -> bool:
        """Run with a disk that is full; it must end with one line that says so."""
        args = [one for one in self.args() if "checkpoint" not in one]
        full = "checkpoint._target_=tests.integration.run_parts.FullDiskCheckpoint"
        process = self.project.start("run", *args, full)
        code = process.wait(240)
        if code == 0:
            return False  # nothing was left to write
        assert code == 1, self.project.stderr()[-3000:]
        assert "the disk is full" in self.project.stderr()
        return True

    def _ended(self, process: subprocess.Popen[str]) -> int:
        """Wait for a run's end, which must be a whole one, go over its numbers; return its code."""
        code = process.wait(240)
        assert code in (0, 3), self.project.stderr()[-3000:]
        record: dict[str, Any] = json.loads(self.project.stdout())
        check_balance(record)
        assert record["left"] == 0, record
        return code

    def _kill_worker(self) -> None:
        workers = [
            one
            for one in self.project.processes()
            if "MapWorker" in " ".join(one.cmdline()) or "MapWorker" in one.name()
        ]
        if workers:
            self.chance.choice(workers).kill()

    def _documents(self, physical: str) -> dict[str, dict[str, Any]]:
        from opensearchpy import OpenSearch

        client = OpenSearch(self.world.proxy.target, timeout=60)
        client.indices.refresh(index=physical)
        hits = client.search(index=physical, size=10_000)["hits"]["hits"]
        return {hit["_source"]["title"]: hit["_source"] for hit in hits}
