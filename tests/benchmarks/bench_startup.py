"""How long a person waits for help: whole processes, from the start of Python to its end.

Also looks at what they import: none of it may be Ray. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from processes import environment
from report import Report

REACH_S = 0.5
LINES = {"help": ["--help"], "cfg_job": ["--cfg", "job"], "run_help": ["run", "--help"]}
REACHED = ("help", "cfg_job")
"""The others are only noted: help of a command also makes its config, as `run` does."""

HEAVY = ("ray", "boto3", "opensearchpy", "wordllama", "numpy", "pyarrow", "moto")


def seconds(args: list[str], cwd: str) -> float:
    """Run a command line once; returns how long it took."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "raypipe", *args]
    subprocess.run(command, cwd=cwd, env=environment(), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def cpu_seconds() -> float:
    """Return the CPU time of all ended children: what a run takes on an idle machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def heavy_imports(args: list[str], cwd: str) -> list[str]:
    """Return which heavy packages a command line imports."""
    command = [sys.executable, "-X", "importtime", "-m", "raypipe", *args]
    done = subprocess.run(
        command, cwd=cwd, env=environment(), check=True, capture_output=True, text=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "raypipe" in imported, done.stderr[:500]
    return [name for name in HEAVY if name in imported]


def main() -> None:
    """Run the benchmark; exit with 1 if a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    report = Report("startup")
    with tempfile.TemporaryDirectory(prefix="raypipe-startup-") as cwd:
        for name, args in LINES.items():
            seconds(args, cwd)  # the first writes Python's bytecode
            before = cpu_seconds()
            taken = [seconds(args, cwd) for _ in range(rounds)]
            report.note(f"{name}_cpu_s", (cpu_seconds() - before) / rounds)
            if name in REACHED:
                unit = f"s, median of {rounds}"
                report.at_most(f"{name}_s", statistics.median(taken), REACH_S, unit)
            else:
                report.note(f"{name}_s", statistics.median(taken))
            report.note(f"{name}_best_s", min(taken))
            report.at_most(f"{name}_heavy_imports", len(heavy_imports(args, cwd)), 0)
    report.finish()


if __name__ == "__main__":
    main()
