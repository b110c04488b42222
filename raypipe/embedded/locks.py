"""Take the locks that coordinate the commands and guardians of a machine."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from raypipe.embedded import EmbeddedError, guardian

_OWN_NAMES = re.compile(r"\.?(opensearch|s3|users)(\..*)?|keep|logs|state")
"""Names of files and folders in a data folder that belongs to raypipe alone."""
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


def take_users_lock(data: Path) -> int:
    """Take a shared lock on a data folder's services; wait while a guardian shuts down.

    Returns:
        A file descriptor; closing it releases the lock.

    Raises:
        EmbeddedError: The folder is not writable, or the shutdown does not end.
    """
    try:
        _make_data_folder(data)
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


def _make_data_folder(data: Path) -> None:
    """Create the data folder; close it to other users unless it has files of other programs."""
    data.mkdir(mode=guardian.PRIVATE_FOLDER, parents=True, exist_ok=True)
    if all(_OWN_NAMES.fullmatch(entry.name) for entry in data.iterdir()):
        with suppress(PermissionError):  # another user's folder, where this one may write
            data.chmod(guardian.PRIVATE_FOLDER)


def has_users(data: Path) -> bool:
    """Whether a process uses the services: the lock is available shared, but not exclusive."""
    fd = guardian.open_lock(data / guardian.USERS_LOCK)
    try:
        return not guardian.try_lock(fd, fcntl.LOCK_EX) and guardian.try_lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)
