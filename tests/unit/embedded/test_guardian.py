"""Guardians start and stop a small child process. Real processes, real locks."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from raypipe.embedded import EmbeddedError, guardian, locks, services, supervise
from raypipe.embedded.services import Services

SERVER = """
import http.server, pathlib, sys
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
pathlib.Path(sys.argv[1]).write_text(f"http://127.0.0.1:{server.server_port}")
server.serve_forever()
"""


@dataclass
class FakeService:
    """An `EmbeddedService` with a minimal HTTP server as its process."""

    data: Path
    name: str = "fake"
    version: str = "1"
    startup_timeout_s: float = 10.0
    code: str = SERVER
    starts: list[int] = field(default_factory=list)

    def prepare_command(self) -> list[str]:
        self.starts.append(1)
        (self.data / "fake.url").unlink(missing_ok=True)
        return [sys.executable, "-I", "-S", "-c", self.code, str(self.data / "fake.url")]

    def find_url(self) -> str | None:
        path = self.data / "fake.url"
        return path.read_text() or None if path.exists() else None

    def is_ready(self, url: str) -> bool:
        return True

    def explain_failure(self, log_text: str) -> str | None:
        return "the disk is broken." if "disk" in log_text else None


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(services, "NAMES", ("fake",))
    folder = tmp_path / "data"
    folder.mkdir()
    yield folder
    services.stop_services(folder)
    # A guardian that ends by itself deletes its state a moment before its lock is free.
    assert locks.wait_for(lambda: supervise.is_stopped(folder, "fake"), 60)


def use_services(data: Path) -> Services:
    user = Services(data)
    user._register_user()
    return user


def read_running(data: Path) -> supervise.RunningService:
    running = supervise.read_running(data, "fake")
    assert running is not None
    return running


def has_ended(pid: int, seconds: float = 60.0) -> bool:
    return locks.wait_for(lambda: guardian.start_time(pid) is None, seconds)


def start_other_user(data: Path) -> subprocess.Popen[bytes]:
    """Another process that uses the data folder, until it is killed."""
    code = textwrap.dedent(f"""
        import pathlib, sys, time
        sys.path.insert(0, {str(Path(guardian.__file__).parents[2])!r})
        from raypipe.embedded.services import Services
        user = Services(pathlib.Path({str(data)!r}))
        user._register_user()
        print("using", flush=True)
        time.sleep(300)
    """)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"using\n"
    return process


def test_closing_waits_until_the_service_has_stopped(data: Path) -> None:
    with use_services(data):
        url = supervise.ensure_running(data, FakeService(data))
        assert url.startswith("http://127.0.0.1:")
        child = read_running(data).child_pid
        assert guardian.start_time(child)
    assert guardian.start_time(child) is None
    assert not guardian.state_path(data, "fake").exists()


def test_guardian_and_child_run_in_separate_sessions(data: Path) -> None:
    with use_services(data):
        supervise.ensure_running(data, FakeService(data))
        state = read_running(data)
        sessions = {os.getsid(0), os.getsid(state.pid), os.getsid(state.child_pid)}
        assert len(sessions) == 3


def test_a_second_user_shares_the_service(data: Path) -> None:
    service = FakeService(data)
    with use_services(data):
        with use_services(data):
            url = supervise.ensure_running(data, service)
            child = read_running(data).child_pid
        time.sleep(3 * guardian.POLL_S)
        assert supervise.ensure_running(data, service) == url
        assert read_running(data).child_pid == child
    assert service.starts == [1]
    assert has_ended(child)


def test_service_stops_after_kill_9_of_its_last_user(data: Path) -> None:
    user = start_other_user(data)
    with use_services(data):
        supervise.ensure_running(data, FakeService(data))
        child = read_running(data).child_pid
    assert guardian.start_time(child), "the other process still uses the service"
    user.kill()
    user.wait()
    assert user.stdout is not None
    user.stdout.close()
    assert has_ended(child)
    assert locks.wait_for(lambda: supervise.is_stopped(data, "fake"), 60)


def test_service_stops_after_kill_9_of_its_guardian(data: Path) -> None:
    with use_services(data):
        supervise.ensure_running(data, FakeService(data))
        state = read_running(data)
        os.kill(state.pid, signal.SIGKILL)
        assert has_ended(state.child_pid)
        assert supervise.read_running(data, "fake") is None
        assert supervise.ensure_running(data, FakeService(data))
        assert read_running(data).pid != state.pid


def test_a_service_that_ignores_sigterm_is_killed(
    data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = Path(guardian.__file__).read_text()
    hasty = source.replace("STOP_TIMEOUT_S = 10.0", "STOP_TIMEOUT_S = 0.5")
    assert hasty != source
    (tmp_path / "guardian.py").write_text(hasty)
    monkeypatch.setattr(guardian, "__file__", str(tmp_path / "guardian.py"))
    ignores_sigterm = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER
    with use_services(data):
        supervise.ensure_running(data, FakeService(data, code=ignores_sigterm))
        child = read_running(data).child_pid
    assert guardian.start_time(child) is None


def test_a_kept_service_runs_until_stop_services(data: Path) -> None:
    with use_services(data):
        supervise.ensure_running(data, FakeService(data))
        (data / guardian.KEEP).touch()
        child = read_running(data).child_pid
    time.sleep(3 * guardian.POLL_S)
    assert guardian.start_time(child)
    [status] = services.list_running(data)
    assert (status.name, status.is_kept, status.pid) == ("fake", True, child)
    assert services.stop_services(data) == ["fake"]
    assert guardian.start_time(child) is None
    assert services.stop_services(data) == []
    assert services.list_running(data) == []


def test_a_kept_service_stops_when_the_keep_file_is_deleted(data: Path) -> None:
    with use_services(data):
        supervise.ensure_running(data, FakeService(data))
        (data / guardian.KEEP).touch()
        child = read_running(data).child_pid
    (data / guardian.KEEP).unlink()
    assert has_ended(child)


def test_a_process_with_a_reused_pid_is_not_killed(data: Path) -> None:
    unrelated = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        start = guardian.start_time(unrelated.pid)
        assert start
        state = {
            "service": "fake",
            "version": "1",
            "pid": unrelated.pid,
            "start_time": start - 1,
            "child_pid": unrelated.pid,
            "child_start_time": start - 1,
            "started_at": 0.0,
        }
        guardian.state_path(data, "fake").write_text(json.dumps(state))
        assert services.stop_services(data) == []
        assert unrelated.poll() is None
        with use_services(data):
            supervise.ensure_running(data, FakeService(data))
            assert read_running(data).pid != unrelated.pid
        assert unrelated.poll() is None
    finally:
        unrelated.kill()
        unrelated.wait()


def test_error_of_a_failed_start_shows_the_end_of_the_log(data: Path) -> None:
    failing = FakeService(
        data, code="import time; time.sleep(.2); raise SystemExit('no such file')"
    )
    with (
        use_services(data),
        pytest.raises(EmbeddedError, match=r"^fake ended.*: no such file\. See .*fake\.log\.$"),
    ):
        supervise.ensure_running(data, failing)
    assert not guardian.state_path(data, "fake").exists()


def test_error_of_a_failed_start_explains_a_known_failure(data: Path) -> None:
    with use_services(data), pytest.raises(EmbeddedError, match="the disk is broken"):
        supervise.ensure_running(data, FakeService(data, code="raise SystemExit('disk')"))


def test_start_fails_when_the_service_does_not_answer(data: Path) -> None:
    slow = FakeService(data, code="import time; time.sleep(60)", startup_timeout_s=0.5)
    with use_services(data), pytest.raises(EmbeddedError, match="did not answer within"):
        supervise.ensure_running(data, slow)


def test_start_fails_when_the_program_does_not_exist(data: Path) -> None:
    class MissingProgram(FakeService):
        def prepare_command(self) -> list[str]:
            return ["/no/such/program"]

    with use_services(data), pytest.raises(EmbeddedError, match="cannot be started"):
        supervise.ensure_running(data, MissingProgram(data))


def test_start_fails_when_another_version_runs(data: Path) -> None:
    with use_services(data):
        supervise.ensure_running(data, FakeService(data))
        with pytest.raises(EmbeddedError, match="raypipe down"):
            supervise.ensure_running(data, FakeService(data, version="2"))


def test_a_new_user_waits_for_a_shutdown(data: Path) -> None:
    fd = guardian.open_lock(data / guardian.USERS_LOCK)
    assert guardian.try_lock(fd, fcntl.LOCK_EX)
    code = f"import time; time.sleep(1); {fd}"
    started = time.monotonic()
    holder = subprocess.Popen([sys.executable, "-c", code], pass_fds=[fd])
    os.close(fd)
    with use_services(data):
        assert time.monotonic() - started > 1
    holder.wait()


def test_closed_services_start_nothing(data: Path) -> None:
    user = use_services(data)
    user.close()
    with pytest.raises(EmbeddedError, match="already closed"):
        user.start_opensearch()


def test_only_the_owner_can_read_what_a_service_writes(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    (folder / "state").mkdir(parents=True)  # as a raypipe made it that left folders open
    (folder / guardian.USERS_LOCK).touch(0o644)
    writes = f"open({str(folder / 'fake.out')!r}, 'w').close()\n"
    with use_services(folder):
        supervise.ensure_running(folder, FakeService(folder, code=writes + SERVER))
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in (folder, *folder.rglob("*"))
            if path.name != "state"
        }
    assert {"data", "logs", "fake.json", "fake.log", "fake.out", "users.lock"} <= set(modes)
    assert set(modes.values()) == {0o600, 0o700}, modes


def test_a_folder_with_files_of_others_stays_open(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "letters.txt").touch()
    use_services(tmp_path).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
