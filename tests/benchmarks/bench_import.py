"""How long `import raypipe` takes: whole processes, without the time of an empty interpreter.

Also looks at what it imports: no heavy library. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

from processes import environment
from report import Report

REACH_S = 0.1
HEAVY = ("ray", "pyarrow", "hydra", "omegaconf", "opensearchpy", "numpy", "boto3", "yaml")
EMPTY, IMPORT = "pass", "import raypipe"
MODULES = "import raypipe, sys; print('\\n'.join(sys.modules))"


def seconds(code: str, cwd: str) -> float:
    """Run an interpreter once; return how long it took."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment(), check=True)
    return time.perf_counter() - began


def heavy_imports(cwd: str) -> list[str]:
    """Return which heavy packages the import loads."""
    command = [sys.executable, "-c", MODULES]
    done = subprocess.run(
        command, cwd=cwd, env=environment(), check=True, capture_output=True, text=True
    )
    loaded = done.stdout.split()
    assert "raypipe" in loaded, done.stdout
    return [name for name in HEAVY if name in loaded]


def main() -> None:
    """Run the benchmark; exit with 1 if a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    report = Report("import")
    with tempfile.TemporaryDirectory(prefix="raypipe-import-") as cwd:
        seconds(IMPORT, cwd)  # the first writes Python's bytecode
        pairs = [(seconds(EMPTY, cwd), seconds(IMPORT, cwd)) for _ in range(rounds)]
        empty, whole = (statistics.median(column) for column in zip(*pairs, strict=True))
        report.note("empty_interpreter_s", empty)
        report.at_most("import_s", whole - empty, REACH_S, f"s, median of {rounds}")
        report.at_most("heavy_imports", len(heavy_imports(cwd)), 0)
    report.finish()


if __name__ == "__main__":
    main()
