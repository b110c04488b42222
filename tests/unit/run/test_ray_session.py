"""Starting Ray, where errors are one line, and ending it with all its processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray

from raypipe.core.errors import SetupError
from raypipe.core.options import RayOptions
from raypipe.run.executors import ray_session as ray_session_module
from raypipe.run.executors.ray_session import ray_session


@pytest.mark.parametrize(
    ("raised", "expected", "reason"),
    [
        (Exception("The node timed out.\nMore."), SetupError, "The node timed out."),
        (RuntimeError("no room"), SetupError, "no room"),
        (ValueError(), SetupError, "ValueError"),
        (KeyError("a bug in raypipe"), KeyError, ""),
        (
            Exception("The last 20 lines of /tmp/x/dashboard.log: \n2026 INFO\nNo module x\n"),
            SetupError,
            "No module x (ray.temp_dir=FOLDER keeps Ray's logs)",
        ),
    ],
)
def test_a_ray_that_does_not_start_is_one_line(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception], reason: str
) -> None:
    def init(**_: Any) -> None:
        raise raised

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(expected) as caught, ray_session(RayOptions()):
        pass
    if expected is SetupError:
        assert str(caught.value) == f"Ray at ray.address=local did not start: {reason}"


RAYLET = """
import subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(worker.pid, flush=True)
worker.wait()
"""


def test_a_worker_that_hangs_does_not_outlive_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's node process ends without one of its workers."""
    (tmp_path / "raylet").symlink_to(Path(sys.executable).resolve())
    node = subprocess.Popen(
        [str(tmp_path / "raylet"), "-c", RAYLET], stdout=subprocess.PIPE, text=True
    )
    assert node.stdout is not None
    worker = psutil.Process(int(node.stdout.readline()))

    def shutdown() -> None:
        node.kill()
        node.wait()

    monkeypatch.setattr(ray, "init", lambda **_: SimpleNamespace(dashboard_url=None))
    monkeypatch.setattr(ray, "shutdown", shutdown)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray_session_module, "available_cpus", lambda options: 2.0)
    with ray_session(RayOptions()):
        assert worker.is_running()
    worker.wait(30)
    node.stdout.close()


def test_the_last_run_of_a_process_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that starts Ray lives as long as the session: Linux kills Ray with the thread."""
    starters: list[threading.Thread] = []

    def init(**_: Any) -> SimpleNamespace:
        starters.append(threading.current_thread())
        return SimpleNamespace(dashboard_url=None)

    def shutdown() -> None:
        assert starters.pop().is_alive()

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", shutdown)
    monkeypatch.setattr(ray, "is_initialized", lambda: bool(starters))
    monkeypatch.setattr(ray_session_module, "available_cpus", lambda options: 2.0)
    both_run, first_ended = threading.Barrier(2), threading.Event()
    is_shared: list[bool] = []

    def run(ends_first: bool) -> None:
        with ray_session(RayOptions()) as session:
            is_shared.append(session.is_shared)
            both_run.wait(30)
            if not ends_first:
                assert first_ended.wait(30)
                assert starters, "the session stays for this run"
        first_ended.set()

    threads = [threading.Thread(target=run, args=[first]) for first in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(is_shared) == [False, True]
    assert not starters
