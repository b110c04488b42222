"""What every benchmark prints: lines while it works, and one JSON object at the end."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
RESULTS = "BENCH_RESULTS"
"""Environment variable with a folder that keeps the reports: `make bench RESULTS=...` sets it."""


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
        """Print the JSON line, keep it in the folder of `RESULTS`; exit 1 for a missed figure."""
        ok = all(figure["ok"] for figure in self.figures.values())
        report = {"bench": self.name, **self.figures, "notes": self.notes, "ok": ok}
        print(json.dumps(report))
        if folder := os.environ.get(RESULTS):
            text = json.dumps({"made": describe_origin(), **report}, indent=1) + "\n"
            (Path(folder) / f"{self.name}.json").write_text(text, encoding="utf-8")
        raise SystemExit(0 if ok else 1)

    def _add(self, name: str, value: float, reach: str, ok: bool, unit: str) -> None:
        self.figures[name] = {"value": round(value, 4), "reach": reach, "unit": unit, "ok": ok}
        say(f"{name}: {value:.4g} {unit} (reach {reach}) {'ok' if ok else 'MISSED'}")


def describe_origin() -> Mapping[str, Any]:
    """Return when, where and from what a benchmark was made."""
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"],
        capture_output=True,
        check=False,
        text=True,
    ).stdout.strip()
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
