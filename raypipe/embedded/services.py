"""The embedded services as commands use them: started on first use, gone with the last user."""

from __future__ import annotations

import fcntl
import logging
import os
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.embedded import EmbeddedError, guardian, supervise
from raypipe.embedded.opensearch import OpenSearchNode
from raypipe.embedded.s3 import SAMPLE_BUCKET, S3Server, put_samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

log = logging.getLogger(__name__)

NAMES = ("opensearch", "s3")
LEAVE_S = 30.0


@dataclass(frozen=True)
class Status:
    """What ``status`` says about one service that runs."""

    name: str
    version: str
    url: str | None
    pid: int
    started_at: float
    log: Path
    kept: bool
    """True after ``up``: it stays when the last command ends."""


class Services:
    """One command's use of the embedded services in a data folder.

    Leaving the context gives up the use. The services end with their last user, and the
    context waits for that; after `up` they stay.

    Args:
        data: The folder for indexes, logs and locks; two folders are two worlds.
    """

    def __init__(self, data: Path) -> None:
        self.data = data.expanduser().absolute()
        self._users: int | None = None
        self._closed = False
        self._entering = threading.Lock()

    def __enter__(self) -> Services:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def opensearch(self) -> str:
        """The URL of the OpenSearch node, started if it doesn't run.

        Raises:
            EmbeddedError: It can't be had; the message says why and what to do.
        """
        self._use()
        return supervise.ensure(self.data, OpenSearchNode(self.data))

    def s3(self) -> str:
        """The URL of the S3 server, started if it doesn't run, the sample books in it.

        Raises:
            EmbeddedError: It doesn't start.
        """
        self._use()
        url = supervise.ensure(self.data, S3Server(self.data))
        put_samples(url, SAMPLE_BUCKET)
        return url

    def start_both(self) -> tuple[str, str]:
        """Start both side by side; the URLs of OpenSearch and S3."""
        self._use()
        s3: Future[str] = Future()
        # A daemon, and OpenSearch in this thread: Ctrl-C must not wait for the slower of the two.
        threading.Thread(target=_fulfil, args=(s3, self.s3), daemon=True).start()
        return self.opensearch(), s3.result()

    def up(self) -> tuple[str, str]:
        """Start both and let them stay after this command, until `down`."""
        urls = self.start_both()
        (self.data / guardian.KEEP).touch()
        return urls

    def close(self) -> None:
        """Give up the use; wait for the end of the services if nobody else needs them."""
        with self._entering:
            self._closed = True
            if self._users is None:
                return
            os.close(self._users)
            self._users = None
        if (self.data / guardian.KEEP).exists():
            return
        if not supervise.wait_for(self._settled, LEAVE_S):
            log.warning("the embedded services in %s are still stopping", self.data)

    def _use(self) -> None:
        """Become a user: from now on no guardian ends its service."""
        if sys.platform != "linux":
            raise EmbeddedError(
                "The embedded services need Linux. Elsewhere name your own: "
                "opensearch.endpoint=..., storage=local or storage=s3 storage.endpoint_url=..."
            )
        with self._entering:
            if self._closed:
                raise EmbeddedError("The embedded services were given up already.")
            if self._users is None:
                self._users = _take_users_lock(self.data)

    def _settled(self) -> bool:
        if all(supervise.is_stopped(self.data, name) for name in NAMES):
            return True
        return _others_use(self.data)


def _fulfil(future: Future[str], start: Callable[[], str]) -> None:
    try:
        future.set_result(start())
    except BaseException as error:
        future.set_exception(error)


def _take_users_lock(data: Path) -> int:
    """A shared lock; a guardian that is shutting down is waited for."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        fd = guardian.open_lock(data / guardian.USERS_LOCK)
    except OSError as error:
        raise EmbeddedError(f"{data} can't be used for the embedded services: {error}") from error
    if supervise.wait_for(lambda: guardian.try_lock(fd, fcntl.LOCK_SH), supervise.LOCK_S):
        return fd
    os.close(fd)
    raise EmbeddedError(f"The services in {data} have been stopping for too long: `raypipe down`.")


def _others_use(data: Path) -> bool:
    """Whether another user process lives: shared is to be had, exclusive isn't."""
    fd = guardian.open_lock(data / guardian.USERS_LOCK)
    try:
        return not guardian.try_lock(fd, fcntl.LOCK_EX) and guardian.try_lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def down(data: Path) -> list[str]:
    """Stop what runs in a data folder, used or not; the names of what was stopped.

    Raises:
        EmbeddedError: Something doesn't end.
    """
    data = data.expanduser().absolute()
    if not data.is_dir():
        return []
    stopped = []
    try:
        for name in NAMES:
            with supervise.start_lock(data, name):
                if supervise.stop(data, name):
                    stopped.append(name)
    finally:
        # Last: without the marker, guardians end by themselves, and none would be named here.
        (data / guardian.KEEP).unlink(missing_ok=True)
    return stopped


def status(data: Path) -> list[Status]:
    """What runs in a data folder."""
    data = data.expanduser().absolute()
    kept = (data / guardian.KEEP).exists()
    found = (supervise.read_running(data, name) for name in NAMES)
    return [
        Status(
            name=item.service,
            version=item.version,
            url=item.url,
            pid=item.child_pid,
            started_at=item.started_at,
            log=supervise.log_path(data, item.service),
            kept=kept,
        )
        for item in found
        if item
    ]
