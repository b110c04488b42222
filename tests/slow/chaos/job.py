"""A job that is killed again and again, until it is done."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from raypipe.core.s3 import S3Connection
from raypipe.embedders.hash import HashEmbedder
from raypipe.ledger.checkpoint import Checkpoint
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import IndexAlias, IndexConfig
from raypipe.state.factory import open_state
from raypipe.state.store import State
from tests.integration.raypipe_command import Project, check_balance, wait_for
from tests.slow.chaos.parts import WRITER_PHASES, marked, marks_of_writers
from tests.slow.chaos.world import BUCKET, STATES, World, text

log = logging.getLogger(__name__)

PARTS = "tests.slow.chaos.parts"
TRIES = 3
"""Runs until books whose worker died twice are done as well."""
AIM_S = 25.0
"""A kill that is aimed at a place waits so long for a run to come by there."""
WORDS = 200
DIMENSIONS = (16, 24, 32, 48, 64, 96)
LIMIT_S = 240.0


@dataclass
class Job:
    """A job that is killed again and again, until it is done.

    Args:
        world: What it shares with other jobs.
        home: Its folder.
        chance: Draws the moments.
        on_cluster: It runs on the cluster of two nodes, its state on S3.
    """

    world: World
    home: Path
    chance: random.Random
    on_cluster: bool = False
    landed: Counter[str] = field(default_factory=Counter)  # kills by the phase that they hit
    writers_killed: Counter[str] = field(default_factory=Counter)  # by what had landed
    _recipe: int = 0
    _complete: bool = False  # the last run came to its end
    _old: set[str] = field(default_factory=set)  # recipes before this one
    _kills: list[tuple[int, set[str]]] = field(default_factory=list)  # reads, and done ids

    def __post_init__(self) -> None:
        """Make its folders."""
        self.project = Project(self.home, self.world.proxy.url)
        self.marks = self.home / "marks"
        self.marks.mkdir()
        self.reads = self.home / "reads"
        self.reads.touch()
        place = f"s3://{STATES}/{self.home.name}"
        self.uri = place if self.on_cluster else str(self.project.state)

    def start(self, *more: str) -> subprocess.Popen[str]:
        """Start the command, and wait until it works on books, or has ended."""
        for left in self.marks.iterdir():
            left.unlink()  # of those who were killed
        process = self.project.start("run", *self._args(), *more)
        wait_for(lambda: marked(self.marks) or process.poll() is not None)
        return process

    def measure(self) -> None:
        """Run to the end without a kill, and learn how long that takes."""
        process = self.start()
        began = time.monotonic()
        self.project.wait_for_exit(process, 0)
        self._complete = True
        self.world.graph_s = time.monotonic() - began
        log.warning("a run works for %.1f s", self.world.graph_s)

    def kill(self, kinds: Sequence[str], aim: str = "") -> list[str]:
        """Run once, and kill things at random moments; returns those that there were to kill.

        Args:
            kinds: Of `driver`, `worker`, `writer`, `raylet`, `node`, `proxy`, `s3`, one after the
                other, the driver last; or `disk` alone.
            aim: A phase to wait for before the last; empty = whatever there is.
        """
        if self._complete:
            self._next_recipe()
        if "disk" in kinds:
            return self._fill_disk()
        began = time.monotonic()
        left = max(0.1, 1 - len(self._done()) / self.world.books)
        process = self.start()
        started = time.monotonic()
        moments = sorted(self.chance.uniform(0, self.world.graph_s * left) for _ in kinds)
        killed: list[str] = []
        try:
            for kind, moment in zip(kinds, moments, strict=True):
                last = len(killed) == len(kinds) - 1
                if kind == "writer":
                    self._wait_for_moment(process, started + moment, self._next_writer_phase())
                else:
                    self._wait_for_moment(process, started + moment, aim if last else "")
                if process.poll() is not None:
                    break
                self._hit(kind, process)
                killed.append(kind)
            if "driver" not in killed:
                self._ended(process)
        finally:
            self.world.calm()
        seconds = [f"{b - a:.0f}" for a, b in pairwise((began, started, time.monotonic()))]
        log.warning("killed %s: start and rest %s s", killed, " ".join(seconds))
        return killed

    def finish(self) -> None:
        """Run to the end, failed books once more, and hold everything against a clean run."""
        for _ in range(TRIES):
            if self._complete or self._ended(self.start()) == 0:
                break
        self._check()

    def _next_recipe(self) -> None:
        """Go on with another recipe: the next run reads all books and builds an index beside."""
        self._check()
        self._complete = False
        self._kills.clear()
        self._old = set(self._ledger().read_latest()["recipe"].to_pylist())
        self._recipe += 1

    def _args(self) -> list[str]:
        marks = f"marks={self.marks}"
        where = [f"state.uri={self.uri}", "stages.summarize.workers=1"]
        if self.on_cluster:
            address = self.world.cluster().address
            where = [f"state.uri={self.uri}", "stages.summarize.workers=2", "ray=cluster"]
            where += [f"ray.address={address}"]
        return [
            *self.world.s3.options(BUCKET), "storage.anonymous=false",
            f"storage._target_={PARTS}.MarkingS3Store", f"+storage.{marks}",
            f"+storage.reads={self.reads}",
            "summarizer=lead", f"summarizer._target_={PARTS}.MarkingSummarizer",
            f"summarizer.words={self._words}", f"+summarizer.{marks}",
            "embedder=hash", f"embedder.dimension={self._dimension}",
            "replace=true",
            *self.project.index_options(), "opensearch.max_docs=20",
            f"opensearch.connection._target_={PARTS}.MarkingConnection",
            f"+opensearch.connection.{marks}", "opensearch.connection.timeout_s=10",
            f"checkpoint._target_={PARTS}.MarkingCheckpointSettings", f"+checkpoint.{marks}",
            "stages.summarize.books_per_task=5", "ray.dashboard=false", "output=json", *where,
        ]  # fmt: skip

    @property
    def _words(self) -> int:
        return WORDS - self._recipe

    @property
    def _dimension(self) -> int:
        return DIMENSIONS[self._recipe % len(DIMENSIONS)]

    def _hit(self, kind: str, process: subprocess.Popen[str]) -> None:
        """Kill or disturb something, and note what was done there."""
        places = marked(self.marks) or {"elsewhere"}
        self.landed.update(places)
        self._kills.append((self.reads.stat().st_size, self._done()))
        log.warning("%s is killed in %s", kind, ", ".join(sorted(places)))
        kinds: Mapping[str, Callable[[], None]] = {
            "driver": lambda: self._kill_driver(process),
            "worker": self._kill_worker,
            "writer": lambda: self._kill_writer(process),
            "raylet": self.world.kill_raylet,
            "node": self._kill_node,
            "proxy": self.world.trouble_proxy,
            "s3": self.world.trouble_s3,
        }
        kinds[kind]()

    def _wait_for_moment(self, process: subprocess.Popen[str], deadline: float, aim: str) -> None:
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        deadline = time.monotonic() + AIM_S
        while aim and aim not in marked(self.marks) and process.poll() is None:
            if time.monotonic() > deadline:
                break
            time.sleep(0.002)

    def _kill_driver(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.project.wait_until_processes_end(killed=True)

    def _kill_worker(self) -> None:
        cluster = self.world.cluster() if self.on_cluster else None
        living = cluster.workers() if cluster else self.project.processes()
        workers = [one for one in living if "MapWorker" in _named(one)]
        if workers:
            self.chance.choice(workers).kill()

    def _next_writer_phase(self) -> str:
        """Return the phase in which writers were killed least."""
        return min(WRITER_PHASES, key=lambda phase: self.writers_killed[phase])

    def _kill_writer(self, process: subprocess.Popen[str]) -> None:
        """Kill the process that holds a group; the marks that it leaves tell what had landed."""
        deadline = time.monotonic() + AIM_S
        while process.poll() is None and time.monotonic() < deadline:
            for pid in marks_of_writers(self.marks):
                with contextlib.suppress(psutil.NoSuchProcess):
                    writer = psutil.Process(pid)
                    writer.suspend()  # the marks stay as they are
                    if held := marks_of_writers(self.marks).get(pid):
                        writer.kill()
                        writer.wait(30)
                        self.writers_killed.update(path.name.partition("-")[0] for path in held)
                        for path in held:
                            path.unlink(missing_ok=True)
                        return
                    writer.resume()
            time.sleep(0.002)

    def _kill_node(self) -> None:
        self.world.kill_node()
        time.sleep(1)
        self.world.start_node()

    def _fill_disk(self) -> list[str]:
        """Run with a disk that is full; it must end with one line that says so."""
        args = [one for one in self._args() if "checkpoint" not in one]
        full = "checkpoint._target_=tests.integration.instrumented_parts.FullDiskCheckpointSettings"
        process = self.project.start("run", *args, full)
        if process.wait(LIMIT_S) == 0:
            self._complete = True
            return []  # nothing was left to write
        assert process.returncode == 1, self.project.stderr()[-3000:]
        assert "the disk is full" in self.project.stderr()
        return ["disk"]

    def _ended(self, process: subprocess.Popen[str]) -> int:
        """Wait for a run's end, which must be a whole one, go over its numbers; return its code."""
        code = process.wait(LIMIT_S)
        assert code in (0, 3), self.project.stderr()[-3000:]
        record: dict[str, Any] = json.loads(self.project.stdout())
        check_balance(record)
        assert record["left"] == 0, record
        self._complete = code == 0
        return code

    def _check(self) -> None:
        """Raise AssertionError unless nothing is lost, doubled, stale or done again."""
        index = IndexConfig(Connection(self.world.proxy.target), index=self.project.index)
        served = IndexAlias(index).find()
        assert served is not None
        documents = self._documents(served.ref.physical)
        assert len(documents) == self.world.books
        embedder = HashEmbedder(self._dimension)
        for number in range(self.world.books):
            source = documents[f"Book {number:04d}"]
            summary = " ".join(text(number).split()[: self._words])
            assert source["author"] == f"Author {number}", number
            assert source["summary"] == summary, number
            [vector] = embedder.embed([f"{source['title']}. {summary}"])
            assert abs(vector - source["summary_vector"]).max() < 1e-6, number
        rows = self._ledger().read_generation(served.ref.generation)
        ids = rows["book_id"].to_pylist()
        assert sorted(ids) == sorted(one["book_id"] for one in documents.values())
        assert len(ids) == len(set(ids))
        assert len(set(rows["recipe"].to_pylist())) == 1
        loading = index.connection.ask("GET", f"/{index.index}-loading", ignore=(404,))
        assert not loading, "what is built is served"
        self._check_reads()

    def _check_reads(self) -> None:
        for size, done in self._kills:
            again = set(self.reads.read_bytes()[size:].decode().split())
            assert not again & done, "a book that was processed was read again"

    def _done(self) -> set[str]:
        """Return the ids of the books that this recipe has in the ledger."""
        rows = self._ledger().read_latest().select(["book_id", "recipe"]).to_pylist()
        return {one["book_id"] for one in rows if one["recipe"] not in self._old}

    def _ledger(self) -> Checkpoint:
        return Checkpoint(self._state())

    def _state(self) -> State:
        return open_state(self.uri, S3Connection(endpoint_url=self.world.s3.url))

    def _documents(self, physical: str) -> dict[str, dict[str, Any]]:
        from opensearchpy import OpenSearch

        client = OpenSearch(self.world.proxy.target, timeout=60)
        client.indices.refresh(index=physical)
        hits = client.search(index=physical, size=10_000)["hits"]["hits"]
        return {hit["_source"]["title"]: hit["_source"] for hit in hits}


def _named(process: psutil.Process) -> str:
    try:
        return f"{process.name()} {' '.join(process.cmdline())}"
    except psutil.Error:
        return ""
