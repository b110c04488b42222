"""Fetching Maven artifacts by their coordinates: several at once, verified, with progress."""

from __future__ import annotations

import logging
import os
import queue
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raypipe.embedded import EmbeddedError
from raypipe.embedded.jars import Locked, check, sha256_of
from raypipe.embedded.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

PARALLEL = 8
ATTEMPTS = 3
REQUEST_S = 10
"""Seconds for one connection attempt, and between two pieces of an answer."""
FIRST_BYTE_S = 22.0
"""Without any byte for so long there is no network; a person is told within 30 s."""
STALL_S = 200.0
"""Once bytes came: jgo sleeps a minute when the repository asks for it (429), thrice at most."""


@dataclass
class _Batch:
    """One download: what is to be fetched, and what the threads report."""

    folder: Path
    scratch: Path
    todo: queue.SimpleQueue[Locked]
    progress: Progress
    settings: Any
    errors: list[Exception] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)


def download(missing: list[Locked], folder: Path) -> None:
    """Fetch artifacts into ``folder``; each is verified, then renamed into place.

    The repositories are Maven Central and those of the user's own jgo settings; a file that the
    user's local Maven repository has already is copied from there. Nothing is left in it.

    Raises:
        EmbeddedError: A file can't be fetched, or isn't what was locked.
    """
    if not missing:
        return
    total = sum(item.size for item in missing)
    log.info(
        "OpenSearch is fetched once: %d files, %d MB, to %s",
        len(missing),
        total // 10**6,
        folder,
    )
    scratch = folder / f".part-{os.getpid()}"
    for leftover in folder.glob(".part-*"):  # we hold the lock: whoever made it is gone
        shutil.rmtree(leftover, ignore_errors=True)
    todo: queue.SimpleQueue[Locked] = queue.SimpleQueue()
    for item in sorted(missing, key=lambda item: -item.size):
        todo.put(item)
    try:
        with Progress(total, "OpenSearch") as progress:
            batch = _Batch(folder, scratch, todo, progress, _jgo_settings())
            _run(batch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if batch.errors:
        raise _explained(batch.errors[0], missing, folder)


def _jgo_settings() -> Any:
    """The user's own jgo settings: other repositories, another local one."""
    try:
        from jgo.config import GlobalSettings
    except ImportError as error:
        raise EmbeddedError(
            "The embedded OpenSearch needs a few more packages: `pip install raypipe[embedded]`, "
            "or use a cluster you have (opensearch=self_managed opensearch.endpoint=https://...)."
        ) from error
    return GlobalSettings.load()


def _run(batch: _Batch) -> None:
    """Start the threads and wait for them, but not for ever."""
    # Daemons: a thread that hangs in a name look-up must not hold the interpreter's end.
    threads = [
        threading.Thread(target=_work, args=(batch,), daemon=True, name=f"fetch-{number}")
        for number in range(PARALLEL)
    ]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads) and not batch.errors:
            threads[0].join(0.1)
            time.sleep(0.05)
            limit = STALL_S if batch.progress.done else FIRST_BYTE_S
            if batch.progress.idle_s() > limit:
                batch.errors.append(TimeoutError(f"no data for {limit:.0f} s"))
    finally:
        batch.stopped.set()
    if batch.errors:
        _join(threads, 1.0)


def _join(threads: list[threading.Thread], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _work(batch: _Batch) -> None:
    while not batch.stopped.is_set():
        try:
            item = batch.todo.get_nowait()
        except queue.Empty:
            return
        try:
            _fetch_with_retries(item, batch)
        except Exception as error:  # any kind: it is told in the caller's thread
            batch.errors.append(error)
            return


def _fetch_with_retries(item: Locked, batch: _Batch) -> None:
    import requests

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _fetch(item, batch)
        # jgo says RuntimeError for every status but 200.
        except (requests.RequestException, RuntimeError, OSError) as error:
            log.debug("attempt %d for %s: %s", attempt, item.coordinate, error)
            if attempt == ATTEMPTS or batch.stopped.wait(0.5 * attempt):
                raise


def _fetch(item: Locked, batch: _Batch) -> None:
    """Fetch one artifact through jgo and rename it into place."""
    counted = 0

    @contextmanager
    def count(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
        def update(received: int) -> None:
            nonlocal counted
            if batch.stopped.is_set():
                raise InterruptedError("the download was stopped")
            counted += received
            batch.progress.add(received)

        yield update

    try:
        path = _resolve(item, batch, count)
        if not path.is_relative_to(batch.scratch):
            path = _copied(path, item, batch.scratch)
        check(path, item)
    except BaseException:
        batch.progress.add(-counted)
        # A half file at the place where jgo looks would be taken for a whole one.
        shutil.rmtree(batch.scratch / item.group / item.artifact, ignore_errors=True)
        raise
    path.replace(batch.folder / item.file_name)
    batch.progress.add(item.size - counted)


def _copied(source: Path, item: Locked, scratch: Path) -> Path:
    """A copy of a file in the user's own Maven repository, which stays as it is."""
    target = scratch / item.file_name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target


def _resolve(item: Locked, batch: _Batch, count: Any) -> Path:
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext, PythonResolver

    settings = batch.settings
    context = MavenContext(
        resolver=PythonResolver(progress_callback=count),
        # jgo writes straight to the final name: one folder per artifact, thrown away after.
        repo_cache=batch.scratch / item.group / item.artifact,
        local_repos=[settings.repo_cache] if _has_good_copy(settings.repo_cache, item) else [],
        remote_repos={"central": MAVEN_CENTRAL_URL, **settings.repositories},
        timeout=REQUEST_S,
    )
    component = context.project(item.group, item.artifact).at_version(item.version)
    return Path(component.artifact(packaging=item.packaging).resolve())


def _has_good_copy(repository: Path, item: Locked) -> bool:
    folder = repository.joinpath(*item.group.split("."), item.artifact, item.version)
    path = folder / item.file_name
    return path.is_file() and sha256_of(path) == item.sha256


def _explained(error: Exception, missing: list[Locked], folder: Path) -> EmbeddedError:
    """The error in one line: what is missing, and the ways out."""
    if isinstance(error, EmbeddedError):
        return error
    absent = [item for item in missing if not (folder / item.file_name).exists()]
    size = sum(item.size for item in absent) / 10**6
    return EmbeddedError(
        f"OpenSearch is not here yet and can't be downloaded: {len(absent)} files ({size:.0f} MB) "
        f"are missing in {folder} and the package repository does not answer "
        f"({_short(error)}). Three ways out: connect to the network once (or copy that folder "
        "from a machine that has it); or use a cluster you have with "
        "opensearch=self_managed opensearch.endpoint=https://...; or stop at finished documents "
        "with opensearch=none."
    )


def _short(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}" if not isinstance(error, TimeoutError) else str(error)
    text = " ".join(text.split())
    return text if len(text) <= 160 else text[:157] + "..."
