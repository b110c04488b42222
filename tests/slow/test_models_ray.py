"""What a model is paid by runs on Ray; test_models_run.py has the local executor."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raypipe import embedded
from raypipe.simulator.model_server import ModelServer
from raypipe.simulator.options import LatencyOptions, ModelOptions
from tests.integration.raypipe_command import Project, run_in_process
from tests.unit.models_here import model_server

MODEL, EMBEDDER = "amazon.nova-lite-v1:0", "amazon.titan-embed-text-v2:0"
SAMPLES = Path(embedded.__file__).parent / "samples"


@pytest.fixture
def models() -> Iterator[ModelServer]:
    known = ModelOptions(known=[MODEL, EMBEDDER])
    with model_server(latency=LatencyOptions(base_s=0.02), model=known) as server:
        yield server


def paid_options(project: Project, server: ModelServer, *more: str) -> list[str]:
    return [
        "storage=local", f"storage.path={project.books}", f"state.uri={project.state}",
        "summarizer=openai", f"summarizer.model_id={MODEL}", "summarizer.model.structured=true",
        f"summarizer.model.base_url={server.url}/v1", "summarizer.chunk_tokens=300",
        "embedder=hash", "opensearch=none", f"executor={project.executor}", "output=json", *more,
    ]  # fmt: skip


@pytest.mark.usefixtures("shared_ray")
def test_models_are_paid_once_and_a_budget_stops_the_run(
    project: Project, models: ModelServer
) -> None:
    project.executor = "ray"
    for sample in sorted(SAMPLES.glob("*.txt"))[:4]:
        shutil.copy(sample, project.books)
    books = len(list(project.books.iterdir()))

    def run(*more: str, code: int = 0) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(
            run_in_process("run", paid_options(project, models, *more), code)
        )
        return record

    stopped = run("budget.max_tokens=3000", code=4)
    assert "budget" in stopped["reason"]
    assert stopped["left"] > 0
    whole = run("budget.max_tokens=1000000")
    assert (whole["finished"] + whole["skipped"], whole["failed"]) == (books, 0)
    assert whole["input_tokens"] > 0
    answered = models.stats()["answered"]
    assert run("budget.max_tokens=1000000")["skipped"] == books
    assert models.stats()["answered"] == answered
    assert models.stats()["repeated_prompts"]["tokens"] <= 6 * 2 * 40, "the checks alone"
