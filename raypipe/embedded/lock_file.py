"""Read `opensearch.lock`: the Maven artifacts of the OpenSearch node and their checksums."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from raypipe.embedded import EmbeddedError

OPENSEARCH_VERSION = "3.5.0"
LOCK_FILE = Path(__file__).parent / "opensearch.lock"


@dataclass(frozen=True)
class LockedArtifact:
    """A line of the lock file: a Maven artifact, and the checksum and size of its file."""

    group: str
    artifact: str
    version: str
    packaging: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """File name that Maven uses."""
        return f"{self.artifact}-{self.version}.{self.packaging}"

    @property
    def coordinate(self) -> str:
        """`group:artifact:version`, followed by `:packaging` unless that is `jar`."""
        suffix = "" if self.packaging == "jar" else f":{self.packaging}"
        return f"{self.group}:{self.artifact}:{self.version}{suffix}"


def parse_lock_file(text: str) -> list[LockedArtifact]:
    """Parse the text of a lock file.

    Raises:
        ValueError: A line is not `group:artifact:version[:packaging] sha256 bytes`.
    """
    artifacts = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            coordinate, sha256, size = line.split()
            group, artifact, version, *packaging = coordinate.split(":")
            if len(packaging) > 1 or len(sha256) != 64:
                raise ValueError(coordinate)
            artifacts.append(
                LockedArtifact(
                    group, artifact, version, (packaging or ["jar"])[0], sha256, int(size)
                )
            )
        except ValueError as error:
            raise ValueError(f"line {number} of the lock file is invalid: {line}") from error
    return artifacts


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_sha256(path: Path, artifact: LockedArtifact) -> None:
    """Raise unless a file has the locked checksum; delete it in that case.

    Raises:
        EmbeddedError: The file is cut off, damaged or another file than the locked one.
    """
    actual = sha256_of(path)
    if actual != artifact.sha256:
        path.unlink()
        raise EmbeddedError(
            f"{path.name} has a wrong checksum and was deleted: sha256 {actual[:12]}…, expected "
            f"{artifact.sha256[:12]}…. Run the command again. If the error remains, the package "
            "repository or a proxy serves another file."
        )
