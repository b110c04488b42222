"""The report of a run: what it shows, and that nothing in it acts or leaves the page."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raypipe.core.histogram import Histogram
from raypipe.ledger.checkpoint import Processed
from raypipe.ledger.facade import Ledger
from raypipe.ledger.run_history import RunState, find_run, list_run_ids, read_run
from raypipe.ledger.run_progress import RunProgress
from raypipe.ledger.run_records import report_name
from raypipe.ledger.run_statistics import load_statistics, statistics_name
from raypipe.state.local import LocalState
from raypipe.state.store import StateError
from raypipe.web.report import (
    build_report,
    find_run_before,
    write_report_of_ended_run,
)
from raypipe.web.report.bars import draw_latencies, draw_outcome, draw_sizes
from raypipe.web.report.charts import nice_step
from raypipe.web.report.curves import Curve, draw_curves, rate, time_ticks
from raypipe.web.report.facts import RunFacts, read_facts
from raypipe.web.report.page import render_report
from raypipe.web.report.texts import (
    format_bytes,
    format_change,
    format_count,
    format_number,
    format_seconds,
    format_share,
)
from tests.unit.web.html_check import CheckedPage
from tests.unit.web.stored_runs import (
    HOSTILE,
    failed_books,
    run_id_of,
    statistics_of,
    write_record,
    write_run,
    write_statistics,
)

RECORDING = Path(__file__).parents[2] / "fixtures" / "state_3c73c8f" / "state"


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    return LocalState(str(tmp_path / "state"))


def page_of(state: LocalState, name: str = "") -> str:
    run = find_run(state, name)
    return build_report(state, run, find_run_before(state, run))


def check(page: str) -> CheckedPage:
    checked = CheckedPage(page)
    assert checked.problems == []
    return checked


def test_a_report_has_all_sections_and_is_valid(state: LocalState) -> None:
    write_run(state, 1)
    write_run(state, 2)
    checked = check(page_of(state))
    headings = ("outcome", "course", "stages", "models", "books", "failures", "comparison")
    for name in (*headings, "settings"):
        assert checked.ids[name] == 1
    assert checked.tags["h1"] == checked.tags["main"] == checked.tags["nav"] == 1
    assert checked.tags["script"] == checked.tags["img"] == checked.tags["iframe"] == 0
    for text in ("done, with failed books", "10m12s", "Comparison with run 1", "Books per second",
                 "Tokens per minute", "limit of the quota", "Memory in use", "1 KiB to 2 KiB",
                 "binary: 4 books, 40 %", "in no format that raypipe reads", "summarize, p95",
                 "throttled calls", "quota.tokens_per_minute", "$1.25"):  # fmt: skip
        assert text.lower() in checked.text.lower(), text


def test_texts_of_books_and_messages_do_nothing(state: LocalState) -> None:
    write_run(state, 1)
    page = page_of(state)
    checked = check(page)
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    visible = HOSTILE.replace("\u202e", r"\u202e").replace("\x00", r"\x00").replace("\x1b", r"\x1b")
    assert visible in checked.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e]", page)


def test_secrets_are_not_in_a_report(state: LocalState) -> None:
    write_run(state, 1)
    config = state.get(f"runs/{run_id_of(1)}/config.yaml") or b""
    # As an older raypipe, which knew fewer secrets, may have written it.
    config = config.replace(b"(not kept)", b"hunter2").replace(b"user", b"https://user")
    state.put(f"runs/{run_id_of(1)}/config.yaml", config + b"password: hunter2\n")
    page = page_of(state)
    assert "hunter2" not in page
    assert "very-secret" not in page
    assert "search.example.org" in page


def test_the_policy_forbids_all_but_the_style(state: LocalState) -> None:
    write_run(state, 1)
    page = page_of(state)
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)
    policy = re.search('http-equiv="Content-Security-Policy" content="(.*?)"', page)
    assert style
    assert policy
    assert page.index("Content-Security-Policy") < page.index("<style>")
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy[1].replace("&#39;", "'") == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    assert "@import" not in style[1]
    assert "url(" not in style[1]


def test_a_run_that_works_is_shown_from_its_progress(state: LocalState) -> None:
    write_run(state, 1)
    write_statistics(state, 2)
    progress = RunProgress(
        run_id_of(2), "2026-11-28T10:12:17Z", listed=300, todo=100, done=20, failed=2, left=78,
        calls=40, tokens={"input": 5, "output": 6}, usd=0.5, rate_per_s=2.5, eta_s=90.0,
        limit="quota",
    )  # fmt: skip
    run = RunState(run_id_of(2), 2, "running", None, progress)
    checked = check(build_report(state, run, find_run_before(state, run)))
    expected = ("still works", "It ends in about 1m30s, limited by quota.", "skipped 200 (67 %)")
    for text in (*expected, "The options are recorded when the run ends.", "2 books failed so far"):
        assert text in checked.text, text


def test_a_run_that_was_killed_is_shown_with_what_it_has(state: LocalState) -> None:
    run = RunState(run_id_of(1), 1, "killed")
    checked = check(build_report(state, run, None))
    assert "ended without a record" in checked.text
    assert "unknown" in checked.text


@pytest.mark.parametrize("seq", range(1, 6))
def test_runs_of_an_older_raypipe_have_a_report(tmp_path: Path, seq: int) -> None:
    shutil.copytree(RECORDING, tmp_path / "old")
    old = LocalState(str(tmp_path / "old"))
    before = sorted(old.list())
    checked = check(page_of(old, str(seq)))
    assert "recorded no statistics" in checked.text
    assert sorted(old.list()) == before


def test_damaged_files_leave_out_their_section_only(state: LocalState) -> None:
    write_run(state, 1)
    for name, data in (("statistics.json", b"{"), ("config.yaml", b"a: [\xff")):
        state.put(f"runs/{run_id_of(1)}/{name}", data)
    checked = check(page_of(state))
    assert "recorded no statistics" in checked.text
    assert "recorded no options" in checked.text
    assert "binary" in checked.text


def test_a_resolved_failure_is_not_shown_and_a_degraded_book_is(state: LocalState) -> None:
    write_run(state, 1)
    done = [Processed(f"f{number}", "etag", "r", "i", "g", 1, 99.0) for number in (0, 3, 6, 9)]
    Ledger(state).checkpoint.append(done, 1, "t", 1)
    [degraded] = failed_books(1, 1)
    degraded = replace(degraded, kind="degraded", book_id="f0")
    Ledger(state).failures.append([degraded], 1, "t", 2)
    facts = read_facts(state, read_run(state, run_id_of(1)))
    assert sorted({book.kind for book in facts.failed}) == ["degraded", "model", "no such kind <b>"]
    assert len(facts.failed) == 7


def test_the_run_before_is_the_newest_that_processed_books(state: LocalState) -> None:
    write_record(state, 1)
    write_record(state, 2, indexed=0, failed=0)
    state.put(f"runs/{run_id_of(3)}/run.json", b"{damaged")
    write_record(state, 4)
    before = find_run_before(state, read_run(state, run_id_of(4)))
    assert before is not None
    assert before.run_seq == 1
    assert find_run_before(state, before) is None


@pytest.mark.parametrize(
    ("status", "reason", "shown"),
    [
        ("stopped", "asked to stop", "It stopped: asked to stop. Run again to continue.</p>"),
        ("stopped", "budget.max_usd=2 is spent", "is spent. Raise the budget, then run again.</p>"),
        ("error", "there is no key; set it.", "It stopped: there is no key; set it.</p>"),
    ],
)
def test_a_run_that_stopped_says_how_to_continue(
    state: LocalState, status: str, reason: str, shown: str
) -> None:
    write_record(state, 1, status=status, reason=reason)
    assert shown in page_of(state)


def test_a_run_without_statistics_gets_no_report_by_itself(state: LocalState) -> None:
    write_record(state, 1, indexed=0, failed=0)
    assert write_report_of_ended_run(state, run_id_of(1)) == ""
    assert write_report_of_ended_run(state, "") == ""
    write_statistics(state, 1)
    assert write_report_of_ended_run(state, run_id_of(1)) == report_name(run_id_of(1))
    assert list_run_ids(state) == [run_id_of(1)], "a report makes no run"


def test_a_report_that_cannot_be_written_is_a_line(
    state: LocalState, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_run(state, 1)

    def put(*args: Any, **options: Any) -> None:
        raise StateError("the disk is full")

    monkeypatch.setattr(LocalState, "put", put)
    with caplog.at_level(logging.WARNING):
        assert write_report_of_ended_run(state, run_id_of(1)) == ""
    [line] = caplog.messages
    assert "StateError: the disk is full" in line
    assert "`raypipe report` tries again" in line


def test_a_page_stays_small_whatever_failed(state: LocalState) -> None:
    write_run(state, 1)
    facts = read_facts(state, read_run(state, run_id_of(1)))
    many = RunFacts(facts.run, facts.state_uri, facts.statistics, failed_books(1, 20_000))
    assert len(render_report(many)) < 200_000


def test_curves_fit_into_their_chart() -> None:
    seconds = [float(number) for number in range(2_000)]
    curve = Curve("books", seconds, [number**1.5 for number in seconds])
    chart = draw_curves("c", "Books", [curve, Curve("one point", [0.0], [9e9])], format_count)
    assert chart is not None
    points = [tuple(map(float, each.split(","))) for each in chart.lines[0].points.split()]
    assert len(chart.lines) == 1
    assert len(points) <= 501
    assert all(chart.left <= x <= chart.right and chart.top <= y <= chart.bottom for x, y in points)
    assert points == sorted(points)
    assert len(chart.table) == 10
    assert chart.table[-1] == ["33m19s", "89,376"]
    assert draw_curves("c", "Books", [Curve("books", [], [])], format_count) is None
    still = draw_curves("c", "None", [Curve("books", [0.0, 5.0], [0.0, 0.0])], format_count)
    assert still is not None


def test_a_rate_is_the_growth_of_a_count() -> None:
    curve = rate(Curve("done", [0, 10, 20, 20, 40], [0, 20, 20, 20, 60]), "rate", per_s=60)
    assert (curve.seconds, curve.values) == ([10, 20, 40], [120, 0, 120])
    long = Curve("done", [float(n) for n in range(1_000)], [float(n) for n in range(1_000)])
    assert set(rate(long, "rate").values) == {1.0}


@pytest.mark.parametrize(
    ("end", "ticks"),
    [(5, [0, 1, 2, 3, 4, 5]), (612, [0, 120, 240, 360, 480, 600]), (9 * 86400, [0, 2, 4, 6, 8])],
)
def test_times_of_an_axis_are_round(end: float, ticks: list[int]) -> None:
    factor = 86400 if end > 86400 else 1
    assert time_ticks(end) == [tick * factor for tick in ticks]
    assert len(time_ticks(1e9)) <= 7


def test_a_short_run_has_no_peak_for_each_book() -> None:
    curve = Curve("done", [2.0 * n for n in range(40)], [float(n // 10) for n in range(40)])
    assert max(rate(curve, "rate").values) == 0.1


def test_commands_are_code(state: LocalState) -> None:
    write_run(state, 1)
    page = page_of(state)
    assert "<code>raypipe failures</code> lists" in page
    assert "`" not in page.partition("<body>")[2]


def test_stages_have_the_order_of_the_work_and_their_names_fit(state: LocalState) -> None:
    stages = ["read", "text", "summarize", "embed", "write"]
    times = Histogram(1e-4)
    times.add(90.0)
    values = statistics_of(10, 60.0)
    latencies = dict.fromkeys(["later", *reversed(stages)], times.describe())
    values["latencies"] = latencies
    state.put(statistics_name(run_id_of(1)), json.dumps(values).encode())
    read = load_statistics(state, run_id_of(1))
    assert read is not None
    assert list(read.latencies) == [*stages, "later"]
    chart = draw_latencies(read.latencies)
    assert chart is not None
    width = 7.0  # of a character
    assert all(len(tick.text) * width <= chart.left - 8 for tick in chart.rows)
    assert chart.columns[-1].text == "1m40s"
    assert len(chart.columns[-1].text) * width / 2 <= chart.width - chart.right


def test_steps_are_round_numbers() -> None:
    assert [nice_step(value) for value in (0, 0.3, 1, 23, 26, 99)] == [1, 0.5, 1, 25, 50, 100]


def test_charts_without_values_are_left_out() -> None:
    assert draw_latencies({"read": Histogram(1e-4)}) is None
    assert draw_sizes(Histogram(1.0)) is None
    assert draw_outcome([("done", 0, 1)]) is None
    zero = Histogram(1e-4)
    zero.add(0.0)
    assert draw_latencies({"read": zero}) is not None
    zero = Histogram(1.0)
    zero.add(0)
    assert draw_sizes(zero) is not None


def test_numbers_are_short() -> None:
    assert [format_seconds(each) for each in (None, 0, 0.0123, 0.9999, 2, 59.99, 7_620)] == [
        "unknown", "0 s", "12.3 ms", "1 s", "2 s", "1m00s", "2h07m"
    ]  # fmt: skip
    assert [format_bytes(each) for each in (None, 0, 999, 1_000, 2.5e9, 1e18)] == [
        "unknown", "0 B", "999 B", "1 kB", "2.5 GB", "1e+06 TB"
    ]  # fmt: skip
    assert [format_share(each) for each in (None, 0, 0.004, 0.05, 1.2)] == [
        "unknown", "0 %", "0.4 %", "5 %", "120 %"
    ]  # fmt: skip
    assert [format_change(*each) for each in ((3, 2), (1, 2), (2, 2), (1, 0), (None, 1))] == [
        "+50 %", "-50 %", "0 %", "", ""
    ]  # fmt: skip
    assert [format_number(each) for each in (None, 0, 0.01234, 12.345, 1234.5)] == [
        "unknown", "0", "0.0123", "12.3", "1,234"
    ]  # fmt: skip
