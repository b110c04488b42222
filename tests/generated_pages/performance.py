"""Generate the table of docs/performance.md from benchmarks/rows.json and benchmarks/results/.

A row has a template such as `{keys_per_s:,.0f} keys/s` with figures and notes of its benchmark. If
`benchmarks/results/` has a report of the benchmark, which `make bench RESULTS=benchmarks/results`
writes, the row shows that report. Otherwise it shows what a person wrote down at an earlier commit.
The text of the page beside its table is written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.generated_pages.markdown import format_table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"
ROWS = ROOT / "benchmarks" / "rows.json"
RESULTS = ROOT / "benchmarks" / "results"

HEADER = ("figure", "measured", "goal", "benchmark", "when")
BY_HAND = "†"
"""Marks a row without a report."""
_MISSED = " (**missed**)"
_NAME = re.compile(r"\{(\w+)")


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        figure: What is measured.
        measured: What a person wrote down.
        goal: The goal; empty for a figure without one.
        benchmark: File of the benchmark, or a command.
        date: Day of the commit that has `measured`.
        commit: That commit.
        template: Text with the names of figures; empty if a person has to write the row.
    """

    figure: str
    measured: str
    goal: str
    benchmark: str
    date: str
    commit: str
    template: str = ""

    @property
    def names(self) -> list[str]:
        """Return the names of the figures in the template."""
        return _NAME.findall(self.template)

    @property
    def report_name(self) -> str:
        """Return the name of the benchmark's report, without `.json`."""
        return self.benchmark.removeprefix("bench_").removesuffix(".py")


def read_rows(path: Path = ROWS) -> list[Row]:
    """Return the rows in the order of the table."""
    return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def read_reports(folder: Path = RESULTS) -> dict[str, Mapping[str, Any]]:
    """Return the reports of benchmarks, by the name of the benchmark."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return {report["bench"]: report for report in found if "bench" in report}


def format_page() -> str:
    """Return the page with the table made again."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(f"\n| {HEADER[0]} |")
    after = rest.partition("\n\n")[2]
    return "\n".join([before.rstrip("\n"), *format_rows(read_rows(), read_reports()), "", after])


def format_rows(rows: list[Row], reports: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table."""
    cells = []
    last = ""
    for row in rows:
        report = reports.get(row.report_name) if row.template else None
        if report is None:
            measured, when = row.measured, f"{row.date} `{row.commit}` {BY_HAND}"
        else:
            measured, when = measure(row, report), _describe(report["made"])
        benchmark = "" if row.benchmark == last else f"`{row.benchmark}`"
        last = row.benchmark
        cells.append((row.figure, measured, row.goal, benchmark, when))
    return format_table(HEADER, cells)


def measure(row: Row, report: Mapping[str, Any]) -> str:
    """Return what a report has for a row; `missed` marks each value that missed its goal.

    Raises:
        KeyError: The report lacks a figure of the template.
    """
    # A separator is followed by a space; a comma in a number or a format is not.
    parts = re.split(r"([,;] )", row.template)
    return "".join(_fill(part, report) if "{" in part else part for part in parts)


def _fill(part: str, report: Mapping[str, Any]) -> str:
    figures = {name: report.get(name) or report["notes"][name] for name in _NAME.findall(part)}
    values = {
        name: figure["value"] if isinstance(figure, dict) else figure
        for name, figure in figures.items()
    }
    text = re.sub(r"(?<=\d)%", " %", part.format(**values))
    is_missed = any(isinstance(figure, dict) and not figure["ok"] for figure in figures.values())
    return text + (_MISSED if is_missed else "")


def _describe(made: Mapping[str, Any]) -> str:
    machine = made["machine"]
    return (
        f"{made['date']} `{made['commit']}`, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"Python {machine['python']}"
    )
