"""`plan` tells the requests to S3 of the run that follows, and the run makes them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from raypipe import embedded
from raypipe.simulator.options import ModelOptions
from tests.integration.raypipe_command import Project, run_in_process
from tests.integration.s3_server import CountingS3Server
from tests.unit.models_here import model_server

MODEL = "amazon.nova-lite-v1:0"
SAMPLES = sorted((Path(embedded.__file__).parent / "samples").glob("*.txt"))


@pytest.fixture
def options(project: Project, s3: CountingS3Server, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the options of a run with source and state on S3."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "test")
    s3.create_bucket(project.index)
    return [
        *s3.options(project.index),
        *project.index_options(),
        "storage.anonymous=false",
        "storage.prefix=books/",
        f"state.uri=s3://{project.index}/state",
        "embedder=hash",
        "executor=local",
        "output=json",
    ]


def count(s3: CountingS3Server) -> Counter[str]:
    """Return the requests since the last call, by kind and by source or state."""
    counts: Counter[str] = Counter()
    for (method, key), number in s3.requests.items():
        if method != "POST":  # it deletes, free of charge
            counts[f"{'source' if key.startswith('books/') else 'state'} {method}"] += number
    s3.requests.clear()
    return counts


def check(estimate: dict[str, Any], counts: Counter[str]) -> None:
    """Check that an estimate is within 20 % of the requests that were made."""
    estimated = {
        "source LIST": estimate["source_lists"],
        "source GET": estimate["source_gets"],
        "state PUT": estimate["state_puts"],
        "state LIST": estimate["state_lists"],
        "state GET": estimate["state_gets"],
    }
    total, made = sum(estimated.values()), sum(counts.values())
    assert total == pytest.approx(made, rel=0.2), (estimated, counts)
    gets = counts["source GET"] + counts["state GET"]
    usd = ((made - gets) * 0.005 + gets * 0.0004) / 1000
    # Dollars have four places.
    assert estimate["usd"] == pytest.approx(usd, rel=0.2, abs=0.0001), (estimated, counts)


def plan_and_run(s3: CountingS3Server, options: list[str]) -> None:
    requests = json.loads(run_in_process("plan", options))["requests"]
    count(s3)
    run_in_process("run", options)
    check(requests, count(s3))


def test_the_requests_of_three_runs(
    project: Project, s3: CountingS3Server, options: list[str]
) -> None:
    stage = ["stages.summarize.workers=1", "stages.summarize.books_per_task=1000"]
    args = [*options, "summarizer=lead", *stage]
    text = " It goes on for a while." * 60
    for start, end in ((0, 60), (60, 180), (180, 180)):
        for number in range(start, end):
            body = f"The tale of number {number} begins.{text}".encode()
            s3.put_object(project.index, f"books/Tale_{number}.txt", body)
        plan_and_run(s3, args)
    text_output = [arg for arg in args if arg != "output=json"]
    assert "\ns3      about " in run_in_process("plan", text_output)


def test_the_requests_of_a_run_with_a_model(
    project: Project, s3: CountingS3Server, options: list[str]
) -> None:
    """Each document is written by itself, as where answers come seldom."""
    for path in SAMPLES:
        s3.put_object(project.index, f"books/{path.name}", path.read_bytes())
    with model_server(model=ModelOptions(known=[MODEL])) as server:
        options = [*options, "opensearch.flush_s=0"]
        model = [f"summarizer.model_id={MODEL}", f"summarizer.model.base_url={server.url}/v1"]
        plan_and_run(
            s3, [*options, "summarizer=openai", "summarizer.model.structured=true", *model]
        )
