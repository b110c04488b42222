"""A late Ray is started once more, and leaves this process's signal handler alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest
import ray

from raypipe.run.executors.ray_init import init_ray


class FakeRay:
    """Fails some starts, and leaves a process of each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failures: list[Exception]) -> None:
        self.failures, self.left = failures, list[subprocess.Popen[bytes]]()
        monkeypatch.setattr(ray, "init", self.init)
        monkeypatch.setattr(ray, "shutdown", lambda: None)

    def init(self, **arguments: Any) -> object:
        ray._private.utils.set_sigterm_handler(lambda *_: sys.exit(15))
        if self.failures:
            sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
            self.left.append(subprocess.Popen(sleep))
            raise self.failures.pop(0)
        return arguments


LATE = Exception("The current node timed out during startup.")


def test_a_late_start_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(monkeypatch, [LATE])
    assert init_ray(2, num_cpus=2) == {"num_cpus": 2}
    assert [process.wait(10) for process in fake.left] == [-signal.SIGKILL]


def test_two_late_starts_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(monkeypatch, [LATE, TimeoutError("late again"), LATE])
    with pytest.raises(TimeoutError, match="late again"):
        init_ray(2)
    assert [process.wait(10) for process in fake.left] == [-signal.SIGKILL] * 2


def test_a_wrong_argument_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(monkeypatch, [ValueError("no such argument"), LATE])
    with pytest.raises(ValueError, match="no such argument"):
        init_ray(2)
    assert [process.wait(10) for process in fake.left] == [-signal.SIGKILL]


def test_the_handler_of_sigterm_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeRay(monkeypatch, [])
    before, install = signal.getsignal(signal.SIGTERM), ray._private.utils.set_sigterm_handler
    init_ray()
    assert signal.getsignal(signal.SIGTERM) is before
    assert ray._private.utils.set_sigterm_handler is install
