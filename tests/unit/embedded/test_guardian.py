"""The guardian with a tiny child: who ends what, and when. Real processes, real locks."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from raypipe.embedded import EmbeddedError, guardian, services, supervise
from raypipe.embedded.services import Services

SERVER = """
import http.server, pathlib, sys
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
pathlib.Path(sys.argv[1]).write_text(f"http://127.0.0.1:{server.server_port}")
server.serve_forever()
"""


@dataclass
class Toy:
    """A service that is a child process and nothing more."""

    data: Path
    name: str = "toy"
    version: str = "1"
    startup_s: float = 10.0
    code: str = SERVER
    starts: list[int] = field(default_factory=list)

    def command(self) -> list[str]:
        self.starts.append(1)
        (self.data / "toy.url").unlink(missing_ok=True)
        return [sys.executable, "-I", "-S", "-c", self.code, str(self.data / "toy.url")]

    def url(self) -> str | None:
        path = self.data / "toy.url"
        return path.read_text() or None if path.exists() else None

    def ready(self, url: str) -> bool:
        return True

    def explain(self, log_text: str) -> str | None:
        return "the dog ate it." if "dog" in log_text else None


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(services, "NAMES", ("toy",))
    folder = tmp_path / "data"
    folder.mkdir()
    yield folder
    services.down(folder)
    assert supervise.is_stopped(folder, "toy")


def use(data: Path) -> Services:
    user = Services(data)
    user._use()
    return user


def running(data: Path) -> supervise.Running:
    found = supervise.read_running(data, "toy")
    assert found is not None
    return found


def gone(pid: int, seconds: float = 60.0) -> bool:
    return supervise.wait_for(lambda: guardian.start_time(pid) is None, seconds)


def other_user(data: Path) -> subprocess.Popen[bytes]:
    """Another process that uses the data folder, until it is killed."""
    code = textwrap.dedent(f"""
        import pathlib, sys, time
        sys.path.insert(0, {str(Path(guardian.__file__).parents[2])!r})
        from raypipe.embedded.services import Services
        user = Services(pathlib.Path({str(data)!r}))
        user._use()
        print("using", flush=True)
        time.sleep(300)
    """)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"using\n"
    return process


def test_leaving_waits_until_the_service_is_gone(data: Path) -> None:
    with use(data):
        url = supervise.ensure(data, Toy(data))
        assert url.startswith("http://127.0.0.1:")
        child = running(data).child_pid
        assert guardian.start_time(child)
    assert guardian.start_time(child) is None
    assert not guardian.state_path(data, "toy").exists()


def test_guardian_and_child_have_sessions_of_their_own(data: Path) -> None:
    with use(data):
        supervise.ensure(data, Toy(data))
        state = running(data)
        sessions = {os.getsid(0), os.getsid(state.pid), os.getsid(state.child_pid)}
        assert len(sessions) == 3


def test_a_second_user_shares_the_service(data: Path) -> None:
    toy = Toy(data)
    with use(data):
        with use(data):
            url = supervise.ensure(data, toy)
            child = running(data).child_pid
        time.sleep(3 * guardian.POLL_S)
        assert supervise.ensure(data, toy) == url
        assert running(data).child_pid == child
    assert toy.starts == [1]
    assert gone(child)


def test_kill_9_of_the_last_user_ends_the_service(data: Path) -> None:
    user = other_user(data)
    with use(data):
        supervise.ensure(data, Toy(data))
        child = running(data).child_pid
    assert guardian.start_time(child), "the other process still uses it"
    user.kill()
    user.wait()
    assert user.stdout is not None
    user.stdout.close()
    assert gone(child)
    assert supervise.wait_for(lambda: supervise.is_stopped(data, "toy"), 60)


def test_kill_9_of_the_guardian_ends_the_child(data: Path) -> None:
    with use(data):
        supervise.ensure(data, Toy(data))
        state = running(data)
        os.kill(state.pid, signal.SIGKILL)
        assert gone(state.child_pid)
        assert supervise.read_running(data, "toy") is None
        assert supervise.ensure(data, Toy(data))
        assert running(data).pid != state.pid


def test_a_child_that_does_not_listen_is_killed(
    data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    impatient = tmp_path / "guardian.py"
    impatient.write_text(
        Path(guardian.__file__).read_text().replace("STOP_S = 10.0", "STOP_S = 0.5")
    )
    monkeypatch.setattr(guardian, "__file__", str(impatient))
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER
    with use(data):
        supervise.ensure(data, Toy(data, code=deaf))
        child = running(data).child_pid
    assert guardian.start_time(child) is None


def test_with_the_marker_it_stays_until_down(data: Path) -> None:
    with use(data):
        supervise.ensure(data, Toy(data))
        (data / guardian.KEEP).touch()
        child = running(data).child_pid
    time.sleep(3 * guardian.POLL_S)
    assert guardian.start_time(child)
    [status] = services.status(data)
    assert (status.name, status.kept, status.pid) == ("toy", True, child)
    assert services.down(data) == ["toy"]
    assert guardian.start_time(child) is None
    assert services.down(data) == []
    assert services.status(data) == []


def test_without_the_marker_again_it_ends_by_itself(data: Path) -> None:
    with use(data):
        supervise.ensure(data, Toy(data))
        (data / guardian.KEEP).touch()
        child = running(data).child_pid
    (data / guardian.KEEP).unlink()
    assert gone(child)


def test_a_recycled_pid_is_never_killed(data: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        start = guardian.start_time(stranger.pid)
        assert start
        state = {
            "service": "toy",
            "version": "1",
            "pid": stranger.pid,
            "start_time": start - 1,
            "child_pid": stranger.pid,
            "child_start_time": start - 1,
            "started_at": 0.0,
        }
        guardian.state_path(data, "toy").write_text(json.dumps(state))
        assert services.down(data) == []
        assert stranger.poll() is None
        with use(data):
            supervise.ensure(data, Toy(data))
            assert running(data).pid != stranger.pid
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_child_that_ends_is_told_with_its_last_lines(data: Path) -> None:
    unlucky = Toy(data, code="import time; time.sleep(.2); raise SystemExit('no such luck')")
    with use(data), pytest.raises(EmbeddedError, match=r"(?s)toy ended.*toy\.log.*no such luck"):
        supervise.ensure(data, unlucky)
    assert not guardian.state_path(data, "toy").exists()


def test_a_known_failure_is_explained(data: Path) -> None:
    with use(data), pytest.raises(EmbeddedError, match="the dog ate it"):
        supervise.ensure(data, Toy(data, code="raise SystemExit('dog')"))


def test_a_child_that_never_answers_is_given_up(data: Path) -> None:
    slow = Toy(data, code="import time; time.sleep(60)", startup_s=0.5)
    with use(data), pytest.raises(EmbeddedError, match="did not answer within"):
        supervise.ensure(data, slow)


def test_a_command_that_is_not_there_is_an_error(data: Path) -> None:
    class Absent(Toy):
        def command(self) -> list[str]:
            return ["/no/such/program"]

    with use(data), pytest.raises(EmbeddedError, match="can't be started"):
        supervise.ensure(data, Absent(data))


def test_another_version_that_runs_is_refused(data: Path) -> None:
    with use(data):
        supervise.ensure(data, Toy(data))
        with pytest.raises(EmbeddedError, match="raypipe down"):
            supervise.ensure(data, Toy(data, version="2"))


def test_a_newcomer_waits_for_a_guardian_that_is_shutting_down(data: Path) -> None:
    fd = guardian.open_lock(data / guardian.USERS_LOCK)
    assert guardian.try_lock(fd, fcntl.LOCK_EX)
    code = f"import time; time.sleep(1); {fd}"
    started = time.monotonic()
    holder = subprocess.Popen([sys.executable, "-c", code], pass_fds=[fd])
    os.close(fd)
    with use(data):
        assert time.monotonic() - started > 1
    holder.wait()


def test_nothing_starts_after_the_use_was_given_up(data: Path) -> None:
    user = use(data)
    user.close()
    with pytest.raises(EmbeddedError, match="given up"):
        user.opensearch()


def test_only_one_process_at_a_time_chooses_a_port() -> None:
    inside, order = threading.Event(), []

    def second() -> None:
        inside.wait(60)
        with supervise.one_at_a_time("a-test"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with supervise.one_at_a_time("a-test"):
        inside.set()
        time.sleep(0.3)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]
