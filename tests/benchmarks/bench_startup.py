"""How long a person waits for help: whole processes, from the start of Python to its end.

Each is followed by a process that only imports what the command line cannot do without. The ratio
of their CPU times does not depend on the machine, so a loss of 20 % shows. Also looks at what the
command lines import: none of it may be Ray. The last line is one JSON object.
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
BASES = {"help": "import re, logging, dataclasses", "cfg_job": "import hydra.main, yaml"}
"""Imports that the figures are compared with."""
REACH_RATIOS = {"help": 1.95, "cfg_job": 2.65}
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
            taken, cpu, ratios = [], [], []
            for _ in range(rounds):
                before = cpu_seconds()
                taken.append(seconds(args, cwd))
                cpu.append(cpu_seconds() - before)
                if name in BASES:
                    before = cpu_seconds()
                    subprocess.run([sys.executable, "-c", BASES[name]], check=True)
                    ratios.append(cpu[-1] / (cpu_seconds() - before))
            report.note(f"{name}_cpu_s", statistics.median(cpu))
            if name in REACHED:
                unit = f"s, median of {rounds}"
                report.at_most(f"{name}_s", statistics.median(taken), REACH_S, unit)
                ratio = statistics.median(ratios)
                report.at_most(f"{name}_to_imports", ratio, REACH_RATIOS[name], "x CPU, median")
            else:
                report.note(f"{name}_s", statistics.median(taken))
            report.note(f"{name}_best_s", min(taken))
            report.at_most(f"{name}_heavy_imports", len(heavy_imports(args, cwd)), 0)
    report.finish()


if __name__ == "__main__":
    main()
