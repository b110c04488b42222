"""What people read about money: `raypipe costs`, the table of `plan -m`, durations and dollars."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from raypipe.cli.report import format_report
from raypipe.core.units import format_duration, format_usd
from raypipe.ledger.answer_cache import AnswerCache, cache_key
from raypipe.ledger.call_usage import CallUsage
from raypipe.ledger.failure_log import FailureLog
from raypipe.ledger.run_records import RunRecord
from raypipe.ledger.usage import mark_run, usage_by_model
from raypipe.state.local import LocalState
from raypipe.state.store import state_id
from tests.unit.command_line import RunCommandLine

pytestmark = pytest.mark.usefixtures("isolated_hydra", "no_services")

RECORDING = Path(__file__).parents[2] / "fixtures" / "state_3c73c8f"
NOVA = "amazon.nova-pro-v1:0"


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    state = LocalState(str(tmp_path / "state"))
    state_id(state)
    mark_run(state, 1)
    return state


def pay(
    state: LocalState, prompt: str, model: str = NOVA, profile: str = "", tier: str = "default"
) -> None:
    key = cache_key({"operation": "chat", "model": model, "body": prompt})
    usage = CallUsage("chat", model, 1_000_000, 100_000, profile=profile, tier=tier)
    AnswerCache(state).group("book").put(key, {"text": prompt}, usage, dict)


def test_costs_are_summed_by_day_model_and_tier(
    state: LocalState, run_command_line: RunCommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raypipe.ledger.usage_log.time.strftime", lambda *_: "2026-11-26")
    pay(state, "one")
    pay(state, "two", tier="flex")
    usage_by_model(state, 1)  # a run with a budget adds the log to the kept sums
    monkeypatch.setattr("raypipe.ledger.usage_log.time.strftime", lambda *_: "2026-11-27")
    pay(state, "three")
    pay(state, "four")
    pay(state, "five", profile=f"eu.{NOVA}")
    pay(state, "six", model="own-model")
    before = sorted(state.list())
    code, out, err = run_command_line("costs", f"state.uri={state.root}")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["day", "model", "service", "tier", "calls", "tokens", "in", "tokens", "out", "cost"],
        f"2026-11-26 {NOVA} default 1 1,000,000 100,000 $1.12".split(),
        f"2026-11-26 {NOVA} flex 1 1,000,000 100,000 $0.56".split(),
        f"2026-11-27 {NOVA} default 2 2,000,000 200,000 $2.24".split(),
        f"2026-11-27 eu.{NOVA} default 1 1,000,000 100,000 $1.47".split(),
        ["2026-11-27", "own-model", "default", "1", "1,000,000", "100,000", "unknown"],
        ["total", "6", "6,000,000", "600,000", "$5.39"],
        [
            "prices",
            "of",
            "2026-11-23;",
            "1",
            "of",
            "5",
            "rows",
            "have",
            "no",
            "price",
            "and",
            "are",
            "not",
            "in",
            "the",
            "total",
        ],
    ]
    assert sorted(state.list()) == before, "nothing is written"


def test_costs_of_an_older_state_count_every_token(
    run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    shutil.copytree(RECORDING / "state", tmp_path / "old")
    code, out, _ = run_command_line("costs", f"state.uri={tmp_path / 'old'}", "output=json")
    rows = json.loads(out)["costs"]
    assert code == 0
    assert {row["service_tier"] for row in rows} == {"default"}
    assert {row["day"] for row in rows} <= {"", "2026-11-27"}
    summed = usage_by_model(LocalState(str(tmp_path / "old")), 100)
    tokens = sum(usage.input_tokens + usage.output_tokens for usage in summed)
    assert sum(row["input_tokens"] + row["output_tokens"] for row in rows) == tokens > 0


def test_costs_without_calls_or_state(
    state: LocalState, run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    code, out, _ = run_command_line("costs", f"state.uri={state.root}")
    assert (code, out) == (0, "no model call was paid for in this state\n")
    code, _, err = run_command_line("costs", f"state.uri={tmp_path / 'none'}")
    assert code == 1
    assert "there is no state at" in err


def test_a_multirun_of_plan_prints_one_table(
    run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    books = tmp_path / "books"
    books.mkdir()
    (books / "a.txt").write_text("A tale of the sea and of the storm. " * 200)
    options = ["storage=local", f"storage.path={books}", "opensearch=none", "summarizer=openai"]
    options += ["quota.tokens_per_minute=1000", "summarizer.model.service_tier=flex,priority,null"]
    code, out, err = run_command_line("plan", "-m", *options)
    assert (code, err) == (0, "")
    listed, headings, *rows, prices = out.splitlines()
    assert listed.startswith("listed 1 = ")
    assert headings.split() == ["options", "calls", "tokens", "in", "tokens", "out", "cost", "time"]
    labels = [f"summarizer.model.service_tier={tier}" for tier in ("flex", "priority", "null")]
    assert [row.split()[0] for row in rows] == labels
    assert [row.split()[4] for row in rows] == ["unknown", "$0.0036", "$0.0021"]
    assert len({row[: row.index(" ")] for row in rows}) == 3
    assert all(row.endswith(" minutes") for row in rows)
    assert prices.startswith("prices of 2026-")

    code, out, _ = run_command_line("plan", *options[:-1], "summarizer.model.service_tier=flex")
    assert "models  gpt-4.1-mini at service_tier=flex: about 1 calls" in out
    assert "has no price of gpt-4.1-mini at service_tier=flex" in out
    assert "minutes at the quota" in out


def test_a_run_names_its_models_and_tiers(tmp_path: Path) -> None:
    used = {"calls": 3, "cached_calls": 0, "input_tokens": 10, "output_tokens": 5, "usd": 0.5}
    record = RunRecord("1", 1, model_calls=3, input_tokens=10, output_tokens=5, usd=0.5)
    record.seconds = 754.0
    record.models = [{"model": NOVA, "service_tier": "default", **used}]
    failures = FailureLog(LocalState(str(tmp_path)))
    text = format_report(record, None, failures)
    assert "in 12.6 minutes, 3 model calls" in text
    assert NOVA not in text
    record.models[0]["service_tier"] = "flex"
    text = format_report(record, None, failures)
    assert f"{NOVA} at service_tier=flex: 3 calls, 10 tokens in, 5 out, $0.50" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (60, "1.0 minutes"),
        (3_599, "60.0 minutes"),
        (3_600, "1.0 hours"),
        (3_600_000, "1,000.0 hours"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_dollars() -> None:
    assert [format_usd(usd) for usd in (None, 0.0, 0.00123, 0.01, 1234.5)] == [
        *("unknown", "$0.00", "$0.0012", "$0.01", "$1,234.50")
    ]
