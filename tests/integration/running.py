"""Run raypipe as a person does, in a process of its own or in this one, on books of a test."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from tests.integration.run_table import Notes

ROOT = Path(__file__).parents[2]
PARTS = "tests.integration.run_table"
MARK = "RAYPIPE_TEST_MARK"
WORKERS_END_S = 6.0
"""Seconds in which Ray's workers with a book end when their driver was killed."""
PATIENCE = 300.0
"""Seconds after which a test gives up on a run; other work may share the cores."""


def wait_for(what: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something is true, however long it takes within reason."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def write_book(folder: Path, name: str, words: str = "tells more of the tale") -> Path:
    """Write a book of some 400 words that are its own."""
    text = " ".join(f"Sentence {i} of {name} {words} and ends." for i in range(40))
    path = folder / f"{name}__by__Author_{name}.txt"
    path.write_text(text)
    os.utime(path, (1.7e9, 1.7e9))  # equal books have equal ETags, whatever the folder
    return path


@dataclass
class Project:
    """A folder with books, notes, a state and options; runs over it in either way."""

    home: Path
    endpoint: str
    options: list[str] = field(default_factory=list)
    index: str = field(default_factory=lambda: f"run-{uuid.uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        self.books, self.state = self.home / "books", self.home / "state"
        for folder in (self.books, self.home / "notes"):
            folder.mkdir(parents=True, exist_ok=True)
        self.notes = Notes(str(self.home / "notes"))
        self.mark = uuid.uuid4().hex

    def args(self, *more: str) -> list[str]:
        """Return the options of a run over the local books with noting parts."""
        store = [
            "storage=local",
            f"storage._target_={PARTS}.NotingLocalStore",
            f"storage.path={self.books}",
            "storage.name=test-books",
            f"+storage.notes={self.notes.folder}",
        ]
        return self.parts(*store, *more)

    def parts(self, *more: str) -> list[str]:
        """Return the options of a run with everything but a store."""
        return [
            "summarizer=lead",
            f"summarizer._target_={PARTS}.NotingSummarizer",
            f"+summarizer.notes={self.notes.folder}",
            "embedder=hash",
            *([] if "opensearch=none" in more else self.where()),
            "stages.summarize.workers=1",  # each actor is a process to start: seconds of a core
            f"state.uri={self.state}",
            "ray.dashboard=false",
            "output=json",
            *self.options,
            *more,
        ]

    def where(self) -> list[str]:
        """Return the options that name the index."""
        return [
            "opensearch=self_managed",
            f"opensearch.endpoint={self.endpoint}",
            f"opensearch.index={self.index}",
            "opensearch.replicas=0",
        ]

    def start(
        self, *args: str, python: Sequence[str] = (), log: str = "", own_home: bool = True
    ) -> subprocess.Popen[str]:
        """Start the real command line in a session of its own; `log` names its output."""
        person = self.home / "home"
        person.mkdir(exist_ok=True)
        env = {**os.environ, "PYTHONPATH": str(ROOT), MARK: self.mark}
        if own_home:
            env["HOME"] = str(person)
        return subprocess.Popen(
            [sys.executable, *python, "-m", "raypipe", *args],
            cwd=self.home,
            env=env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=(self.home / f"stdout{log}").open("w"),
            stderr=(self.home / f"stderr{log}").open("w"),
            start_new_session=True,
        )

    def cli(self, *args: str, code: int = 0, python: Sequence[str] = ()) -> str:
        """Run a command line to its end; returns what stood on stdout."""
        process = self.start(*args, python=python)
        self.ended(process, code)
        return self.stdout()

    def ended(self, process: subprocess.Popen[str], code: int) -> None:
        """Wait for the end of a command, which must have this exit code."""
        try:
            assert process.wait(PATIENCE) == code, self.stderr()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def stdout(self, log: str = "") -> str:
        return (self.home / f"stdout{log}").read_text()

    def stderr(self, log: str = "") -> str:
        return (self.home / f"stderr{log}").read_text()

    def processes(self) -> list[psutil.Process]:
        """Return what lives of all that this project's command lines started."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                marked = process.environ().get(MARK) == self.mark
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def wait_until_ended(self, *, killed: bool = False) -> None:
        """Wait until nothing lives that these command lines started.

        Args:
            killed: The driver was killed. A worker of Ray's that was only booting then looks for
                it for some 25 s, and longer on busy cores; it has no book, and is ended here.
        """
        began = time.monotonic()
        deadline = began + PATIENCE
        while left := self.processes():
            if killed and time.monotonic() - began > WORKERS_END_S:
                self.end_processes()
            assert time.monotonic() < deadline, [_named(process) for process in left]
            time.sleep(0.05)

    def left_at_home(self) -> list[str]:
        """Return the files that commands left in the person's home folder."""
        return [str(path) for path in (self.home / "home").rglob("*") if path.is_file()]

    def run(
        self,
        *more: str,
        code: int = 0,
        args: Sequence[str] | None = None,
        command: str = "run",
    ) -> dict[str, Any]:
        """Run in this process, on the Ray of the test session; returns the record."""
        args = self.args(*more) if args is None else [*args, *more]
        record: dict[str, Any] = json.loads(in_process(command, args, code))
        check_balance(record)
        return record

    def verify(self, code: int = 0, args: Sequence[str] | None = None) -> dict[str, Any]:
        """Verify in this process; returns the report."""
        wanted = ("storage", "+storage", "opensearch", "state", "output")
        args = [arg for arg in args or self.args() if arg.startswith(wanted)]
        report: dict[str, Any] = json.loads(in_process("verify", args, code))
        return report

    def ledger(self) -> list[str]:
        """Return the ids in the processed parts, as often as they stand there."""
        parts = sorted((self.state / "processed").glob("part-*.parquet"))
        return [one for part in parts for one in pq.read_table(part)["book_id"].to_pylist()]

    def failures(self, run_seq: int) -> dict[str, dict[str, Any]]:
        """Return the failure rows of a run by key."""
        parts = sorted((self.state / "failures").glob("part-*.parquet"))
        rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
        return {row["key"]: row for row in rows if row["run_seq"] == run_seq}

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return the documents in the index by id, without what differs from run to run."""
        client = self.client()
        client.indices.refresh(index=self.index)
        hits = client.search(index=self.index, size=100)["hits"]["hits"]
        passing = ("run_seq", "finished_at", "node_id")
        return {
            hit["_id"]: {key: value for key, value in hit["_source"].items() if key not in passing}
            for hit in hits
        }

    def client(self) -> Any:
        from opensearchpy import OpenSearch

        return OpenSearch(self.endpoint, timeout=60)

    def end_processes(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)

    def clean_up(self) -> None:
        """End what still runs and delete the index."""
        self.end_processes()
        self.client().indices.delete(index=f"{self.index}*", ignore=[404])


def _named(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} {process.status()} {' '.join(process.cmdline()[:4])}"
    return f"{process.pid} gone"


def in_process(command: str, args: Sequence[str], code: int | tuple[int, ...] | None = 0) -> str:
    """Run a command without a process of its own; returns what it printed.

    Args:
        command: The command.
        args: Its options.
        code: The exit code it must have, or one of several; None = any.
    """
    from importlib import import_module

    from hydra import compose, initialize_config_dir

    from raypipe.config.paths import conf_dir
    from raypipe.config.schema import register_schemas

    register_schemas()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose(command, overrides=list(args))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        ended = import_module(f"raypipe.cli.commands.{command}").main(cfg)
    codes = (code,) if isinstance(code, int) else code
    assert codes is None or ended in codes, printed.getvalue()
    return printed.getvalue()


def check_balance(record: dict[str, Any]) -> None:
    """Check listed = skipped + indexed + failed + left."""
    done = record["indexed"] + record["finished"]
    assert record["listed"] == record["skipped"] + done + record["failed"] + record["left"]


@pytest.fixture(scope="session")
def ray_here() -> Iterator[None]:
    """Start Ray once for all runs in this process: it is most of a small run's time."""
    import ray

    from raypipe.core.options import RayOptions
    from raypipe.run.executors.ray_session import ray_session

    if ray.is_initialized():  # by the same fixture, imported by another file
        yield
        return
    # Workers have the environment of this moment; README's line with a user name needs it.
    os.environ.setdefault("OPENSEARCH_PASSWORD", "test")
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            # The same for its lines with models; the driver's environment stays as it was.
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"):
                patch.setenv(name, "simulated")
            stack.enter_context(ray_session(RayOptions(dashboard=False)))
        yield


@pytest.fixture
def project(tmp_path: Path, opensearch_url: str) -> Iterator[Project]:
    """Return an empty project; its index is deleted and its processes are ended afterwards."""
    made = Project(tmp_path, opensearch_url)
    yield made
    made.clean_up()
