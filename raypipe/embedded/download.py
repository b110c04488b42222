"""Download Maven artifacts by their coordinates: in parallel, verified, with progress."""

from __future__ import annotations

import logging
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raypipe.core.certificates import certificates_for_requests
from raypipe.core.proxy import loopback_without_proxy
from raypipe.core.retry import attempts
from raypipe.embedded import EmbeddedError
from raypipe.embedded.lock_file import LockedArtifact, sha256_of, verify_sha256
from raypipe.embedded.progress import DownloadProgress

log = logging.getLogger(__name__)

THREADS = 8
TRIES = 3
REQUEST_TIMEOUT_S = 10
"""Seconds to connect, and between two pieces of a response."""
FIRST_BYTE_TIMEOUT_S = 22.0
"""Without any byte for this long there is no network; the error appears within 30 s."""
STALL_TIMEOUT_S = 200.0
"""After the first byte: jgo sleeps up to three minutes if the repository answers 429."""
_LONGEST_ERROR = 160


def download_artifacts(missing: list[LockedArtifact], folder: Path) -> None:
    """Download artifacts into a folder; each file is verified, then renamed into place.

    The repositories are Maven Central and those in the user's jgo settings. A file that the
    user's local Maven repository already has is copied from there; that repository stays
    unchanged.

    Raises:
        EmbeddedError: A file cannot be downloaded, or has another checksum.
    """
    if not missing:
        return
    total = sum(artifact.size for artifact in missing)
    log.info(
        "downloading OpenSearch, once: %d files, %d MB, to %s",
        len(missing),
        total // 10**6,
        folder,
    )
    for leftover in folder.glob(".part-*"):  # the caller holds the lock: their processes ended
        shutil.rmtree(leftover, ignore_errors=True)
    with (
        loopback_without_proxy(),
        certificates_for_requests(),
        DownloadProgress(total, "OpenSearch") as progress,
    ):
        error = _ParallelDownload(folder, missing, progress, _load_jgo_settings()).run()
    if error is not None:
        raise _download_error(error, missing, folder)


