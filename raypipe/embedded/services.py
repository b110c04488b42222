"""Use the embedded services from a command: start on first use, stop after the last user.

Modules that need Linux are imported where they are used, because commands with servers of their own
also run on other systems.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from raypipe.embedded import EmbeddedError

log = logging.getLogger(__name__)

NAMES = ("opensearch", "s3")
CLOSE_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class ServiceStatus:
    """A running service, as `list_running` reports it.

    Args:
        name: Name of the service.
        version: Version that runs.
        url: URL; None until the service has answered.
        pid: Process id of the service.
        started_at: Start, in seconds since the epoch.
        log: File with its output.
        is_kept: Whether it continues without users, as after `raypipe up`.
    """

    name: str
    version: str
    url: str | None
    pid: int
    started_at: float
    log: Path
    is_kept: bool


class Services:
    """The use of a data folder's embedded services by one command.

    Leaving the context ends the use. The services stop after their last user, and the context
    waits for that. After `start_and_keep` they continue to run.

    Args:
        data: Folder for indexes, logs and locks. Services in two folders are independent.
    """

    def __init__(self, data: Path) -> None:
        self.data = data.expanduser().absolute()
        self._users_lock: int | None = None
        self._is_closed = False
        self._mutex = threading.Lock()

    def __enter__(self) -> Services:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def check(self, names: Collection[str]) -> None:
        """Check that this machine can run services; nothing is started.

        Args:
            names: The services, of `NAMES`.

        Raises:
            EmbeddedError: The platform or a package is missing.
        """
        if sys.platform != "linux":
            raise EmbeddedError(
                "embedded services need Linux. On other systems use running servers: "
                "opensearch.endpoint=..., storage=local or storage=s3 storage.endpoint_url=..."
            )
        if "s3" in names:
            from raypipe.embedded.s3 import S3Server

            _ = S3Server(self.data).version
        if "opensearch" in names:
            from raypipe.embedded.java import check_java

            check_java()

    def start_opensearch(self) -> str:
        """Start the OpenSearch node if it does not run; return its URL.

        Raises:
            EmbeddedError: The node is unavailable; the message gives the cause and the fix.
        """
        self._register_user()
        from raypipe.embedded import supervise
        from raypipe.embedded.opensearch_node import OpenSearchNode

        return supervise.ensure_running(self.data, OpenSearchNode(self.data))

    def start_s3(self) -> str:
        """Start the S3 server if it does not run; return its URL. It holds the sample books.

        Raises:
            EmbeddedError: The server does not start.
        """
        self._register_user()
        from raypipe.embedded import supervise
        from raypipe.embedded.s3 import S3Server
        from raypipe.embedded.sample_books import upload_sample_books

        url = supervise.ensure_running(self.data, S3Server(self.data))
        upload_sample_books(url)
        return url

    def start_both(self) -> tuple[str, str]:
        """Start both services in parallel; return the URLs of OpenSearch and S3.

        Raises:
            EmbeddedError: A service does not start.
        """
        self.check(NAMES)
        self._register_user()
        s3: Future[str] = Future()
        # S3 starts in a daemon thread and OpenSearch in this one, so that Ctrl-C does not wait
        # for the slower service.
        threading.Thread(target=_complete, args=(s3, self.start_s3), daemon=True).start()
        return self.start_opensearch(), s3.result()

    def start_and_keep(self) -> tuple[str, str]:
        """Start both services and keep them running until `stop_services`; return their URLs.

        Raises:
            EmbeddedError: A service does not start.
        """
        from raypipe.embedded import guardian

        urls = self.start_both()
        (self.data / guardian.KEEP).touch()
        return urls

    def close(self) -> None:
        """End the use; wait until the services have stopped, unless they have other users."""
        with self._mutex:
            self._is_closed = True
            if self._users_lock is None:
                return
            os.close(self._users_lock)
            self._users_lock = None
        from raypipe.embedded import guardian, locks

        if (self.data / guardian.KEEP).exists():
            return
        # Ctrl-C ends the wait alone: the command is done, and the guardians stop the services.
        with suppress(KeyboardInterrupt):
            if not locks.wait_for(self._are_stopped_or_used, CLOSE_TIMEOUT_S):
                log.warning("the embedded services in %s are still stopping", self.data)

    def _register_user(self) -> None:
        """Take the users lock, so that no guardian stops its service from now on."""
        self.check(())
        from raypipe.embedded import locks

        with self._mutex:
            if self._is_closed:
                raise EmbeddedError("the embedded services of this command are already closed.")
            if self._users_lock is None:
                self._users_lock = locks.take_users_lock(self.data)

    def _are_stopped_or_used(self) -> bool:
        from raypipe.embedded import locks, supervise

        if all(supervise.is_stopped(self.data, name) for name in NAMES):
            return True
        return locks.has_users(self.data)


def _complete(future: Future[str], start: Callable[[], str]) -> None:
    try:
        future.set_result(start())
    except BaseException as error:
        future.set_exception(error)


def stop_services(data: Path) -> list[str]:
    """Stop all services of a data folder, used or not; return the names of the stopped ones.

    Raises:
        EmbeddedError: A service does not stop.
    """
    from raypipe.embedded import guardian, locks, supervise

    data = data.expanduser().absolute()
    if not data.is_dir():
        return []
    stopped = []
    try:
        for name in NAMES:
            with locks.start_lock(data, name):
                if supervise.stop(data, name):
                    stopped.append(name)
    finally:
        # Removed last: without this marker guardians end on their own, and `stopped` lacks them.
        (data / guardian.KEEP).unlink(missing_ok=True)
    return stopped


def list_running(data: Path) -> list[ServiceStatus]:
    """Return the running services of a data folder."""
    from raypipe.embedded import guardian, supervise

    data = data.expanduser().absolute()
    is_kept = (data / guardian.KEEP).exists()
    services = (supervise.read_running(data, name) for name in NAMES)
    return [
        ServiceStatus(
            name=service.service,
            version=service.version,
            url=service.url,
            pid=service.child_pid,
            started_at=service.started_at,
            log=supervise.log_path(data, service.service),
            is_kept=is_kept,
        )
        for service in services
        if service
    ]
