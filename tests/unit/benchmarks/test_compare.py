"""The parts of `make compare` that need no server and no peer: figures, medians and the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.compare.books import find_bad, find_numbers
from tests.benchmarks.compare.environments import REQUIREMENTS, read_packages
from tests.benchmarks.compare.results import (
    Comparison,
    Entry,
    Run,
    count_paid_twice,
    summarize_calls,
)
from tests.benchmarks.compare.table import write_page, write_table

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarks" / "results" / "compare.json"
MADE = {
    "date": "2026-11-28",
    "commit": "abc1234",
    "machine": {"cores": 2, "memory_gb": 4, "python": "3.12.1"},
    "rounds": 3,
    "books": [400, 5_000],
}


def make_run(wall_s: float = 6.0, **more: object) -> Run:
    figures = {
        "began_at": 100.0, "exit_code": 0, "cpu_s": 2.0, "pss_mb": 200.0, "processes": 1,
        "ended_late": 0, "documents": 400, "bulk_requests": 4, "calls": 400,
    }  # fmt: skip
    return Run(wall_s=wall_s, **{**figures, **more})  # type: ignore[arg-type]


def make_comparison(**runs: dict[str, list[Run]]) -> Comparison:
    entries = {name: Entry(name, "somehow", {"lib": "1.0"}, each) for name, each in runs.items()}
    return Comparison(MADE, entries)


def find_row(table: str, title: str) -> list[str]:
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return next(row[1:] for row in rows if row[0] == title)


def make_call(prompt: str, sent_at: float, status: int = 200) -> dict[str, object]:
    return {"prompt": prompt, "sent_at": sent_at, "answered_at": sent_at + 0.2, "status": status}


def test_the_table_shows_medians_and_the_spread_of_times() -> None:
    rounds = [make_run(wall_s, cpu_s=wall_s / 2) for wall_s in (9.0, 6.0, 6.4)]
    table = write_table(make_comparison(a={"model": rounds}, b={"model": [make_run(7.0)]}))
    assert find_row(table, "whole command, s") == ["**6.4 (6.0–9.0)**", "7.0"]
    assert find_row(table, "CPU of all processes, s") == ["3.2", "**2.0**"]


def test_the_best_value_is_bold_also_when_a_peer_has_it() -> None:
    slow, fast = make_run(10.0, calls_per_s=60.0), make_run(5.0, calls_per_s=80.0)
    table = write_table(make_comparison(raypipe={"model": [slow]}, peer={"model": [fast]}))
    assert find_row(table, "whole command, s") == ["10.0", "**5.0**"]
    assert find_row(table, "calls/s, first to last") == ["60", "**80**"]


def test_equal_values_are_all_best_and_none_is_bold_where_all_are_equal() -> None:
    runs = {name: {"kill": [make_run(lost=0, paid_twice=number)]} for name, number in
            (("a", 0), ("b", 0), ("c", 4))}  # fmt: skip
    table = write_table(make_comparison(**runs))
    assert find_row(table, "calls paid twice") == ["**0**", "**0**", "4"]
    assert find_row(table, "books missing") == ["0", "0", "0"]


def test_documents_a_second_are_those_of_the_whole_command() -> None:
    rounds = [make_run(wall_s) for wall_s in (5.0, 10.0, 4.0)]
    table = write_table(make_comparison(a={"plain": rounds}))
    assert find_row(table, "documents/s, whole command") == ["1,000 (500–1,250)"]


def test_one_invalid_run_leaves_a_contender_out_of_a_job_and_the_page_tells_why() -> None:
    bad = make_run(1.0, documents=399, problem="399 documents for 400 books")
    comparison = make_comparison(a={"model": [make_run(6.0), bad]}, b={"model": [make_run(7.0)]})
    page = write_page(comparison)
    assert find_row(page, "whole command, s") == ["–", "7.0"]
    assert "- a, model: 399 documents for 400 books" in page


def test_a_job_that_nobody_did_has_no_rows() -> None:
    table = write_table(make_comparison(a={"model": [make_run()]}))
    assert "nothing to do" not in table
    assert "SIGKILL" not in table


def test_a_comparison_survives_json() -> None:
    comparison = make_comparison(a={"model": [make_run(6.12345, problem="x")]}, b={})
    text = json.dumps(comparison.to_json())
    again = Comparison.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    assert again.entries["a"].runs["model"][0].wall_s == 6.123


def test_calls_are_counted_from_the_first_to_the_last_answer() -> None:
    calls = [make_call("a", 102.0), make_call("b", 103.8), make_call("c", 101.0, status=400)]
    figures = summarize_calls(calls, began_at=100.0, wall_s=7.0)
    assert figures == {
        "calls": 2,
        "calls_per_s": pytest.approx(1.0),
        "first_call_s": pytest.approx(2.0),
        "tail_s": pytest.approx(3.0),
    }
    assert summarize_calls([], 100.0, 7.0) == {"calls": 0}


def test_a_call_is_paid_twice_if_an_answer_was_sent_before() -> None:
    lost_in_the_kill = make_call("c", 3.0, status=0)
    calls = [make_call("a", 9.0), make_call("a", 1.0), make_call("b", 2.0), lost_in_the_kill,
             make_call("c", 8.0), make_call("a", 9.5)]  # fmt: skip
    assert count_paid_twice(calls) == 2


def test_books_are_found_by_their_names() -> None:
    texts = ['{"path": "/x/The_Book_00012__by__Author_12.txt"}', '{"title": "The_Book_00400_"}', ""]
    assert find_numbers(texts) == {12, 400}


def test_five_books_are_refused_and_five_are_no_text() -> None:
    bad = find_bad(400)
    assert sorted(bad.values()) == [False] * 5 + [True] * 5
    assert max(bad) < 400


def test_each_peer_has_pinned_packages() -> None:
    peers = {path.stem for path in REQUIREMENTS.with_name("peers").glob("*.py")} - {"shared"}
    assert peers == {path.stem for path in REQUIREMENTS.glob("*.txt")}
    for path in REQUIREMENTS.glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert len(read_packages(text)) == text.count("=="), path.name


def test_a_package_is_read_without_its_extras() -> None:
    assert read_packages("# why\nsycamore-ai[opensearch]==0.1.34\n\nray==2.60.0\n") == [
        "sycamore-ai",
        "ray",
    ]


@pytest.mark.skipif(not RESULTS.exists(), reason="nothing was measured yet")
def test_the_page_in_docs_is_that_of_the_committed_results() -> None:
    comparison = Comparison.from_json(json.loads(RESULTS.read_text(encoding="utf-8")))
    assert (ROOT / "docs" / "compare.md").read_text(encoding="utf-8") == write_page(comparison)
