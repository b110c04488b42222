"""Measure raypipe beside a plain script and five frameworks, and write one table.

    python -m tests.benchmarks.compare [--peers NAME ...] [--jobs NAME ...] [--rounds 3] [--write]

Each peer gets an environment of its packages in the folder of temporary files, which is kept and
used again. One OpenSearch node and one model server serve all contenders, which take turns: A B C,
C B A, A B C. The table is printed; `--write` also replaces `docs/compare.md` and
`benchmarks/results/compare.json`. `docs/compare.md` tells what is compared.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]

from report import say  # noqa: E402

from tests.benchmarks.compare.contenders import CONTENDERS  # noqa: E402
from tests.benchmarks.compare.jobs import JOBS  # noqa: E402
from tests.benchmarks.compare.results import Comparison  # noqa: E402
from tests.benchmarks.compare.rounds import compare  # noqa: E402
from tests.benchmarks.compare.table import write_page, write_table  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "compare.json"
PAGE = ROOT / "docs" / "compare.md"


def main() -> None:
    """Measure, print, and write if it is asked for."""
    options = read_options()
    contenders = [CONTENDERS[name] for name in options.peers]
    comparison = compare(contenders, options.jobs, options.rounds, tuple(options.books))
    print(write_table(comparison))
    for entry in comparison.entries.values():
        for problem in entry.problems():
            print(f"not valid: {entry.label}, {problem}")
    results = RESULTS if options.write else Path(tempfile.gettempdir()) / "raypipe-compare.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(comparison.to_json(), indent=1, ensure_ascii=False) + "\n"
    results.write_text(text, encoding="utf-8")
    if options.write:
        # From the rounded values of the file, so that anyone can write the same page again.
        PAGE.write_text(write_page(Comparison.from_json(json.loads(text))), encoding="utf-8")
    say(f"the runs are in {results}")


def read_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="make compare ARGS=...", description=(__doc__ or "").partition("\n")[0]
    )
    names = list(CONTENDERS)
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"who takes part: {', '.join(names)}",
    )
    parser.add_argument(
        "--jobs",
        nargs="+",
        choices=list(JOBS),
        default=list(JOBS),
        metavar="NAME",
        help=f"what they do: {', '.join(JOBS)}",
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the jobs with times")
    parser.add_argument(
        "--books",
        nargs=2,
        type=int,
        default=[400, 5_000],
        metavar="N",
        help="number of books with a model, and of small books without",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="replace docs/compare.md and benchmarks/results/compare.json",
    )
    return parser.parse_args()  # fmt: skip


if __name__ == "__main__":
    main()
