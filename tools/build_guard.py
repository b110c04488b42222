"""Compile the plugin of the embedded node into `loopback_guard.jar`.

Run `python tools/build_guard.py` after changing the source or OpenSearch's version. The Java
runtime of raypipe has no compiler, so this uses Eclipse's, which is a single jar. The same
source always gives the same bytes.
"""

from __future__ import annotations

import subprocess
import tempfile
import zipfile
from pathlib import Path

from raypipe.embedded.guard import JAR, SOURCE
from raypipe.embedded.jars import ensure_jars
from raypipe.embedded.java import java_environment, packaged_java

COMPILER = ("org.eclipse.jdt", "ecj", "3.43.0")
JAVA_VERSION = "21"
"""The version for which OpenSearch 3 is compiled."""
_TIME = (1980, 1, 1, 0, 0, 0)


def compile_guard(classes: Path) -> None:
    """Compile the source into a folder.

    Raises:
        subprocess.CalledProcessError: The source has an error; the compiler has printed it.
    """
    from jgo.maven import MavenContext

    group, name, version = COMPILER
    with tempfile.TemporaryDirectory() as scratch:
        context = MavenContext(repo_cache=Path(scratch))
        compiler = context.project(group, name).at_version(version).artifact().resolve()
        subprocess.run(
            [
                *(packaged_java(), "-jar", compiler, "-proc:none", "-g:none", "-nowarn"),
                *("-source", JAVA_VERSION, "-target", JAVA_VERSION),
                *("-classpath", ":".join(map(str, sorted(ensure_jars().glob("*.jar"))))),
                *("-d", classes, SOURCE),
            ],
            check=True,
            env=java_environment(),
        )


def write_jar(jar: Path) -> None:
    """Compile the source and write the classes, and the source that they come from, to a jar."""
    with tempfile.TemporaryDirectory() as folder:
        classes = Path(folder)
        compile_guard(classes)
        files = {path.relative_to(classes).as_posix(): path for path in classes.rglob("*.class")}
        files[SOURCE.name] = SOURCE
        with zipfile.ZipFile(jar, "w") as archive:
            for name, path in sorted(files.items()):
                entry = zipfile.ZipInfo(name, _TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())


if __name__ == "__main__":
    write_jar(JAR)
