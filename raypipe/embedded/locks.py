"""Take the locks that coordinate the commands and guardians of a machine."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from raypipe.embedded import EmbeddedError, guardian

LOCK_TIMEOUT_S = 60.0
"""A service shuts down within 10 s; two services, one after the other, within 25 s."""


def wait_for(condition: Callable[[], bool], seconds: float, step_s: float = 0.05) -> bool:
    """Poll until the condition holds; return False if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step_s)
    return True


@contextmanager
def _hold_lock(path: Path, operation: int, holder: str) -> Iterator[int]:
    """Hold a flock; wait for it no longer than a shutdown can take."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = guardian.open_lock(path)
    try:
        if not wait_for(lambda: guardian.try_lock(fd, operation), LOCK_TIMEOUT_S):
            raise EmbeddedError(
                f"{path} is locked: {holder} for {LOCK_TIMEOUT_S:.0f} s. "
                "Stop the services with `raypipe down`."
            )
        yield fd
    finally:
        os.close(fd)


def start_lock(data: Path, service: str) -> AbstractContextManager[int]:
    """Hold the lock under which a service is looked up, started and stopped.

    Each service has a lock, so that two services can start side by side.

    Raises:
        EmbeddedError: Another command holds the lock for longer than `LOCK_TIMEOUT_S`.
    """
    return _hold_lock(
        data / f"{service}.start.lock",
        fcntl.LOCK_EX,
        f"another raypipe command has been starting or stopping {service}",
    )


@contextmanager
def exclusive_start(service: str) -> Iterator[None]:
    """Let one process of this machine at a time start a service, until the service listens.

    Two nodes that start at the same moment would choose the same free port, and one would end.
    The lock is an abstract socket: it leaves no file and ends with its process. After
    `LOCK_TIMEOUT_S` the start goes ahead without the lock.
    """

    def try_bind(lock: socket.socket) -> bool:
        try:
            lock.bind(f"\0raypipe-starts-{service}")
        except OSError:
            return False
        return True

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        wait_for(lambda: try_bind(lock), LOCK_TIMEOUT_S)
        yield


def take_users_lock(data: Path) -> int:
    """Take a shared lock on a data folder's services; wait while a guardian shuts down.

    Returns:
        A file descriptor; closing it releases the lock.

    Raises:
        EmbeddedError: The folder is not writable, or the shutdown does not end.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        fd = guardian.open_lock(data / guardian.USERS_LOCK)
    except OSError as error:
        raise EmbeddedError(
            f"embedded services cannot use the folder {data}: {error}. "
            "Choose another folder with embedded.data=..."
        ) from error
    if wait_for(lambda: guardian.try_lock(fd, fcntl.LOCK_SH), LOCK_TIMEOUT_S):
        return fd
    os.close(fd)
    raise EmbeddedError(
        f"the services in {data} did not stop within {LOCK_TIMEOUT_S:.0f} s. "
        "Stop them with `raypipe down`."
    )


def has_users(data: Path) -> bool:
    """Whether a process uses the services: the lock is available shared, but not exclusive."""
    fd = guardian.open_lock(data / guardian.USERS_LOCK)
    try:
        return not guardian.try_lock(fd, fcntl.LOCK_EX) and guardian.try_lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)
