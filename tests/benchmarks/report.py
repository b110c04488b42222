"""What every benchmark prints: lines while it works, and one JSON object at the end.

With the environment variable `BENCH_RESULTS`, the object is also written to `<name>.json` in that
folder, with date, commit and machine: `BENCH_RESULTS=benchmarks/results make bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]


@dataclass
class Report:
    """Figures with their reach; `finish` prints the JSON line and exits."""

    name: str
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def at_most(self, name: str, value: float, reach: float, unit: str = "") -> None:
        """Record a figure that must not be above its reach."""
        self._add(name, value, f"<= {reach:g}", value <= reach, unit)

    def at_least(self, name: str, value: float, reach: float, unit: str = "") -> None:
        """Record a figure that must not be below its reach."""
        self._add(name, value, f">= {reach:g}", value >= reach, unit)

    def note(self, name: str, value: Any) -> None:
        """Record something measured that has no reach."""
        self.notes[name] = round(value, 4) if isinstance(value, float) else value
        say(f"{name}: {self.notes[name]}")

    def finish(self) -> None:
        """Print the JSON line, and write it if results are kept; exit 1 if a figure was missed."""
        ok = all(figure["ok"] for figure in self.figures.values())
        result = {"bench": self.name, **self.figures, "notes": self.notes, "ok": ok}
        if folder := os.environ.get("BENCH_RESULTS"):
            path = Path(folder) / f"{self.name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"made": describe_origin(), **result}, indent=1) + "\n")
        print(json.dumps(result))
        raise SystemExit(0 if ok else 1)

    def _add(self, name: str, value: float, reach: str, ok: bool, unit: str) -> None:
        self.figures[name] = {"value": round(value, 4), "reach": reach, "unit": unit, "ok": ok}
        say(f"{name}: {value:.4g} {unit} (reach {reach}) {'ok' if ok else 'MISSED'}")


def describe_origin() -> dict[str, Any]:
    """Return the date, the commit and the machine of a measurement."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(git, capture_output=True, check=False, text=True).stdout.strip()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit or "unknown",
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "memory_gb": round(psutil.virtual_memory().total / 1e9),
            "python": platform.python_version(),
        },
    }


def parse_books_folder(description: str | None) -> Path:
    """Return the folder of the eight real books, which are not part of the project.

    Args:
        description: What `--help` says about the benchmark.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--books", type=Path, default=ROOT.parent / "shared" / "books")
    folder: Path = parser.parse_args().books
    if not list(folder.glob("*.txt")):
        raise SystemExit(f"no books in {folder}; give --books FOLDER")
    return folder


def say(line: str) -> None:
    """Print a line of progress."""
    print(line, file=sys.stderr, flush=True)