class _ParallelDownload:
    """Downloads artifacts in several threads, the largest first.

    Args:
        folder: Where the verified files go.
        artifacts: What to download.
        progress: Counts the bytes.
        settings: The user's jgo settings.
    """

    def __init__(
        self,
        folder: Path,
        artifacts: list[LockedArtifact],
        progress: DownloadProgress,
        settings: Any,
    ) -> None:
        self._folder = folder
        self._scratch = folder / f".part-{os.getpid()}"
        self._progress = progress
        self._settings = settings
        self._queue: queue.SimpleQueue[LockedArtifact] = queue.SimpleQueue()
        for artifact in sorted(artifacts, key=lambda artifact: -artifact.size):
            self._queue.put(artifact)
        self._errors: list[Exception] = []
        self._stop = threading.Event()

    def run(self) -> Exception | None:
        """Download everything; return the first error, or None."""
        # Daemons: a thread that hangs in a DNS lookup must not delay the interpreter's end.
        threads = [
            threading.Thread(target=self._work, daemon=True, name=f"download-{number}")
            for number in range(THREADS)
        ]
        try:
            for thread in threads:
                thread.start()
            try:
                self._watch(threads)
            finally:
                self._stop.set()
            if self._errors:
                _join(threads, 1.0)
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
        return self._errors[0] if self._errors else None

    def _watch(self, threads: list[threading.Thread]) -> None:
        """Return when all threads have ended, one has failed, or no byte arrives any more."""
        while any(thread.is_alive() for thread in threads) and not self._errors:
            threads[0].join(0.1)
            time.sleep(0.05)
            limit = STALL_TIMEOUT_S if self._progress.done else FIRST_BYTE_TIMEOUT_S
            if self._progress.idle_s() > limit:
                self._errors.append(TimeoutError(f"no data for {limit:.0f} s"))

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                artifact = self._queue.get_nowait()
            except queue.Empty:
                return
            try:
                self._fetch_with_retries(artifact)
            except Exception as error:  # raised again in the caller's thread
                self._errors.append(error)
                return

    def _fetch_with_retries(self, artifact: LockedArtifact) -> None:
        import requests

        for attempt in attempts(tries=TRIES, sleep=self._sleep):
            try:
                return self._fetch(artifact)
            # jgo raises RuntimeError for every status but 200.
            except (requests.RequestException, RuntimeError, OSError) as error:
                log.debug("attempt %d for %s: %s", attempt.number, artifact.coordinate, error)
                if attempt.is_last or self._stop.is_set():
                    raise

    def _sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _fetch(self, artifact: LockedArtifact) -> None:
        """Download one artifact and rename it into place."""
        counted = 0

        @contextmanager
        def count_bytes(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
            def add(received: int) -> None:
                nonlocal counted
                if self._stop.is_set():
                    raise InterruptedError("the download was stopped")
                counted += received
                self._progress.add(received)

            yield add

        # jgo writes directly to the final name, so each artifact gets a temporary repository.
        repository = self._scratch / artifact.group / artifact.artifact
        try:
            path = _resolve(artifact, repository, self._settings, count_bytes)
            if not path.is_relative_to(self._scratch):
                path = _copy(path, self._scratch / artifact.file_name)
            verify_sha256(path, artifact)
        except BaseException:
            self._progress.add(-counted)
            # jgo would take a partial file in its repository for a whole file.
            shutil.rmtree(repository, ignore_errors=True)
            raise
        path.replace(self._folder / artifact.file_name)
        self._progress.add(artifact.size - counted)


def _load_jgo_settings() -> Any:
    """Return the user's jgo settings: additional repositories, another local repository."""
    try:
        from jgo.config import GlobalSettings
    except ImportError as error:
        raise EmbeddedError(
            "the embedded OpenSearch needs packages that are not installed. "
            "Run `pip install raypipe[embedded]`, or use a running cluster: "
            "opensearch=self_managed opensearch.endpoint=https://..."
        ) from error
    return GlobalSettings.load()


def _resolve(artifact: LockedArtifact, repository: Path, settings: Any, on_progress: Any) -> Path:
    """Download an artifact with jgo, or find it in the user's local repository.

    Args:
        artifact: What to download.
        repository: Folder for the download.
        settings: The user's jgo settings.
        on_progress: Context manager factory that jgo calls with a file's name and size.

    Returns:
        The path of the file.
    """
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext, PythonResolver

    local = [settings.repo_cache] if _has_valid_copy(settings.repo_cache, artifact) else []
    context = MavenContext(
        resolver=PythonResolver(progress_callback=on_progress),
        repo_cache=repository,
        local_repos=local,
        remote_repos={"central": MAVEN_CENTRAL_URL, **settings.repositories},
        timeout=REQUEST_TIMEOUT_S,
    )
    component = context.project(artifact.group, artifact.artifact).at_version(artifact.version)
    return Path(component.artifact(packaging=artifact.packaging).resolve())


def _has_valid_copy(repository: Path, artifact: LockedArtifact) -> bool:
    folder = repository.joinpath(*artifact.group.split("."), artifact.artifact, artifact.version)
    path = folder / artifact.file_name
    return path.is_file() and sha256_of(path) == artifact.sha256


def _copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target


def _join(threads: list[threading.Thread], seconds: float) -> None:
    """Wait for threads to end, for `seconds` in total."""
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _download_error(error: Exception, missing: list[LockedArtifact], folder: Path) -> EmbeddedError:
    """Return the error as one line: what is missing, why, and three ways to continue."""
    if isinstance(error, EmbeddedError):
        return error
    absent = [artifact for artifact in missing if not (folder / artifact.file_name).exists()]
    size = sum(artifact.size for artifact in absent) / 10**6
    return EmbeddedError(
        f"OpenSearch cannot be downloaded: {_shorten(error)}. {len(absent)} files ({size:.0f} MB) "
        f"are missing in {folder}. Fix: connect to the network once, or copy that folder from a "
        "machine that has it; or use a running cluster with "
        "opensearch=self_managed opensearch.endpoint=https://...; or skip indexing with "
        "opensearch=none."
    )


def _shorten(error: Exception) -> str:
    text = str(error) if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_ERROR else text[: _LONGEST_ERROR - 3] + "..."
