"""Starting a service through its guardian, sharing one that runs, and stopping it."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from raypipe.embedded import EmbeddedError, guardian
from raypipe.embedded.java import java_environment

log = logging.getLogger(__name__)

LOCK_S = 60.0
"""A service that shuts down lets go within 10 s; two of them one after the other within 25."""
DOWN_S = 25.0
LAUNCH_S = 45.0
_TAIL_LINES = 12


class Service(Protocol):
    """What a service says about itself; the supervisor knows no more of it."""

    @property
    def name(self) -> str:
        """A short word: names the log, the state file and the lock."""

    @property
    def version(self) -> str:
        """The version that would be started."""

    @property
    def startup_s(self) -> float:
        """How long it may take until it answers."""

    def command(self) -> list[str]:
        """Make ready what the program needs (downloads, folders) and return its command line."""

    def url(self) -> str | None:
        """Where it listens, once it has said so."""

    def ready(self, url: str) -> bool:
        """Whether it answers and can work."""

    def explain(self, log_text: str) -> str | None:
        """What a known failure in its log means for a person, or None."""


@dataclass(frozen=True)
class Running:
    """A service that runs now, as its guardian described it."""

    service: str
    version: str
    pid: int
    start_time: int
    child_pid: int
    child_start_time: int
    started_at: float
    url: str | None = None

    @property
    def alive(self) -> bool:
        """Whether this very guardian lives, not another process that got its pid."""
        return guardian.start_time(self.pid) == self.start_time


def read_running(data: Path, service: str) -> Running | None:
    """The service's description if its guardian lives; a dead one's is not believed."""
    try:
        value: dict[str, Any] = json.loads(guardian.state_path(data, service).read_text())
        value.pop("command", None)
        running = Running(**value)
    except (OSError, ValueError, TypeError):
        return None
    return running if running.alive else None


def log_path(data: Path, service: str) -> Path:
    """Where the service's output goes."""
    return data / "logs" / f"{service}.log"


def wait_for(condition: Callable[[], bool], seconds: float, step: float = 0.05) -> bool:
    """Ask until the answer is yes; False when the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True


@contextmanager
def locked(path: Path, operation: int, why: str) -> Iterator[int]:
    """Hold a flock; wait for it no longer than a shutdown can take."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = guardian.open_lock(path)
    try:
        if not wait_for(lambda: guardian.try_lock(fd, operation), LOCK_S):
            raise EmbeddedError(f"{why} for {LOCK_S:.0f} s ({path}). Stop it: `raypipe down`.")
        yield fd
    finally:
        os.close(fd)


def start_lock(data: Path, service: str) -> Any:
    """Held while a service is looked for, started or stopped: one command at a time does that.

    One for each service, so that the two of them can start side by side.
    """
    return locked(
        data / f"{service}.start.lock",
        fcntl.LOCK_EX,
        f"another raypipe command has been starting or stopping {service}",
    )


@contextmanager
def one_at_a_time(service: str) -> Iterator[None]:
    """Let one process of this machine start a service, from choosing its port to its listening.

    Two nodes that start at the same moment would choose the same free port, and one would end.
    The lock is an abstract socket: it leaves no file and goes with its process. Nobody waits for
    ever: after `LOCK_S` the ports are worth a try.
    """

    def held(lock: socket.socket) -> bool:
        try:
            lock.bind(f"\0raypipe-starts-{service}")
        except OSError:
            return False
        return True

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        wait_for(lambda: held(lock), LOCK_S)
        yield


def ensure(data: Path, service: Service) -> str:
    """The URL of the service: one that runs is shared, else it is started.

    The caller must hold the users lock, or the guardian would end at once.

    Raises:
        EmbeddedError: It doesn't start, or one that runs doesn't answer.
    """
    with start_lock(data, service.name):
        running = read_running(data, service.name)
        if running and running.version != service.version:
            raise EmbeddedError(
                f"{service.name} {running.version} runs in {data}, this raypipe brings "
                f"{service.version}. Stop the one that runs first: `raypipe down`."
            )
        started = time.monotonic()
        if running is None:
            with one_at_a_time(service.name):
                launch(data, service.name, service.version, service.command())
                url = _wait_ready(data, service)
        else:
            url = _wait_ready(data, service)
        log.debug("%s answers at %s after %.1f s", service.name, url, time.monotonic() - started)
        _note_url(data, service.name, url)
        return url


def launch(data: Path, name: str, version: str, command: list[str]) -> None:
    """Start a guardian with its service; returns when it guards.

    Raises:
        EmbeddedError: The guardian could not start the command.
    """
    answer = subprocess.run(
        [
            *(sys.executable, "-I", "-S", guardian.__file__),
            *("--data", str(data), "--service", name, "--version", version),
            *("--", *command),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LAUNCH_S,
        env=java_environment(),
        # Ctrl-C while it starts is this process's business.
        start_new_session=True,
        check=False,
    )
    if answer.returncode:
        raise EmbeddedError(f"{name} can't be started: {answer.stderr.strip()}")


def _wait_ready(data: Path, service: Service) -> str:
    deadline = time.monotonic() + service.startup_s
    while time.monotonic() < deadline:
        running = read_running(data, service.name)
        if running is None:
            raise _failure(data, service, "ended while it started")
        url = running.url or service.url()
        if url and service.ready(url):
            return url
        time.sleep(0.1)
    raise _failure(data, service, f"did not answer within {service.startup_s:.0f} s")


def _failure(data: Path, service: Service, what: str) -> EmbeddedError:
    path = log_path(data, service.name)
    text = path.read_text(errors="replace") if path.exists() else ""
    known = service.explain(text)
    if known:
        return EmbeddedError(f"{service.name} {what}: {known} Its log is {path}.")
    tail = "\n  ".join(text.splitlines()[-_TAIL_LINES:])
    return EmbeddedError(f"{service.name} {what}. The last lines of {path}:\n  {tail}")


def _note_url(data: Path, service: str, url: str) -> None:
    """Add the URL to the guardian's description, for those who come later."""
    path = guardian.state_path(data, service)
    with suppress(OSError, ValueError):
        value = json.loads(path.read_text())
        if value.get("url") != url:
            guardian.write_json(path, {**value, "url": url})


def is_stopped(data: Path, service: str) -> bool:
    """Whether no guardian of this service holds its lock: it and its child are gone."""
    path = guardian.service_lock_path(data, service)
    if not path.exists():
        return True
    fd = guardian.open_lock(path)
    try:
        return guardian.try_lock(fd, fcntl.LOCK_EX)
    finally:
        os.close(fd)


def stop(data: Path, service: str) -> bool:
    """Stop a service, whoever uses it; True if there was one.

    Raises:
        EmbeddedError: It is still there after all that can be done.
    """
    running = read_running(data, service)
    if running is None:
        return False
    os.kill(running.pid, signal.SIGTERM)
    if not wait_for(lambda: is_stopped(data, service), DOWN_S) and running.alive:
        os.kill(running.pid, signal.SIGKILL)  # the child dies with it
    if not wait_for(lambda: is_stopped(data, service), 5.0):
        raise EmbeddedError(f"{service} (process {running.pid}) in {data} does not end.")
    return True
