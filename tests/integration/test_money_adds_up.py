"""Tokens and dollars of the documents, of the runs and of `raypipe costs` are the same.

`raypipe costs` has the check before the first book besides.

A run with a budget stops in the middle, and another one continues, at another service tier. In a
third run, a book has the text of a second new book.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import raypipe
from raypipe.simulator.model_server import ModelServer
from tests.integration.raypipe_command import run_in_process
from tests.unit.models_here import model_server

SAMPLES = Path(raypipe.__file__).parent / "embedded" / "samples"


@pytest.fixture
def models() -> Iterator[ModelServer]:
    with model_server() as server:
        server.control(latency={"base_s": 0.0})
        yield server


@pytest.fixture
def options(models: ModelServer, tmp_path: Path) -> list[str]:
    books = tmp_path / "books"
    books.mkdir()
    texts = [path.read_text() for path in sorted(SAMPLES.glob("The_*.txt"))[:3]]
    for at, text in enumerate(texts):
        (books / f"{at}.txt").write_text(text)
    return [
        "storage=local", f"storage.path={books}", f"state.uri={tmp_path / 'state'}",
        "summarizer=bedrock", "summarizer.model_id=us.amazon.nova-2-lite-v1:0",
        "summarizer.chunk_tokens=600", "embedder=bedrock_titan", "opensearch=none",
        "executor=local", "output=json",
    ]  # fmt: skip


def documents(tmp_path: Path) -> list[dict[str, Any]]:
    file = tmp_path / "documents.jsonl"
    columns = "columns=[key,model_calls,input_tokens,output_tokens,usd]"
    target = [f"to={file}", f"state.uri={tmp_path / 'state'}", "overwrite=true", columns]
    run_in_process("export", target)
    return [json.loads(line) for line in file.read_text().splitlines()]


def checks_of(state: Path) -> list[dict[str, Any]]:
    """Return the cached answers of the checks before the first book; no run counts them."""
    return [json.loads(path.read_bytes()) for path in (state / "cache" / "check").glob("*.json")]


def test_a_resumed_run_adds_up(options: list[str], models: ModelServer, tmp_path: Path) -> None:
    flex = "summarizer.model.service_tier=flex"
    plan = json.loads(run_in_process("plan", [*options, flex]))
    budget = f"budget.max_tokens={(plan['input_tokens'] + plan['output_tokens']) // 2}"
    stopped = json.loads(run_in_process("run", [*options, flex, budget], code=4))
    finished = json.loads(run_in_process("run", options))  # continues at the default tier
    assert stopped["left"] > 0
    assert finished["left"] == finished["failed"] == 0
    assert finished["cached_calls"] > 0
    runs, found = (stopped, finished), documents(tmp_path)
    assert len(found) == 3
    for name in ("model_calls", "input_tokens", "output_tokens"):
        assert sum(one[name] for one in found) == sum(run[name] for run in runs), name
    usd = sum(run["usd"] for run in runs)
    assert sum(one["usd"] for one in found) == pytest.approx(usd, abs=1e-5)

    costs = json.loads(run_in_process("costs", [f"state.uri={tmp_path / 'state'}", "output=json"]))[
        "costs"
    ]
    kinds = {(row["model"], row["service_tier"]) for row in costs}
    assert kinds == {
        ("us.amazon.nova-2-lite-v1:0", "flex"),
        ("us.amazon.nova-2-lite-v1:0", "default"),
        ("amazon.titan-embed-text-v2:0", "default"),
    }
    checks = checks_of(tmp_path / "state")
    assert len(checks) == 1, "later runs make no paid check"
    for name in ("input_tokens", "output_tokens"):
        of_checks = sum(check["usage"][name] for check in checks)
        assert sum(row[name] for row in costs) == sum(run[name] for run in runs) + of_checks
    by_tier = {row["service_tier"]: row["usd"] for row in stopped["models"] if row["calls"]}
    of_costs = {
        tier: sum(row["usd"] for row in costs if row["service_tier"] == tier)
        for tier in ("flex", "default")
    }
    assert sum(of_costs.values()) > usd  # by the check
    assert by_tier["flex"] < of_costs["flex"]
    assert usd - by_tier["flex"] == pytest.approx(of_costs["default"], abs=1e-5)

    again = json.loads(run_in_process("run", options))
    assert (again["skipped"], again["model_calls"]) == (3, 0)
    assert documents(tmp_path) == found

    text = (SAMPLES / "notes-from-the-salt-road.txt").read_text()
    for name in ("one", "two"):
        (tmp_path / "books" / f"{name}.txt").write_text(text)
    copies = json.loads(run_in_process("run", options))
    assert copies["cached_calls"] > 0
    new = [one for one in documents(tmp_path) if one["key"] in ("one.txt", "two.txt")]
    assert len(new) == 2
    assert sum(one["model_calls"] for one in new) == copies["model_calls"]
    assert sum(one["usd"] for one in new) == pytest.approx(copies["usd"], abs=1e-5)
