"""A child process answers, is killed at its deadline, and never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from raypipe.core.child_process import ChildDiedError, ChildError, ChildProcess, DeadlineError

ROOT = Path(__file__).parents[3]
MODULE = "tests.unit.core.child_calls"


@pytest.fixture(name="child")
def _child(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChildProcess]:
    monkeypatch.syspath_prepend(str(ROOT))
    child = ChildProcess(MODULE)
    yield child
    child.close()


def test_returns_values_and_bytes(child: ChildProcess) -> None:
    data = bytes(range(256)) * 10_000
    assert child.call("echo", data, {"value": ["ö\ud800", 1.5]}, 20) == (["ö\ud800", 1.5], data)
    assert child.call("echo", b"", {}, 20) == (None, b"")


def test_one_child_serves_many_calls(child: ChildProcess) -> None:
    pids = {child.call("pid", b"", {}, 20)[0] for _ in range(3)}
    assert pids == {child.pid}
    assert child.pid != os.getpid()


def test_a_call_that_holds_the_gil_is_killed_at_the_deadline(child: ChildProcess) -> None:
    first = child.call("pid", b"", {}, 20)[0]
    started = time.monotonic()
    with pytest.raises(DeadlineError):
        child.call("hang_in_c", b"", {}, 0.3)
    assert time.monotonic() - started < 5
    assert has_ended(first)
    assert child.call("echo", b"next", {}, 20) == (None, b"next")


def test_63_of_64_threads_get_their_answers_when_one_call_hangs(child: ChildProcess) -> None:
    answers: dict[int, object] = {}

    def call(number: int) -> None:
        try:
            if number == 7:
                child.call("hang_in_c", b"", {}, 0.3)
            answers[number] = child.call("echo", b"", {"value": number}, 20)[0]
        except DeadlineError:
            answers[number] = "too slow"

    threads = [threading.Thread(target=call, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == {number: "too slow" if number == 7 else number for number in range(64)}


def test_an_exception_has_the_traceback_of_the_child(child: ChildProcess) -> None:
    with pytest.raises(ChildError, match=r"in fail\n.*\n*ValueError: a mistake in the child"):
        child.call("fail", b"", {}, 20)
    assert child.call("echo", b"", {}, 20) == (None, b"")


def test_a_child_that_dies_twice_is_an_error(child: ChildProcess) -> None:
    with pytest.raises(ChildDiedError, match="out of memory"):
        child.call("die", b"", {}, 20)
    assert child.call("echo", b"", {}, 20) == (None, b"")


def test_a_child_that_died_while_idle_is_replaced(child: ChildProcess) -> None:
    pid = child.call("pid", b"", {}, 20)[0]
    os.kill(pid, signal.SIGKILL)
    assert child.call("echo", b"1", {}, 20) == (None, b"1")


def test_a_module_that_cannot_be_imported_is_an_error() -> None:
    with pytest.raises(ChildDiedError, match="did not start"):
        ChildProcess("no.such.module").call("echo", b"", {}, 20)


def test_ctrl_c_is_left_to_the_parent(child: ChildProcess) -> None:
    pid = child.call("pid", b"", {}, 20)[0]
    os.kill(pid, signal.SIGINT)
    assert child.call("pid", b"", {}, 20)[0] == pid


def test_a_fork_has_a_child_of_its_own(child: ChildProcess) -> None:
    first = child.call("pid", b"", {}, 20)[0]
    forked = os.fork()
    if not forked:
        own = child.call("pid", b"", {}, 20)[0]
        child.close()
        os._exit(0 if own != first else 1)
    assert os.waitpid(forked, 0)[1] == 0
    assert child.call("pid", b"", {}, 20)[0] == first


@pytest.mark.parametrize("call", ["hang_in_c", "pid"])
def test_a_killed_parent_leaves_no_child(tmp_path: Path, call: str) -> None:
    pid_file = tmp_path / "pid"
    script = (
        "import sys, pathlib\n"
        "from raypipe.core.child_process import ChildProcess\n"
        f"child = ChildProcess({MODULE!r})\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(child.call('pid', b'', {{}}, 20)[0]))\n"
        f"child.call({call!r}, b'', {{}}, 600)\n"
        "print('done', flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        wait_for(lambda: pid_file.exists() and pid_file.read_text().isdigit())
        time.sleep(0.2)  # the call has begun
    finally:
        parent.kill()
        parent.communicate()
    wait_for(lambda: has_ended(int(pid_file.read_text())))


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 10 s"
        time.sleep(0.02)
