"""Run `raypipe` on a test's books, as a process or inside this process."""

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
from omegaconf import DictConfig

from tests.integration.instrumented_parts import Journal

ROOT = Path(__file__).parents[2]
PARTS = "tests.integration.instrumented_parts"
MARK = "RAYPIPE_TEST_MARK"
"""Environment variable that marks the processes of a project's commands."""
WORKER_EXIT_S = 6.0
"""Seconds in which Ray workers that have a book end after their driver was killed."""
TIMEOUT_S = 300.0
"""Seconds after which a test gives up on a run; other work may share the cores."""


def wait_for(condition: Callable[[], object], seconds: float = TIMEOUT_S) -> None:
    """Wait until a condition is true, or fail after some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition is still false after {seconds:g} s"
        time.sleep(0.05)


def write_book(folder: Path, name: str, words: str = "tells more of the tale") -> Path:
    """Write a book of about 400 words that no other book has."""
    text = " ".join(f"Sentence {i} of {name} {words} and ends." for i in range(40))
    path = folder / f"{name}__by__Author_{name}.txt"
    path.write_text(text)
    os.utime(path, (1.7e9, 1.7e9))  # the ETag of a local book contains its time of modification
    return path


@dataclass
class Project:
    """A folder with books, a journal, a state and options, and the commands that run on it.

    Args:
        folder: The project's folder.
        endpoint: URL of the OpenSearch node.
        extra_options: Options of every run.
        index: Name of the index.
        executor: `local`, or `ray` for what only Ray can show.
    """

    folder: Path
    endpoint: str
    extra_options: list[str] = field(default_factory=list)
    index: str = field(default_factory=lambda: f"run-{uuid.uuid4().hex[:12]}")
    executor: str = "local"

    def __post_init__(self) -> None:
        self.books, self.state = self.folder / "books", self.folder / "state"
        for folder in (self.books, self.folder / "journal"):
            folder.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(str(self.folder / "journal"))
        self.mark = uuid.uuid4().hex

    def run_options(self, *more: str) -> list[str]:
        """Return the options of a run over the local books with instrumented parts."""
        source = [
            "storage=local",
            f"storage._target_={PARTS}.JournalingLocalSource",
            f"storage.path={self.books}",
            "storage.name=test-books",
            f"+storage.journal={self.journal.folder}",
        ]
        return self.options_without_source(*source, *more)

    def options_without_source(self, *more: str) -> list[str]:
        """Return the options of a run, without those of its source."""
        return [
            "summarizer=lead",
            f"summarizer._target_={PARTS}.JournalingSummarizer",
            f"+summarizer.journal={self.journal.folder}",
            "embedder=hash",
            *([] if "opensearch=none" in more else self.index_options()),
            "stages.summarize.workers=1",  # each actor is a process to start: seconds of a core
            f"state.uri={self.state}",
            f"executor={self.executor}",
            "ray.dashboard=false",
            "output=json",
            *self.extra_options,
            *more,
        ]

    def index_options(self) -> list[str]:
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
        """Start `raypipe` in a new session.

        Args:
            args: The command and its options.
            python: Options of the interpreter.
            log: Suffix of the files that get stdout and stderr.
            own_home: Whether HOME is an empty folder of the project.
        """
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        env = {**os.environ, "PYTHONPATH": str(ROOT), MARK: self.mark}
        if own_home:
            env["HOME"] = str(home)
        return subprocess.Popen(
            [sys.executable, *python, "-m", "raypipe", *args],
            cwd=self.folder,
            env=env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / f"stdout{log}").open("w"),
            stderr=(self.folder / f"stderr{log}").open("w"),
            start_new_session=True,
        )

    def command(self, *args: str, code: int = 0, python: Sequence[str] = ()) -> str:
        """Run `raypipe` as a process to its end and return its stdout."""
        process = self.start(*args, python=python)
        self.wait_for_exit(process, code)
        return self.stdout()

    def wait_for_exit(self, process: subprocess.Popen[str], code: int) -> None:
        """Wait for the end of a command, which must have this exit code."""
        try:
            assert process.wait(TIMEOUT_S) == code, self.stderr()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def held_checkpoint(self) -> list[str]:
        """Return options by which the ledger is written behind the gate `ledger`."""
        return [
            f"checkpoint._target_={PARTS}.HeldCheckpointSettings",
            f"+checkpoint.journal={self.journal.folder}",
        ]

    def kill_at(self, gate: str, *args: str) -> None:
        """Start a command, kill its driver once it waits at a gate, and open the gate."""
        process = self.start(*args)
        wait_for(lambda: self.journal.count_waiting(gate) or process.poll() is not None)
        assert process.poll() is None, self.stderr()
        process.kill()
        process.wait()
        self.wait_until_processes_end(killed=True)  # no worker outlives its driver
        self.journal.release(gate)

    def stdout(self, log: str = "") -> str:
        return (self.folder / f"stdout{log}").read_text()

    def stderr(self, log: str = "") -> str:
        return (self.folder / f"stderr{log}").read_text()

    def processes(self) -> list[psutil.Process]:
        """Return the living processes that this project's commands started."""
        processes = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_marked = process.environ().get(MARK) == self.mark
                if is_marked and process.status() != psutil.STATUS_ZOMBIE:
                    processes.append(process)
        return processes

    def wait_until_processes_end(self, *, killed: bool = False) -> None:
        """Wait until every process of this project's commands has ended.

        Args:
            killed: The driver was killed. A Ray worker that was still starting then looks for
                the driver for about 25 s, longer on busy cores; it has no book and is killed.
        """
        began = time.monotonic()
        deadline = began + TIMEOUT_S
        while processes := self.processes():
            if killed and time.monotonic() - began > WORKER_EXIT_S:
                self.kill_processes()
            assert time.monotonic() < deadline, [_describe(process) for process in processes]
            time.sleep(0.05)

    def files_in_home(self) -> list[str]:
        """Return the files that commands left in the user's home folder."""
        return [str(path) for path in (self.folder / "home").rglob("*") if path.is_file()]

    def run(
        self,
        *more: str,
        code: int = 0,
        args: Sequence[str] | None = None,
        command: str = "run",
    ) -> dict[str, Any]:
        """Run in this process, on the Ray of the test session, and return the run's record."""
        args = self.run_options(*more) if args is None else [*args, *more]
        record: dict[str, Any] = json.loads(run_in_process(command, args, code))
        check_balance(record)
        return record

    def verify(self, code: int = 0, args: Sequence[str] | None = None) -> dict[str, Any]:
        """Run `verify` in this process and return its report."""
        shared = ("storage", "+storage", "opensearch", "state", "output")
        args = [arg for arg in args or self.run_options() if arg.startswith(shared)]
        report: dict[str, Any] = json.loads(run_in_process("verify", args, code))
        return report

    def processed_ids(self) -> list[str]:
        """Return the book ids of all processed parts, repeated ids included."""
        parts = sorted((self.state / "processed").glob("part-*.parquet"))
        return [book_id for part in parts for book_id in pq.read_table(part)["book_id"].to_pylist()]

    def failures(self, run_seq: int) -> dict[str, dict[str, Any]]:
        """Return the failure rows of a run by key."""
        parts = sorted((self.state / "failures").glob("part-*.parquet"))
        rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
        return {row["key"]: row for row in rows if row["run_seq"] == run_seq}

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return the documents in the index by id, without the fields that differ by run."""
        client = self.client()
        client.indices.refresh(index=self.index)
        hits = client.search(index=self.index, size=100)["hits"]["hits"]
        per_run = ("run_seq", "finished_at", "node_id")
        return {
            hit["_id"]: {key: value for key, value in hit["_source"].items() if key not in per_run}
            for hit in hits
        }

    def client(self) -> Any:
        from opensearchpy import OpenSearch

        return OpenSearch(self.endpoint, timeout=60)

    def kill_processes(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)

    def clean_up(self) -> None:
        """Kill the processes that still run and delete the index."""
        self.kill_processes()
        self.client().indices.delete(index=f"{self.index}*", ignore=[404])


def _describe(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} {process.status()} {' '.join(process.cmdline()[:4])}"
    return f"{process.pid} has ended"


def run_python(
    *args: str, cwd: Path, environment: Mapping[str, str], timeout_s: float = TIMEOUT_S
) -> str:
    """Run a Python process that must succeed, and return its stdout.

    Args:
        args: Arguments of the interpreter, such as a script.
        cwd: Folder in which it runs.
        environment: Its environment variables.
        timeout_s: Seconds after which it is killed.
    """
    done = subprocess.run(
        [sys.executable, *args],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_in_process(
    command: str, args: Sequence[str], code: int | tuple[int, ...] | None = 0
) -> str:
    """Run a command inside this process and return its stdout.

    Args:
        command: The command.
        args: Its options.
        code: The exit code that it must have, or a choice of several; None for any.
    """
    from importlib import import_module

    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    cfg = compose_config(command, args, with_hydra=True)
    HydraConfig.instance().set_config(cfg)  # commands ask it which options were given
    with open_dict(cfg):
        del cfg["hydra"]
    stdout = io.StringIO()
    try:
        with contextlib.redirect_stdout(stdout):
            exit_code = import_module(f"raypipe.cli.commands.{command}").main(cfg)
    finally:
        HydraConfig.instance().cfg = None
    codes = (code,) if isinstance(code, int) else code
    assert codes is None or exit_code in codes, stdout.getvalue()
    return stdout.getvalue()


def compose_config(command: str, args: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """Return the config of a command with these options; `with_hydra` adds Hydra's."""
    from hydra import compose, initialize_config_dir

    from raypipe.config.paths import conf_dir
    from raypipe.config.schema import register_schemas

    register_schemas()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose(command, overrides=list(args), return_hydra_config=with_hydra)


def check_balance(record: dict[str, Any]) -> None:
    """Check that listed = skipped + indexed or finished + failed + left."""
    done = record["indexed"] + record["finished"]
    assert record["listed"] == record["skipped"] + done + record["failed"] + record["left"]
