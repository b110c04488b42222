"""Keep the OpenSearch server's jars in a user cache, as listed in the lock file.

Each file is downloaded by the coordinates in the lock file, once. No POM is read at run time:
that makes a cold start a matter of seconds, and gives the same class path on every machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raypipe.core.paths import expand_home
from raypipe.embedded import EmbeddedError
from raypipe.embedded.download import download_artifacts
from raypipe.embedded.lock_file import (
    LOCK_FILE,
    OPENSEARCH_VERSION,
    LockedArtifact,
    parse_lock_file,
    sha256_of,
)

log = logging.getLogger(__name__)

_COMPLETE = "complete.json"


def cache_home() -> Path:
    """Return the cache folder: `$RAYPIPE_CACHE`, or `raypipe` in the XDG cache folder."""
    override, xdg = os.environ.get("RAYPIPE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        if override:
            return expand_home(override, "RAYPIPE_CACHE")
        return (Path(xdg) if xdg else expand_home("~/.cache", "RAYPIPE_CACHE")) / "raypipe"
    except ValueError as error:
        raise EmbeddedError(str(error)) from None


def ensure_jars(lock_file: Path = LOCK_FILE) -> Path:
    """Return the folder with all of the server's jars; download missing files first.

    Safe to call from several processes at once, and again after an interruption: a file appears
    under its name only after its SHA-256 was verified.

    Raises:
        EmbeddedError: A missing file cannot be downloaded or stored, or has another checksum.
    """
    text = lock_file.read_text()
    lock_sha256 = hashlib.sha256(text.encode()).hexdigest()
    folder = cache_home() / f"opensearch-{OPENSEARCH_VERSION}"
    if _is_complete(folder, lock_sha256):
        return folder
    artifacts = parse_lock_file(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _exclusive(folder.with_name(f"{folder.name}.fetching")):
            if not _is_complete(folder, lock_sha256):  # another process may have been faster
                download_artifacts(_find_missing(folder, artifacts), folder)
                _complete(folder, artifacts, lock_sha256)
    except OSError as error:
        raise EmbeddedError(
            f"OpenSearch cannot be stored in {folder}: {error}. "
            "Free disk space, or choose another folder with RAYPIPE_CACHE=<folder>."
        ) from error
    return folder


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold a file lock, so that two processes do not download the same files."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another raypipe process is downloading OpenSearch; waiting for it")
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _is_complete(folder: Path, lock_sha256: str) -> bool:
    """Whether every file has its full size, according to the note of the last download."""
    try:
        note = json.loads((folder / _COMPLETE).read_text())
        return note["lock"] == lock_sha256 and all(
            (folder / name).stat().st_size == size for name, size in note["files"].items()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _find_missing(folder: Path, artifacts: list[LockedArtifact]) -> list[LockedArtifact]:
    """Return the artifacts that the folder lacks; delete damaged files."""
    missing = []
    for artifact in artifacts:
        path = folder / artifact.file_name
        if not path.exists():
            missing.append(artifact)
        elif sha256_of(path) != artifact.sha256:
            path.unlink()
            missing.append(artifact)
    return missing


def _complete(folder: Path, artifacts: list[LockedArtifact], lock_sha256: str) -> None:
    """Unpack the plugins, delete other jars and note that the folder is complete."""
    jars = {artifact.file_name for artifact in artifacts if artifact.packaging == "jar"}
    names = set(jars)
    for artifact in artifacts:
        if artifact.packaging == "zip":
            names.update(unpack_plugin(folder / artifact.file_name, folder, jars))
    files = {name: (folder / name).stat().st_size for name in sorted(names)}
    for jar in folder.glob("*.jar"):  # jars of an older lock: the class path is the whole folder
        if jar.name not in files:
            jar.unlink()
    temporary = folder / f".{_COMPLETE}"
    temporary.write_text(json.dumps({"lock": lock_sha256, "files": files}, indent=1))
    temporary.replace(folder / _COMPLETE)


def unpack_plugin(archive: Path, folder: Path, server_jars: set[str]) -> list[str]:
    """Extract a plugin's jars from its zip; return their names.

    Jars in `server_jars` are skipped: two versions of a library on the class path cause errors
    that are hard to trace.
    """
    names = []
    with zipfile.ZipFile(archive) as plugin:
        for member in plugin.infolist():
            name = Path(member.filename).name
            if not name.endswith(".jar") or name in server_jars:
                continue
            temporary = folder / f".{name}.{os.getpid()}"
            with plugin.open(member) as jar, temporary.open("wb") as out:
                shutil.copyfileobj(jar, out)
            temporary.replace(folder / name)
            names.append(name)
    return names
