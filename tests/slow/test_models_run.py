"""Whole runs against the model server: what is paid, kept, stopped and told."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raypipe import embedded
from raypipe.ledger.answer_cache import list_entries, read_usage
from raypipe.simulator.model_server import ModelServer
from raypipe.simulator.options import LatencyOptions, ModelOptions
from raypipe.state.local import LocalState
from tests.integration.raypipe_command import Project, wait_for
from tests.unit.models_here import model_server

MODEL, EMBEDDER = "amazon.nova-lite-v1:0", "amazon.titan-embed-text-v2:0"
UNPRICED = "acme.teller-v1:0"
SECRET = "planted-4f1c9a"
FOLDER = Path(embedded.__file__).parent / "samples"
SAMPLES = [
    "Fables_of_the_Crooked_Wood__by__Poppy_Larkin.txt",
    "Letters_from_the_Orchid_House__by__Augusta_Fenwick.txt",
    "The_Lake_That_Was_Not_There__by__Ione_Castellan.txt",
    "stovepipe-lookout-diary.txt",
]
BOOKS = len(SAMPLES)
CHECKS = 1
"""Calls of a few tokens to each model before the first book."""


@pytest.fixture
def models() -> Iterator[ModelServer]:
    known = ModelOptions(known=[MODEL, EMBEDDER, UNPRICED])
    with model_server(latency=LatencyOptions(base_s=0.1), model=known) as server:
        yield server


@pytest.fixture
def paid(project: Project, models: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    for sample in SAMPLES:
        shutil.copy(FOLDER / sample, project.books)
    return project


def args(project: Project, *more: str) -> list[str]:
    return [
        "storage=local", f"storage.path={project.books}", f"state.uri={project.state}",
        "summarizer=bedrock", "summarizer.model.structured=true", "summarizer.chunk_tokens=300",
        "embedder=bedrock_titan", "embedder.model.dimension=256", "opensearch=none",
        "executor=local", "output=json", *more,
    ]  # fmt: skip


def record_of(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.stdout())
    return found


def everything_under(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def test_a_budget_stops_a_run_and_a_higher_one_goes_on_without_paying_twice(
    paid: Project, models: ModelServer
) -> None:
    plan = json.loads(paid.command("plan", *args(paid)))
    assert (plan["new"], plan["model"]) == (BOOKS, MODEL)
    most = (plan["input_tokens"] + plan["output_tokens"]) // 2
    paid.command("run", *args(paid, f"budget.max_tokens={most}"), code=4)
    stopped = record_of(paid)
    assert "budget" in stopped["reason"]
    assert stopped["left"] > 0
    assert stopped["failed"] == 0
    assert 0 < stopped["input_tokens"] + stopped["output_tokens"] <= most
    paid.command("run", *args(paid, "budget.max_usd=1"))
    whole = record_of(paid)
    assert (whole["finished"] + whole["skipped"], whole["failed"], whole["left"]) == (BOOKS, 0, 0)
    stats = models.stats()
    calls = stopped["model_calls"] + whole["model_calls"]
    # The embedder is checked in each run, the chat model is paid for in the first only.
    assert calls < stats["answered"] <= calls + 2 * CHECKS * 2
    assert stats["repeated_prompts"]["tokens"] <= 6 * CHECKS * 40  # the embedder's own
    checks = sum(
        entry["usage"][name]
        for entry in map(json.loads, _read_all(paid.state / "cache" / "check"))
        for name in ("input_tokens", "output_tokens")
    )
    tokens = sum(one["input_tokens"] + one["output_tokens"] for one in (stopped, whole))
    answered = stats["tokens"]["input"] + stats["tokens"]["output"]
    assert abs(tokens + checks - answered) <= 4 * CHECKS * 60
    # 0.06 and 0.24 dollars a million tokens of the chat model, 0.02 of the embedder.
    assert 0 < whole["usd"] < tokens * 0.24e-6
    assert [str(path) for path in everything_under(paid.folder) if SECRET in _text(path)] == []


def _read_all(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.glob("*.json")]


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def test_a_killed_run_pays_again_only_for_what_was_in_flight(
    paid: Project, models: ModelServer
) -> None:
    models.control(latency={"base_s": 1.0})
    process = paid.start("run", *args(paid, "quota.max_in_flight=4"))
    wait_for(lambda: models.stats()["answered"] > CHECKS * 2 + 8)
    process.send_signal(signal.SIGKILL)
    process.wait()
    paid.wait_until_processes_end(killed=True)
    models.control(latency={"base_s": 0.05})
    paid.command("run", *args(paid))
    whole = record_of(paid)
    assert (whole["finished"] + whole["skipped"], whole["failed"], whole["left"]) == (BOOKS, 0, 0)
    assert whole["cached_calls"] >= 4
    again = models.stats()["repeated_prompts"]["calls"]
    assert again <= 4 + 2 * CHECKS  # four in flight, and the checks


def test_what_the_model_will_not_summarize_is_degraded_and_done_again(
    paid: Project, models: ModelServer
) -> None:
    fallback = "summarizer.fallback=extractive"
    script = [{"fault": "refusal", "contains": "Stovepipe", "times": 50}]
    models.control(faults={"script": script})
    paid.command("run", *args(paid, fallback), code=3)
    record = record_of(paid)
    assert (record["finished"], record["failed"], record["degraded"]) == (BOOKS, 0, 1)
    (row,) = paid.failures(record["run_seq"]).values()
    assert (row["kind"], row["retryable"]) == ("degraded", True)
    models.control(faults={"script": []})
    paid.command("retry", *args(paid, fallback))
    assert (record_of(paid)["finished"], record_of(paid)["degraded"]) == (1, 0)


def test_a_book_with_hopeless_answers_is_paid_for_in_three_runs(
    paid: Project, models: ModelServer
) -> None:
    models.control(
        latency={"base_s": 0.0},
        faults={"script": [{"fault": "empty", "contains": "Stovepipe", "times": 9_999}]},
    )
    calls, tokens = [], []
    for code in (3, 3, 3, 0):
        paid.command("run", *args(paid), code=code)
        record = record_of(paid)
        calls.append(record["model_calls"])
        tokens.append(record["input_tokens"] + record["output_tokens"])
        for row in paid.failures(record["run_seq"]).values():
            assert (row["kind"], row["retryable"]) == ("bad_answer", True)
    assert calls[1] > 0
    assert (calls[3], record["known_failures"]) == (0, 1)
    # Budgets count every call, also those without a usable answer.
    state = LocalState(str(paid.state))
    names = [name for name in list_entries(state) if not name.startswith("cache/check/")]
    usages = [usage for _, usage in read_usage(state, names)]
    assert sum(usage.input_tokens + usage.output_tokens for usage in usages) == sum(tokens)


@pytest.mark.parametrize(
    ("more", "env", "said"),
    [
        (["summarizer.model_id=amazon.nova-litle-v1:0"], {}, ["amazon.nova-litle-v1:0"]),
        ([], {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, ["credentials"]),
        (["quota.tokens_per_minute=500"], {}, ["quota.tokens_per_minute=500"]),
        (["budget.max_usd=5", f"summarizer.model_id={UNPRICED}"], {}, ["price", UNPRICED]),
    ],
    ids=["model", "credentials", "quota", "price"],
)
def test_what_makes_every_call_fail_is_one_line_before_the_first_book(
    paid: Project,
    models: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
    env: dict[str, str],
    said: list[str],
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(paid.folder))
    paid.command("run", *args(paid, *more), code=1)
    (line,) = [one for one in paid.stderr().splitlines() if one.startswith("raypipe: ")]
    assert all(word in line for word in said), line
    assert "Traceback" not in paid.stderr()
    assert models.stats()["answered"] <= 2 * CHECKS
    assert not list((Path(os.fspath(paid.state)) / "cache").glob("*/*"))
