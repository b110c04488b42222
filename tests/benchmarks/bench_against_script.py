"""raypipe with both executors against a plain script that does the same job.

    python tests/benchmarks/bench_against_script.py [--rounds 3]

400 books of 20 kB with a call of 0.2 s each, 16 in flight, and 5,000 books of 1 kB without a model,
into a real index. The three take turns; figures are medians, and wall time is compared with that of
the script in the same run. `make compare` has the same jobs with more peers, and shares its code
with this benchmark. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report  # noqa: E402

from tests.benchmarks.compare.contenders import CONTENDERS  # noqa: E402
from tests.benchmarks.compare.results import Entry  # noqa: E402
from tests.benchmarks.compare.rounds import compare  # noqa: E402

BOOKS, SMALL_BOOKS = 400, 5_000
REACH_WALL = {"local": 1.2, "ray": 2.5}
REACH_CPU_S = {"local": 6, "ray": 20}
REACH_PSS_MB = {"local": 350, "ray": 1_200}
REACH_CALLS_PER_S = 70
REACH_DOCUMENTS_PER_S = {"local": 800, "ray": 400}
REACH_NOTHING_TO_DO_S = 1.5
REACH_RAY_FIRST_CALL_S = 7
REACH_RAY_TAIL_S = 2.5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    names = ["plain_script", "raypipe_local", "raypipe_ray"]
    contenders = [CONTENDERS[name] for name in names]
    comparison = compare(contenders, ["model", "plain"], options.rounds, (BOOKS, SMALL_BOOKS))
    report = Report("against_script")
    script = comparison.entries["plain_script"]
    note_script(report, script)
    for executor in ("local", "ray"):
        check(report, executor, comparison.entries[f"raypipe_{executor}"], script)
    report.finish()


def note_script(report: Report, script: Entry) -> None:
    """Record the figures of the script."""
    report.note("script_wall_s", median(script, "model", "wall_s"))
    report.note("script_cpu_s", median(script, "model", "cpu_s"))
    report.note("script_pss_mb", median(script, "model", "pss_mb"))
    report.note("script_calls_per_s", median(script, "model", "calls_per_s"))
    report.note("script_documents_per_s", SMALL_BOOKS / median(script, "plain", "wall_s"))


def check(report: Report, executor: str, entry: Entry, script: Entry) -> None:
    """Record the figures of raypipe with an executor."""
    wall_s = median(entry, "model", "wall_s")
    times = wall_s / median(script, "model", "wall_s")
    report.note(f"{executor}_wall_s", wall_s)
    report.at_most(f"{executor}_wall_to_script", times, REACH_WALL[executor], "×")
    cpu_s, pss_mb = median(entry, "model", "cpu_s"), median(entry, "model", "pss_mb")
    report.at_most(f"{executor}_cpu_s", cpu_s, REACH_CPU_S[executor], "s")
    report.at_most(f"{executor}_pss_mb", pss_mb, REACH_PSS_MB[executor], "MB")
    calls_per_s = median(entry, "model", "calls_per_s")
    report.at_least(f"{executor}_calls_per_s", calls_per_s, REACH_CALLS_PER_S)
    again_s = median(entry, "again", "wall_s")
    report.at_most(f"{executor}_nothing_to_do_s", again_s, REACH_NOTHING_TO_DO_S, "s")
    speed = SMALL_BOOKS / median(entry, "plain", "wall_s")
    report.at_least(f"{executor}_documents_per_s", speed, REACH_DOCUMENTS_PER_S[executor])
    if executor == "ray":
        first_call_s = median(entry, "model", "first_call_s")
        report.at_most("ray_first_call_s", first_call_s, REACH_RAY_FIRST_CALL_S, "s")
        tail_s = median(entry, "model", "tail_s")
        report.at_most("ray_tail_s", tail_s, REACH_RAY_TAIL_S, "s")


def median(entry: Entry, job: str, figure: str) -> float:
    """Return the median of a figure.

    Raises:
        SystemExit: A run was not valid.
    """
    value = entry.median(job, figure)
    if value is None:
        raise SystemExit(f"{entry.label}: no {figure} of {job}. {'; '.join(entry.problems())}")
    return value


if __name__ == "__main__":
    main()
