"""The table of docs/performance.md is made from reports, and names figures that exist."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.generated_pages.performance import BY_HAND, ROOT, Row, format_rows, measure, read_rows

BENCHMARKS = ROOT / "tests" / "benchmarks"
METHODS = ("at_most", "at_least", "note")
ROWS = [row for row in read_rows() if row.template]
REPORT: dict[str, Any] = {
    "bench": "listing",
    "made": {
        "date": "2026-12-01",
        "commit": "abc1234",
        "machine": {"cores": 2, "memory_gb": 8, "python": "3.11.7"},
    },
    "keys_per_s": {"value": 34812.4, "reach": ">= 30000", "unit": "keys/s", "ok": True},
    "share": {"value": 0.1113, "reach": "<= 0.04", "unit": "", "ok": False},
    "notes": {"keys": 1_000_000},
}
ROW = Row("listing", "30,000 keys/s", "30,000", "bench_listing.py", "2026-11-28", "cf93423")


def with_template(template: str) -> Row:
    return Row(**{**vars(ROW), "template": template})


def find_figures(benchmark: str) -> list[str]:
    """Return a pattern for the name of each figure and note that a benchmark records."""
    tree = ast.parse((BENCHMARKS / benchmark).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [
        call.args[0]
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in METHODS and call.args
    ]
    return [to_pattern(name) for name in names]


def to_pattern(name: ast.expr) -> str:
    """Return a pattern of the texts that an expression may have."""
    if isinstance(name, ast.Constant):
        return re.escape(str(name.value))
    if isinstance(name, ast.JoinedStr):
        return "".join(to_pattern(part) for part in name.values)
    return r"\w*"


@pytest.mark.parametrize("row", ROWS, ids=[row.figure[:40] for row in ROWS])
def test_a_template_names_figures_of_its_benchmark(row: Row) -> None:
    patterns = find_figures(row.benchmark)
    assert row.names
    unknown = [name for name in row.names if not any(re.fullmatch(p, name) for p in patterns)]
    assert unknown == []


def test_every_benchmark_of_the_table_exists() -> None:
    files = {row.benchmark for row in read_rows() if row.benchmark.endswith(".py")}
    assert {name for name in files if not (BENCHMARKS / name).is_file()} == set()


def test_a_report_fills_the_template_and_marks_what_it_missed() -> None:
    row = with_template("{keys_per_s:,.0f} keys/s, {share:.1%}; {keys:,} keys")
    assert measure(row, REPORT) == "34,812 keys/s, 11.1 % (**missed**); 1,000,000 keys"
    with pytest.raises(KeyError, match="gone"):
        measure(with_template("{gone:.1f} s"), REPORT)


def test_a_row_shows_its_report_or_what_was_written_by_hand() -> None:
    row = with_template("{keys_per_s:,.0f} keys/s")
    *_, line = format_rows([row], {"listing": REPORT})
    assert line == (
        "| listing | 34,812 keys/s | 30,000 | `bench_listing.py` "
        "| 2026-12-01 `abc1234`, 2 cores, 8 GB, Python 3.11.7 |"
    )
    by_hand = f"| 30,000 keys/s | 30,000 | `bench_listing.py` | 2026-11-28 `cf93423` {BY_HAND} |"
    for each, reports in ((row, {}), (ROW, {"listing": REPORT})):
        *_, line = format_rows([each], reports)
        assert line == f"| listing {by_hand}"


def test_a_benchmark_keeps_its_report(tmp_path: Path) -> None:
    code = (
        "from report import Report\n"
        "report = Report('example')\n"
        "report.at_most('slowest_s', 2.5, 2.0, 's')\n"
        "report.note('books', 10)\n"
        "report.finish()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=BENCHMARKS,
        env={**os.environ, "BENCH_RESULTS": str(tmp_path), "PYTHONPATH": str(BENCHMARKS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    kept = json.loads((tmp_path / "example.json").read_text())
    made = kept.pop("made")
    assert kept == json.loads(done.stdout)
    assert set(made) == {"date", "commit", "machine"}
    assert set(made["machine"]) == {"cores", "memory_gb", "python"}
