"""The OpenSearch server's jars: named in a lock file, fetched once into a user cache.

Maven coordinates are fetched one by one as the lock names them; no POM is read at run time,
which is what makes a cold start a matter of seconds, and what makes it the same everywhere.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.embedded import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

OPENSEARCH_VERSION = "3.5.0"
LOCK_FILE = Path(__file__).parent / "opensearch.lock"
_COMPLETE = "complete.json"


@dataclass(frozen=True)
class Locked:
    """One line of the lock: a Maven artifact, and the bytes it must have."""

    group: str
    artifact: str
    version: str
    packaging: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """The name that Maven gives the file."""
        return f"{self.artifact}-{self.version}.{self.packaging}"

    @property
    def coordinate(self) -> str:
        """``group:artifact:version``, with ``:packaging`` where it isn't a jar."""
        suffix = "" if self.packaging == "jar" else f":{self.packaging}"
        return f"{self.group}:{self.artifact}:{self.version}{suffix}"


def parse_lock(text: str) -> list[Locked]:
    """Read a lock file's text.

    Raises:
        ValueError: A line isn't ``group:artifact:version[:packaging] sha256 bytes``.
    """
    locked = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            coordinate, sha256, size = line.split()
            group, artifact, version, *packaging = coordinate.split(":")
            if len(packaging) > 1 or len(sha256) != 64:
                raise ValueError(coordinate)
            locked.append(
                Locked(group, artifact, version, (packaging or ["jar"])[0], sha256, int(size))
            )
        except ValueError as error:
            raise ValueError(f"line {number} of the lock file is not readable: {line}") from error
    return locked


def cache_home() -> Path:
    """The user's cache: ``$RAYPIPE_CACHE``, else ``raypipe`` in the XDG cache folder."""
    own = os.environ.get("RAYPIPE_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "raypipe"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, locked: Locked) -> None:
    """Raise unless the file has exactly the bytes of the lock; a wrong one is deleted.

    Raises:
        EmbeddedError: It has others: cut off, damaged, or not what was locked.
    """
    found = sha256_of(path)
    if found != locked.sha256:
        path.unlink()
        raise EmbeddedError(
            f"{path.name} is not the file that raypipe was made with (sha256 {found[:12]}…, "
            f"expected {locked.sha256[:12]}…) and was deleted. Run the command again; if it "
            "says so again, the package repository or a proxy on the way serves another file."
        )


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold a file lock, so that two raypipes don't fetch the same files at once."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another raypipe is fetching OpenSearch; waiting for it")
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _is_complete(folder: Path, lock_sha256: str) -> bool:
    """Whether every file is there in full size, by the note the last download left."""
    try:
        note = json.loads((folder / _COMPLETE).read_text())
        return note["lock"] == lock_sha256 and all(
            (folder / name).stat().st_size == size for name, size in note["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return False


def unpack_plugin(archive: Path, folder: Path, present: set[str]) -> list[str]:
    """Take the jars out of a plugin's zip, but for those the server has already.

    Two versions of a library on one class path are a riddle at run time, so a jar whose name
    is in ``present`` stays in the zip.
    """
    taken = []
    with zipfile.ZipFile(archive) as source:
        for member in source.infolist():
            name = Path(member.filename).name
            if not name.endswith(".jar") or name in present:
                continue
            temporary = folder / f".{name}.{os.getpid()}"
            with source.open(member) as jar, temporary.open("wb") as out:
                shutil.copyfileobj(jar, out)
            temporary.replace(folder / name)
            taken.append(name)
    return taken


def _finish(folder: Path, locked: list[Locked], lock_sha256: str) -> None:
    """Unpack the plugins and note that the folder is complete."""
    jars = {item.file_name for item in locked if item.packaging == "jar"}
    names = set(jars)
    for item in locked:
        if item.packaging == "zip":
            names.update(unpack_plugin(folder / item.file_name, folder, jars))
    files = {name: (folder / name).stat().st_size for name in sorted(names)}
    for other in folder.glob("*.jar"):  # an older lock's: the class path is all of the folder
        if other.name not in files:
            other.unlink()
    temporary = folder / f".{_COMPLETE}"
    temporary.write_text(json.dumps({"lock": lock_sha256, "files": files}, indent=1))
    temporary.replace(folder / _COMPLETE)


def _still_missing(folder: Path, locked: list[Locked]) -> list[Locked]:
    missing = []
    for item in locked:
        path = folder / item.file_name
        if not path.exists():
            missing.append(item)
        elif sha256_of(path) != item.sha256:
            path.unlink()
            missing.append(item)
    return missing


def ensure_jars(lock_file: Path = LOCK_FILE) -> Path:
    """The folder with all the server's jars; what is missing is downloaded first.

    Safe to call from several processes at once, and again after an interruption: a file counts
    only once its SHA-256 was verified and it was renamed into place.

    Raises:
        EmbeddedError: Something is missing and can't be downloaded, or isn't what was locked.
    """
    from raypipe.embedded.download import download

    text = lock_file.read_text()
    lock_sha256 = hashlib.sha256(text.encode()).hexdigest()
    folder = cache_home() / f"opensearch-{OPENSEARCH_VERSION}"
    if _is_complete(folder, lock_sha256):
        return folder
    locked = parse_lock(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _exclusive(folder.with_name(f"{folder.name}.fetching")):
            if not _is_complete(folder, lock_sha256):  # the other raypipe was quicker
                missing = _still_missing(folder, locked)
                download(missing, folder)
                _finish(folder, locked, lock_sha256)
    except OSError as error:
        raise EmbeddedError(
            f"OpenSearch can't be stored in {folder}: {error}. Make room or name another folder "
            "with RAYPIPE_CACHE=<folder>."
        ) from error
    return folder
