"""Start a service through its guardian, share a running service, and stop it."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from raypipe.core.json_record import make_record, read_object
from raypipe.embedded import EmbeddedError, guardian, locks
from raypipe.embedded.java import java_environment
from raypipe.embedded.service import EmbeddedService

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 25.0
KILL_TIMEOUT_S = 5.0
LAUNCH_TIMEOUT_S = 45.0


@dataclass(frozen=True)
class RunningService:
    """A running service, as described by its guardian.

    Args:
        service: Name of the service.
        version: Version that was started.
        pid: Process id of the guardian.
        start_time: Start of the guardian, in clock ticks since boot.
        child_pid: Process id of the service.
        child_start_time: Start of the service, in clock ticks since boot.
        started_at: Start of the service, in seconds since the epoch.
        url: URL of the service; None until it has answered.
    """

    service: str
    version: str
    pid: int
    start_time: int
    child_pid: int
    child_start_time: int
    started_at: float
    url: str | None = None

    @property
    def is_alive(self) -> bool:
        """Whether this guardian is alive; False if another process has got its pid."""
        return guardian.start_time(self.pid) == self.start_time


def read_running(data: Path, service: str) -> RunningService | None:
    """Return the description of a service; None if there is none or its guardian has ended."""
    try:
        value = read_object(guardian.state_path(data, service).read_bytes())
        value.pop("command", None)
        running = make_record(RunningService, value)
    except (OSError, ValueError):
        return None
    return running if running.is_alive else None


def log_path(data: Path, service: str) -> Path:
    """Return the file with the service's output."""
    return data / "logs" / f"{service}.log"


def ensure_running(data: Path, service: EmbeddedService) -> str:
    """Return the URL of a service; start it if it does not run.

    The caller must hold the users lock, otherwise the guardian ends at once.

    Raises:
        EmbeddedError: The service does not start or does not answer, or another version runs.
    """
    with locks.start_lock(data, service.name):
        running = read_running(data, service.name)
        if running and running.version != service.version:
            raise EmbeddedError(
                f"{service.name} {running.version} is running in {data}, but this raypipe uses "
                f"{service.version}. Stop the running version first: `raypipe down`."
            )
        started = time.monotonic()
        if running is None:
            launch(data, service.name, service.version, service.prepare_command())
        url = _wait_until_ready(data, service)
        log.debug("%s answers at %s after %.1f s", service.name, url, time.monotonic() - started)
        _save_url(data, service.name, url)
        return url


def launch(data: Path, name: str, version: str, command: list[str]) -> None:
    """Start a guardian with a service; return once the service is guarded.

    Raises:
        EmbeddedError: The guardian could not start the command.
    """
    result = subprocess.run(
        [
            *(sys.executable, "-I", "-S", guardian.__file__),
            *("--data", str(data), "--service", name, "--version", version),
            *("--", *command),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LAUNCH_TIMEOUT_S,
        env=java_environment(),
        # In a separate session Ctrl-C reaches only this process.
        start_new_session=True,
        check=False,
    )
    if result.returncode:
        raise EmbeddedError(f"{name} cannot be started: {result.stderr.strip()}")


def _wait_until_ready(data: Path, service: EmbeddedService) -> str:
    """Return the service's URL once it answers."""
    deadline = time.monotonic() + service.startup_timeout_s
    while time.monotonic() < deadline:
        running = read_running(data, service.name)
        if running is None:
            raise _startup_error(data, service, "ended during startup")
        url = running.url or service.find_url()
        if url and service.is_ready(url):
            return url
        time.sleep(0.1)
    timeout = f"did not answer within {service.startup_timeout_s:.0f} s"
    raise _startup_error(data, service, timeout)


def _startup_error(data: Path, service: EmbeddedService, problem: str) -> EmbeddedError:
    path = log_path(data, service.name)
    text = path.read_text(errors="replace") if path.exists() else ""
    reason = service.explain_failure(text)
    if reason:
        return EmbeddedError(f"{service.name} {problem}: {reason} See its log: {path}.")
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    return EmbeddedError(f"{service.name} {problem}: {last or 'no output'}. See its log: {path}.")


def _save_url(data: Path, service: str, url: str) -> None:
    """Add the URL to the guardian's description, for later users."""
    path = guardian.state_path(data, service)
    with suppress(OSError, ValueError):
        value = read_object(path.read_bytes())
        if value.get("url") != url:
            guardian.write_json(path, {**value, "url": url})


def is_stopped(data: Path, service: str) -> bool:
    """Whether the guardian of this service and its child have ended: its lock is free."""
    path = guardian.service_lock_path(data, service)
    if not path.exists():
        return True
    fd = guardian.open_lock(path)
    try:
        return guardian.try_lock(fd, fcntl.LOCK_EX)
    finally:
        os.close(fd)


def stop(data: Path, service: str) -> bool:
    """Stop a service even if it has users; return False if it was not running.

    Raises:
        EmbeddedError: The service is still running after SIGKILL.
    """
    running = read_running(data, service)
    if running is None:
        return False
    os.kill(running.pid, signal.SIGTERM)
    if not locks.wait_for(lambda: is_stopped(data, service), STOP_TIMEOUT_S) and running.is_alive:
        os.kill(running.pid, signal.SIGKILL)  # the kernel kills the child too
    if not locks.wait_for(lambda: is_stopped(data, service), KILL_TIMEOUT_S):
        raise EmbeddedError(
            f"{service} in {data} does not stop. End its process {running.pid} by hand."
        )
    return True
