from __future__ import annotations

import _thread
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raypipe.coordination import progress
from raypipe.coordination.local_coordinator import LocalCoordinator, RunEndedError
from raypipe.core.errors import SetupError
from raypipe.core.exit_codes import STOPPED
from raypipe.run.executors.base import ListenForStop
from tests.unit.run.local_jobs import (
    GATES,
    CountingSummarizer,
    Gate,
    GatedSummarizer,
    RefusingSummarizer,
    UnpicklableSummarizer,
    in_thread,
    local_job,
    run_job,
    write_books,
)


@pytest.fixture
def gate(request: pytest.FixtureRequest) -> Iterator[Gate]:
    gate = GATES[request.node.name] = Gate()
    yield gate
    gate.opened.set()
    del GATES[request.node.name]


def stop_by(event: threading.Event) -> ListenForStop:
    @contextmanager
    def listen() -> Iterator[threading.Event]:
        yield event

    return listen


def wait_until_stopping(caplog: pytest.LogCaptureFixture) -> None:
    """Wait until the run has passed a request to stop on to its workers."""
    deadline = time.monotonic() + 30
    while "stopping: asked to stop" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_every_book_is_finished_and_the_next_run_has_nothing_to_do(tmp_path: Path) -> None:
    write_books(tmp_path / "books", 9)
    record = run_job(local_job(tmp_path))
    assert (record.listed, record.finished, record.failed, record.left) == (9, 9, 0, 0)
    assert run_job(local_job(tmp_path)).skipped == 9


def test_a_run_works_in_a_thread_and_leaves_the_signal_handlers_alone(tmp_path: Path) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    write_books(tmp_path / "books", 3)
    assert in_thread(lambda: run_job(local_job(tmp_path)))().finished == 3
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_parts_are_copied_as_into_another_process(tmp_path: Path) -> None:
    write_books(tmp_path / "books", 3)
    summarizer = CountingSummarizer()
    assert run_job(local_job(tmp_path, summarizer)).finished == 3
    assert summarizer.titles == []


def test_a_part_that_ray_could_not_pickle_is_refused(tmp_path: Path) -> None:
    write_books(tmp_path / "books", 1)
    with pytest.raises(SetupError, match="a part cannot be pickled for its worker"):
        run_job(local_job(tmp_path, UnpicklableSummarizer()))


def test_an_error_that_fails_every_book_ends_the_run(tmp_path: Path) -> None:
    write_books(tmp_path / "books", 3)
    with pytest.raises(SetupError, match="there are no credentials"):
        run_job(local_job(tmp_path, RefusingSummarizer()))
    assert run_job(local_job(tmp_path)).finished == 3


def test_a_stop_finishes_the_started_books_and_leaves_the_others(
    tmp_path: Path, gate: Gate, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    write_books(tmp_path / "books", 40)
    job = local_job(tmp_path, GatedSummarizer(gate=request.node.name, word="Book"))
    stop = threading.Event()
    result = in_thread(lambda: run_job(job, stop_by(stop)))
    assert gate.reached.wait(30)
    stop.set()
    wait_until_stopping(caplog)
    gate.opened.set()
    record = result()
    assert record.exit_code == STOPPED
    assert record.finished > 0
    assert record.left > 0
    assert record.finished + record.left == 40
    assert run_job(local_job(tmp_path)).left == 0


def test_a_book_that_hangs_is_left_and_writes_nothing_afterwards(
    tmp_path: Path, gate: Gate, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "STOP_GRACE_S", 0.3)
    write_books(tmp_path / "books", 1)
    job = local_job(tmp_path, GatedSummarizer(gate=request.node.name, word="Book"))
    stop = threading.Event()
    result = in_thread(lambda: run_job(job, stop_by(stop)))
    assert gate.reached.wait(30)
    stop.set()
    assert result().left == 1
    gate.opened.set()
    wait_for_threads()
    assert job.processing.recipe.document not in job.ledger.documents.recipe_names()


def wait_for_threads() -> None:
    deadline = time.monotonic() + 30
    while any(re.match(r"raypipe-\d", thread.name) for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_first_ctrl_c_in_a_notebook_stops_the_run_cleanly(
    tmp_path: Path, gate: Gate, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """A notebook has no handler of raypipe: Python raises `KeyboardInterrupt`."""
    write_books(tmp_path / "books", 40)
    job = local_job(tmp_path, GatedSummarizer(gate=request.node.name, word="Book"))

    def interrupt() -> None:
        assert gate.reached.wait(30)
        _thread.interrupt_main()
        wait_until_stopping(caplog)
        gate.opened.set()

    threading.Thread(target=interrupt).start()
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        record = run_job(job)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert record.exit_code == STOPPED
    assert record.finished + record.left == 40


def test_a_run_that_has_ended_accepts_no_reports() -> None:
    with pytest.raises(RunEndedError):
        LocalCoordinator("no such run").stop_reason()


OTHER_SYSTEM = """
import pathlib, signal, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "ray"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
for name in ("SIGUSR1", "SIGHUP", "pthread_kill", "sigtimedwait", "pthread_sigmask"):
    delattr(signal, name)

def hide(method):
    original = getattr(pathlib.Path, method)
    def wrapper(self, *args, **kwargs):
        if str(self).startswith("/proc"):
            if method == "exists":
                return False
            raise FileNotFoundError(str(self))
        return original(self, *args, **kwargs)
    setattr(pathlib.Path, method, wrapper)

for method in ("exists", "read_text", "open", "readlink"):
    hide(method)

from raypipe.cli.app import run_command_line

code = run_command_line(sys.argv[1:])
assert "raypipe.embedded.guardian" not in sys.modules  # it needs prctl
raise SystemExit(code)
"""


def test_a_run_needs_neither_ray_nor_linux(tmp_path: Path) -> None:
    write_books(tmp_path / "books", 3)
    options = ["executor=local", "storage=local", "storage.path=books", "opensearch=none"]
    parts = ["summarizer=lead", "embedder=hash", "state.uri=state"]
    command = [sys.executable, "-W", "ignore", "-c", OTHER_SYSTEM, "run", *options, *parts]
    environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": ""}
    for expected in ("(finished 3)", "skipped 3"):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
