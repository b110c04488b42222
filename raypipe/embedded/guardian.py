"""The process that owns one embedded service and ends it with its last user.

Every raypipe command that uses embedded services holds a shared flock on ``<data>/users.lock``.
A guardian starts one service and then tries for the exclusive lock: the kernel grants it only
when no user process lives any more, however it ended, kill -9 included. No heartbeat, no pid
list. It holds that lock until it is gone, so a new user waits for the end of the shutdown.

A guardian's own end is covered too: the service asks the kernel to be killed with its parent.

This file is run by its path in an isolated interpreter (``python -I -S guardian.py``), so it
imports the standard library only: it starts in some 20 ms and stays small.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

USERS_LOCK = "users.lock"
KEEP = "keep"
POLL_S = 0.2
STOP_S = 10.0
PREDECESSOR_S = 30.0
_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def state_path(data: Path, service: str) -> Path:
    """Where the guardian of ``service`` describes what runs."""
    return data / f"{service}.json"


def service_lock_path(data: Path, service: str) -> Path:
    """The lock that one guardian of ``service`` holds from before the start to after the end."""
    return data / f"{service}.lock"


def start_time(pid: int) -> int | None:
    """When process ``pid`` started, in clock ticks since boot; None when it is gone.

    A pid alone may have been given to another process since; pid and start time can't.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in parentheses may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def try_lock(fd: int, operation: int) -> bool:
    """Take a flock without waiting; False when another holder is in the way."""
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_lock(path: Path) -> int:
    """Open (and create) a lock file; the descriptor is closed on exec, as all of Python's are."""
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write ``value`` so that a reader sees the old file or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1) + "\n")
    temporary.replace(path)


def _die_with_parent(parent: int) -> None:
    # Runs in the child between fork and exec.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before prctl took effect
        os._exit(1)


def _start(data: Path, service: str, command: list[str]) -> subprocess.Popen[bytes]:
    log = data / "logs" / f"{service}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    parent = os.getpid()
    with log.open("ab") as out:
        # Its own session: Ctrl-C in the terminal reaches the command, which finishes first.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: _die_with_parent(parent),
        )


def _signal_group(child: subprocess.Popen[bytes], signum: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signum)


def _ended(child: subprocess.Popen[bytes]) -> bool:
    # Not reaped yet: as long as it is a zombie, its process group's number can't be reused.
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _stop(child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STOP_S
    if not _ended(child):
        _signal_group(child, signal.SIGTERM)
    while not _ended(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    _signal_group(child, signal.SIGKILL)  # a child that doesn't listen, and what it started
    child.wait()


def _last_user_left(users: int, keep: Path) -> bool:
    """True, with the exclusive lock held, when nobody needs the service any more."""
    if not try_lock(users, fcntl.LOCK_EX):
        return False
    if keep.exists():
        fcntl.flock(users, fcntl.LOCK_UN)
        return False
    return True


def _watch(child: subprocess.Popen[bytes], users: int, keep: Path) -> None:
    """Return when the child ended, a signal came, or the last user left."""
    # Polled, not a blocking flock: a signal just before that call would be slept through.
    while not _ended(child) and not _last_user_left(users, keep):
        if signal.sigtimedwait(_SIGNALS, POLL_S):
            return


def _wait_for_predecessor(lock: int) -> bool:
    deadline = time.monotonic() + PREDECESSOR_S
    while not try_lock(lock, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _guard(data: Path, service: str, version: str, command: list[str], started: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    lock = open_lock(service_lock_path(data, service))
    if not _wait_for_predecessor(lock):
        os.write(started, b"another guardian does not let go of the data folder")
        return
    users = open_lock(data / USERS_LOCK)
    child = _start(data, service, command)
    path = state_path(data, service)
    try:
        write_json(
            path,
            {
                "service": service,
                "version": version,
                "pid": os.getpid(),
                "start_time": start_time(os.getpid()),
                "child_pid": child.pid,
                "child_start_time": start_time(child.pid),
                "started_at": time.time(),
                "command": command,
            },
        )
        os.close(started)  # an empty pipe is the good news
        _watch(child, users, data / KEEP)
    finally:
        _stop(child)
        path.unlink(missing_ok=True)


def _detach(data: Path) -> None:
    """Leave the terminal's session, its standard streams and the folder it stands in."""
    os.setsid()
    os.chdir(data)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


def main() -> NoReturn:
    """Go to the background, start the service; exit code 0 once it is being guarded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--version", default="")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    options.data = options.data.absolute()
    reader, writer = os.pipe()
    # Detached from the user's process: init reaps it, nobody has to wait for it.
    if os.fork():
        os.close(writer)
        with os.fdopen(reader, "rb") as answer:
            complaint = answer.read()
        sys.stderr.write(complaint.decode())
        os._exit(1 if complaint else 0)
    os.close(reader)
    _detach(options.data)
    try:
        _guard(options.data, options.service, options.version, options.command, writer)
    except Exception as error:
        with suppress(OSError):  # already told that all is well, and closed
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
