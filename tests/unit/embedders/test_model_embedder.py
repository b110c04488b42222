from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raypipe.core.errors import BookError
from raypipe.embedders.model import ModelEmbedder
from raypipe.embedders.protocol import Embedder
from raypipe.models.context import ModelContext
from raypipe.models.protocol import InputType, ModelError, TokenUsage, Vectors
from raypipe.state.local import LocalState


@dataclass(frozen=True)
class FakeModel:
    """An embedding model in memory; a vector encodes the length of its text."""

    max_texts: int = 3
    max_chars: int = 1_000
    window: int = 10_000
    scale: float = 1.0
    delay_s: float = 0.0
    calls: list[list[str]] = field(default_factory=list, compare=False)
    dimension: int = 4
    name: str = "memory/model"
    base_model: str = "model"
    pool: str = "memory"

    def identity(self) -> Mapping[str, Any]:
        return {"model": "model", "dimension": self.dimension, "normalize": "l2"}

    def check(self) -> None:
        self.call(["x"], "document")

    def body(self, texts: Sequence[str], input_type: InputType) -> Mapping[str, Any]:
        return {"texts": list(texts), "type": input_type}

    def call(self, texts: Sequence[str], input_type: InputType) -> Vectors:
        with _lock:
            self.calls.append(list(texts))
        if any(len(text) > self.window for text in texts):
            raise ModelError("ValidationException", "Too many input tokens.", status=400)
        time.sleep(self.delay_s * (1 / len(self.calls)))  # the first call is answered last
        kind = 2.0 if input_type == "query" else 1.0
        rows = [[self.scale * len(text), self.scale, kind * self.scale, 0.0] for text in texts]
        return Vectors(rows, TokenUsage(sum(map(len, texts))))


_lock = threading.Lock()


def expected(lengths: Sequence[int], kind: float = 1.0) -> Any:
    rows = np.array([[length, 1.0, kind, 0.0] for length in lengths])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_texts_are_sent_in_batches_and_vectors_keep_their_order() -> None:
    model = FakeModel(delay_s=0.1)
    embedder: Embedder = ModelEmbedder(model)
    texts = ["a" * length for length in range(1, 9)]
    vectors = embedder.embed(texts)
    assert sorted(map(len, model.calls)) == [2, 3, 3]
    assert (vectors.dtype, vectors.shape) == (np.float32, (8, 4))
    assert np.allclose(vectors, expected(range(1, 9)))
    assert np.allclose(embedder.embed(["abc"], input_type="query"), expected([3], 2.0))
    assert embedder.embed([]).shape == (0, 4)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_vectors_of_any_length_are_normalized(scale: float) -> None:
    vectors = ModelEmbedder(FakeModel(scale=scale)).embed(["a", "bb"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


def test_blank_texts_are_not_sent() -> None:
    model = FakeModel()
    vectors = ModelEmbedder(model).embed(["", "abc", " \n"])
    assert model.calls == [["abc"]]
    assert np.allclose(vectors[[0, 2]], 0.5)
    assert np.allclose(vectors[1], expected([3]))


def test_long_texts_are_truncated_at_a_space_and_surrogates_are_replaced() -> None:
    model = FakeModel(max_chars=20)
    ModelEmbedder(model).embed(["a word and another word", "x" * 30, "a\ud800b"])
    assert model.calls == [["a word and another", "x" * 20, "a\ufffdb"]]


def test_calls_that_are_too_long_are_split_in_halves() -> None:
    model = FakeModel(window=300, max_texts=4)
    vectors = ModelEmbedder(model).embed(["a" * 40, "b" * 900, "c" * 50, "d" * 60])
    assert np.allclose(vectors, expected([40, 225, 50, 60]))
    with pytest.raises(BookError) as error:
        ModelEmbedder(FakeModel(window=10)).embed(["word " * 50])
    assert error.value.kind == "too_long"
    assert "word" not in str(error.value)


def test_a_batch_has_at_most_the_characters_that_servers_accept() -> None:
    model = FakeModel(max_texts=96, max_chars=100_000, window=10**6)
    ModelEmbedder(model).embed([str(n) * 100_000 for n in range(7)])
    assert sorted(map(len, model.calls)) == [1, 3, 3]


@pytest.mark.parametrize("scale", [0.0, float("inf")])
def test_a_zero_or_infinite_vector_fails_the_book(scale: float) -> None:
    with pytest.raises(BookError) as error:
        ModelEmbedder(FakeModel(scale=scale)).embed(["a"])
    assert error.value.kind == "bad_vector"


def test_calls_in_flight_are_limited() -> None:
    class Counting(FakeModel):
        highest = current = 0

        def call(self, texts: Sequence[str], input_type: InputType) -> Vectors:
            with _lock:
                Counting.current += 1
                Counting.highest = max(Counting.highest, Counting.current)
            time.sleep(0.05)
            with _lock:
                Counting.current -= 1
            return super().call(texts, input_type)

    ModelEmbedder(Counting(max_texts=1), calls=3).embed([f"text {n}" for n in range(12)])
    assert Counting.highest == 3
    with pytest.raises(ValueError, match="calls=0 must be at least 1"):
        ModelEmbedder(FakeModel(), calls=0)


def test_a_run_pays_for_each_text_once_in_any_batch(tmp_path: Path) -> None:
    context = ModelContext(state=LocalState(str(tmp_path)))
    part = ModelEmbedder(FakeModel())
    assert (part.paid_model.pool, part.paid_model.base_model) == ("memory", "model")
    first: Any = part.with_context(context)
    here = first.embed(["a", "bb", "ccc"])
    copy = pickle.loads(pickle.dumps(first))
    assert copy == first
    there = copy.embed(["ccc", "d", "a"])
    assert np.array_equal(there[[2, 0]], here[[0, 2]])
    # Its list of calls was pickled with it.
    assert sorted(copy.model.calls) == [["a"], ["bb"], ["ccc"], ["d"]]
    assert sorted(first.model.calls) == [["a"], ["bb"], ["ccc"]]


def test_identity_has_the_settings_that_change_the_vectors() -> None:
    same = ModelEmbedder(FakeModel(), calls=3).identity()
    assert same == ModelEmbedder(FakeModel(max_texts=1)).identity()
    assert same != ModelEmbedder(FakeModel(max_chars=50)).identity()
    assert ModelEmbedder(FakeModel()).dimension == 4
    ModelEmbedder(FakeModel()).check()
