"""Real boto3 and the real openai client get vectors from the model server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.models.protocol import EmbeddingModel, InputType
from raypipe.simulator.model_server import ModelServer
from tests.integration.model_clients import (
    EMBEDDING,
    ERRORS,
    PAID,
    answering,
    cohere,
    counted,
    faulty,
    nova,
    openai_vectors,
    refused,
    titan,
    tokens,
)
from tests.unit.models_here import set_credentials


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    set_credentials(monkeypatch)


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@EMBEDDING
@pytest.mark.parametrize("input_type", ["document", "query"])
def test_an_embedding_model_makes_vectors(
    server: ModelServer, made: Callable[..., Any], input_type: InputType
) -> None:
    model: EmbeddingModel = made(server.url)
    texts = ["a lamp on the point", "a fire lookout"][: model.max_texts]
    server.reset()
    said = model.call(texts, input_type)
    assert [len(one) for one in said.vectors] == [model.dimension] * len(texts)
    assert counted(server) == tokens([said])
    assert said.usage.input_tokens > 0
    assert model.call(texts, input_type) == said
    model.check()


SIZES = [
    (titan, 256),
    (titan, 512),
    (nova, 256),
    (nova, 384),
    (nova, 3072),
    (cohere, 256),
    (cohere, 1536),
    (openai_vectors, 512),
]


@pytest.mark.parametrize(("made", "dimension"), SIZES)
def test_each_dimension_is_what_the_server_makes(
    server: ModelServer, made: Callable[..., Any], dimension: int
) -> None:
    [vector] = made(server.url, dimension=dimension).call(["a lamp"], "document").vectors
    assert len(vector) == dimension


@EMBEDDING
def test_the_longest_texts_and_batches_are_taken(
    server: ModelServer, made: Callable[..., Any]
) -> None:
    model: EmbeddingModel = made(server.url)
    long = ["word " * (model.max_chars // 5)] * min(model.max_texts, 4)
    assert len(model.call(long, "document").vectors) == len(long)
    many = [f"word {number}" for number in range(model.max_texts)]
    assert len(model.call(many, "document").vectors) == len(many)


@pytest.mark.parametrize("made", [titan, nova, cohere, openai_vectors])
def test_a_model_of_another_dimension_is_found_before_the_run(made: Callable[..., Any]) -> None:
    wrong = [0.5] * 7
    bodies: dict[Callable[..., Any], Any] = {
        titan: {"embedding": wrong},
        nova: {"embeddings": [{"embedding": wrong}]},
        cohere: {"embeddings": {"float": [wrong]}},
        openai_vectors: {"data": [{"index": 0, "embedding": wrong}], "usage": {"prompt_tokens": 1}},
    }
    with (
        answering(json.dumps(bodies[made]).encode()) as url,
        pytest.raises(SetupError, match="set dimension=7"),
    ):
        made(url).check()


@EMBEDDING
@pytest.mark.parametrize("fault", ["throttle", "unavailable", "hang", "reset", "truncated"])
def test_embedding_errors_are_translated(
    server: ModelServer, made: Callable[..., Any], fault: str
) -> None:
    model = made(server.url, read_timeout_s=0.4)
    with faulty(server, fault):
        error = refused(model, lambda: model.call(["a fire lookout"], "document"))
        assert server.stats()["offered"] == 1
    code = ERRORS[fault][2 if made is openai_vectors else 1]
    assert (error.status, error.code) == (ERRORS[fault][0], code)
    assert error.maybe_paid == (fault in PAID)
