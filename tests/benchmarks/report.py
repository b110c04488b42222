"""What every benchmark prints: lines while it works, and one JSON object at the end."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
        """Print the JSON line; exit 1 if a figure was missed."""
        ok = all(figure["ok"] for figure in self.figures.values())
        print(json.dumps({"bench": self.name, **self.figures, "notes": self.notes, "ok": ok}))
        raise SystemExit(0 if ok else 1)

    def _add(self, name: str, value: float, reach: str, ok: bool, unit: str) -> None:
        self.figures[name] = {"value": round(value, 4), "reach": reach, "unit": unit, "ok": ok}
        say(f"{name}: {value:.4g} {unit} (reach {reach}) {'ok' if ok else 'MISSED'}")


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
