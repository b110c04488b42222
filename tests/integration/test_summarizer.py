"""A book of some 400 chunks through the real boto3, the caller and the model server."""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raypipe import embedded
from raypipe.core.errors import BookError, BookLeftError
from raypipe.embedders.wordllama import WordLlamaEmbedder
from raypipe.models.bedrock import BedrockChat
from raypipe.models.context import ModelContext
from raypipe.simulator.model_server import ModelServer
from raypipe.simulator.options import FaultOptions, LatencyOptions, ModelOptions, ServerOptions
from raypipe.state.local import LocalState
from raypipe.summarizers.llm.summarizer import ModelSummarizer
from raypipe.text import CleanText, TextCleaner
from tests.unit.summarizers.models import default_prompts

SAMPLES = Path(embedded.__file__).parent / "samples"
CHUNKS = 400


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "simulated")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "simulated")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(ServerOptions()) as one:
        yield one


@pytest.fixture(scope="module")
def book() -> CleanText:
    """Return the samples after each other, again and again, as one long book."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(SAMPLES.glob("[A-KM-Z]*.txt"))]
    one = "\n\n".join(texts)
    # Other words each time, so that no stretch is the same as another.
    names = ("Ab", "Cy", "Di", "Ed", "Flo", "Gus", "Hal", "Ike")
    rounds = [re.sub(r"\b(the|a|he|she|it|of|and|to)\b", rf"\1 {name}", one) for name in names]
    data = "\n\n".join(rounds).encode()
    return TextCleaner().clean(data, "A_Long_Shelf__by__Many.txt")


def summarizer(server: ModelServer, folder: Path, **settings: Any) -> ModelSummarizer:
    model = BedrockChat(
        settings.pop("model_id", "us.amazon.nova-lite-v1:0"),
        region=settings.pop("region", "us-east-1"),
        endpoint_url=server.url,
        structured=settings.pop("structured", True),
    )
    account = ModelContext(LocalState(str(folder)), max_in_flight=settings.pop("in_flight", 64))
    made = ModelSummarizer(
        **{
            "model": model,
            "prompts": default_prompts(),
            "embedder": WordLlamaEmbedder(),
            "max_chunks": 600,
            **settings,
        }
    )
    return made.with_context(account)


def small(book: CleanText) -> int:
    """Return the tokens of a chunk that make about `CHUNKS` of the book."""
    return max(100, int(len(book.text.encode()) / CHUNKS / 3.6))


def test_a_long_book_is_paid_for_once(server: ModelServer, book: CleanText, tmp_path: Path) -> None:
    one = summarizer(server, tmp_path, chunk_tokens=small(book), chunk_words=60)
    planned = one.plan_calls(book)
    first = one.summarize(book)
    stats = server.stats()
    assert 350 <= len(first.sections) <= 600
    assert first.model_calls == stats["admitted"]
    # Sentences copied from sentences repeat themselves here and there, and are asked for again.
    assert len(planned) <= first.model_calls <= len(planned) + 10
    assert stats["repeated_prompts"]["prompts"] == 0
    assert first.cached_calls == 0
    assert first.plot
    assert first.characters
    assert first.text

    server.reset()
    other = summarizer(
        server,
        tmp_path,
        chunk_tokens=small(book),
        chunk_words=60,
        region="eu-west-1",
        model_id="eu.amazon.nova-lite-v1:0",
    )
    again = other.summarize(book)
    assert server.stats()["admitted"] == 0
    assert again.cached_calls == first.model_calls
    assert dataclasses.replace(again, cached_calls=0) == first, "it costs what was paid for it"


def test_a_model_without_schemas_gives_plain_words(book: CleanText, tmp_path: Path) -> None:
    options = {"structured": None, "strategy": "hierarchical"}
    with ModelServer(ServerOptions(faults=FaultOptions(unstructured=1))) as server:
        summary = summarizer(server, tmp_path, **options).summarize(book)
        assert "unstructured" in summary.flags
        assert summary.text
        server.reset()
        summarizer(server, tmp_path, **options).summarize(book)
        # What it says when it is asked to put its words into JSON is no answer, and none to keep.
        assert server.stats()["admitted"] <= 1


def test_refusals_and_cuts_are_asked_again(tmp_path: Path, book: CleanText) -> None:
    script = [{"fault": "refusal", "nth": 2}, {"fault": "max_tokens", "nth": 4}]
    with ModelServer(ServerOptions(faults=FaultOptions(script=script))) as server:
        # One call after the other: else the threads' luck decides which are asked again.
        summary = summarizer(server, tmp_path, in_flight=1).summarize(book)
        assert server.stats()["admitted"] == summary.model_calls
        assert set(server.stats()["faults"]) >= {"refusal", "max_tokens"}
    assert (summary.degraded, summary.flags) == ("", ())
    planned = len(summarizer(server, tmp_path).plan_calls(book))
    assert planned + 2 <= summary.model_calls <= planned + 8


def test_a_filtered_chunk_fails_the_book_or_falls_back(tmp_path: Path, book: CleanText) -> None:
    faults = FaultOptions(script=[{"fault": "filtered", "nth": 1}])
    with ModelServer(ServerOptions(faults=faults)) as server:
        with pytest.raises(BookError) as caught:
            summarizer(server, tmp_path / "a").summarize(book)
        assert caught.value.kind == "filtered"
    with ModelServer(ServerOptions(faults=faults)) as server:
        summary = summarizer(server, tmp_path / "b", fallback="extractive").summarize(book)
    assert summary.degraded.startswith("filtered: ")
    assert summary.genre


def test_a_narrower_window_than_thought_halves_the_chunks(tmp_path: Path, book: CleanText) -> None:
    model = ModelOptions(context_tokens=4_000)
    with ModelServer(ServerOptions(model=model)) as server:
        one = summarizer(server, tmp_path, chunk_tokens=6_000, fan_in=4)
        summary = one.summarize(book)
    assert summary.text
    planned = sum(call.level == "chunk" for call in one.plan_calls(book))
    assert len(summary.sections) > planned


def test_a_stop_leaves_the_book_and_what_was_paid_is_kept(tmp_path: Path, book: CleanText) -> None:
    slow = ServerOptions(latency=LatencyOptions(base_s=0.05))
    stop = threading.Event()
    with ModelServer(slow) as server:
        one = summarizer(server, tmp_path, chunk_tokens=small(book), chunk_words=60)
        one = one.with_context(dataclasses.replace(one.context or ModelContext(), max_in_flight=4))
        threading.Timer(1.0, stop.set).start()
        with pytest.raises(BookLeftError):
            one.summarize(book, lambda: "stopped" if stop.is_set() else "")
        paid = server.stats()["admitted"]
        assert 0 < paid < 350
    with ModelServer(ServerOptions()) as server:
        whole = summarizer(server, tmp_path, chunk_tokens=small(book), chunk_words=60)
        summary = whole.summarize(book)
    # What was in flight when the book was left is kept as well, unless the server was gone.
    assert paid - 4 <= summary.cached_calls <= paid
