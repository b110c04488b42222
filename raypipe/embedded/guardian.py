"""Start an embedded service in the background and stop it after its last user.

Every raypipe command that uses embedded services holds a shared flock on `<data>/users.lock`.
A guardian starts one service and then polls for the exclusive lock. The kernel grants it only
when no user process is alive, however the users ended, `kill -9` included; no heartbeat and no
list of pids is needed. The guardian holds the exclusive lock until it ends, so a new user waits
for the end of the shutdown.

The end of the guardian itself is covered too: the service asks the kernel to be killed with its
parent.

This file is run by its path in an isolated interpreter (`python -I -S guardian.py`). It imports
the standard library only, so it starts in about 20 ms and stays small.
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
"""Locked shared by every user process, and exclusive by a guardian that shuts down."""
KEEP = "keep"
"""While this file exists, services continue without users: `raypipe up` creates it."""
POLL_S = 0.2
STOP_TIMEOUT_S = 10.0
PREDECESSOR_TIMEOUT_S = 30.0
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def state_path(data: Path, service: str) -> Path:
    """Return the file in which the guardian of `service` describes the running process."""
    return data / f"{service}.json"


def service_lock_path(data: Path, service: str) -> Path:
    """Return the lock that a guardian holds as long as its service can exist."""
    return data / f"{service}.lock"


def start_time(pid: int) -> int | None:
    """Return when process `pid` started, in clock ticks since boot; None if it has ended.

    The kernel reuses pids, but not a pid together with its start time.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The process name is in parentheses and may itself contain spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def try_lock(fd: int, operation: int) -> bool:
    """Take a flock without waiting; return False if another process holds it."""
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_lock(path: Path) -> int:
    """Open or create a lock file; Python closes its descriptors on exec."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    os.fchmod(fd, PRIVATE_FILE)  # other users who can open a file can also lock it
    return fd


def make_private(folder: Path) -> None:
    """Create a folder that only its owner can enter, or close an existing folder to others."""
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    folder.chmod(PRIVATE_FOLDER)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically: readers see the old or new text."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    temporary.replace(path)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` to a file that only its owner can read."""
    write_private(path, json.dumps(value, indent=1) + "\n")


def _die_with_parent(parent: int) -> None:
    # Runs in the child between fork and exec.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before prctl took effect
        os._exit(1)


def _start_service(data: Path, service: str, command: list[str]) -> subprocess.Popen[bytes]:
    log = data / "logs" / f"{service}.log"
    make_private(log.parent)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    parent = os.getpid()
    with log.open("ab") as out:
        # In a separate session Ctrl-C reaches only the command, which must finish first.
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


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    # WNOWAIT leaves a zombie, so that the number of its process group cannot be reused yet.
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _stop_service(child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    if not _has_ended(child):
        _signal_group(child, signal.SIGTERM)
    while not _has_ended(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    _signal_group(child, signal.SIGKILL)  # a child that ignores SIGTERM, and its own children
    child.wait()


def _lock_if_unused(users_lock: int, keep: Path) -> bool:
    """Take the exclusive lock and return True if no user is left and `keep` does not exist."""
    if not try_lock(users_lock, fcntl.LOCK_EX):
        return False
    if keep.exists():
        fcntl.flock(users_lock, fcntl.LOCK_UN)
        return False
    return True


def _wait_until_unneeded(child: subprocess.Popen[bytes], users_lock: int, keep: Path) -> None:
    """Return when the child has ended, a signal arrived or the last user left."""
    # Polls: a blocking flock would miss a signal that arrives just before the call.
    while not _has_ended(child) and not _lock_if_unused(users_lock, keep):
        if signal.sigtimedwait(_SIGNALS, POLL_S):
            return


def _wait_for_predecessor(lock: int) -> bool:
    """Wait for the service lock; return False if another guardian still holds it."""
    deadline = time.monotonic() + PREDECESSOR_TIMEOUT_S
    while not try_lock(lock, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _guard(data: Path, service: str, version: str, command: list[str], started_pipe: int) -> None:
    """Start the service, report success by closing the pipe, stop the service when unneeded."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    lock = open_lock(service_lock_path(data, service))
    if not _wait_for_predecessor(lock):
        os.write(started_pipe, b"another guardian still holds the lock of the data folder")
        return
    users_lock = open_lock(data / USERS_LOCK)
    child = _start_service(data, service, command)
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
        os.close(started_pipe)  # an empty pipe means success
        _wait_until_unneeded(child, users_lock, data / KEEP)
    finally:
        _stop_service(child)
        path.unlink(missing_ok=True)


def _detach(data: Path) -> None:
    """Leave the terminal's session, the standard streams and the working directory."""
    os.setsid()
    os.chdir(data)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


def main() -> NoReturn:
    """Start the service from a background process; exit with 0 once it is guarded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--version", default="")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    options.data = options.data.absolute()
    os.umask(0o077)  # indexes, logs and addresses are nobody else's business
    reader, writer = os.pipe()
    # The parent exits at once, so init adopts and reaps the guardian.
    if os.fork():
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            error_text = pipe.read()
        sys.stderr.write(error_text.decode())
        os._exit(1 if error_text else 0)
    os.close(reader)
    _detach(options.data)
    try:
        _guard(options.data, options.service, options.version, options.command, writer)
    except Exception as error:
        with suppress(OSError):  # the pipe is closed if success was reported before
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
