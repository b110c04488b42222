from __future__ import annotations

import importlib.util
import logging
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raypipe.core.errors import SetupError
from raypipe.embedders import wordllama
from raypipe.embedders.wordllama import WordLlamaEmbedder

TEXTS = [
    "The keeper lit the lamp and went down to the sea.",
    "A lighthouse man walked to the shore, his light burning.",
    "Knead the dough with yeast, flour and salt, then bake the bread.",
    "Ünïcödé wörds — “quoted” — and 灯台守は眠った。",
]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise AssertionError("the embedder used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_the_model_loads_offline_and_leaves_logging_unchanged() -> None:
    wordllama._model.cache_clear()
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    assert WordLlamaEmbedder().embed(["a lamp"]).shape == (1, 256)
    assert (root.handlers, root.level) == before


def test_a_new_process_leaves_the_root_logger_unchanged() -> None:
    code = (
        "import logging; from raypipe.embedders.wordllama import WordLlamaEmbedder as W;"
        "W().check(); print(logging.getLogger().handlers, logging.getLogger().level)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.split() == ["[]", "30"]


def test_vectors_equal_those_of_wordllama() -> None:
    from wordllama import WordLlama

    spec = importlib.util.find_spec("wordllama")
    assert spec is not None
    assert spec.origin is not None
    model = WordLlama.load(cache_dir=Path(spec.origin).parent, disable_download=True)
    expected = model.embed(TEXTS, norm=True)
    np.testing.assert_allclose(WordLlamaEmbedder().embed(TEXTS), expected, atol=1e-6)


def test_texts_with_related_meaning_are_more_similar() -> None:
    keeper, lighthouse, bread, _ = WordLlamaEmbedder().embed(TEXTS)
    assert keeper @ lighthouse > keeper @ bread + 0.1


def test_batches_and_splits_do_not_change_the_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*TEXTS, " ".join(TEXTS * 40), "", "x"]
    whole = WordLlamaEmbedder().embed(texts)
    monkeypatch.setattr(wordllama, "_PIECE_CHARS", 80)
    monkeypatch.setattr(wordllama, "_BATCH_CHARS", 200)
    monkeypatch.setattr(wordllama, "_SUM_BATCH", 7)
    np.testing.assert_allclose(WordLlamaEmbedder().embed(texts), whole, atol=1e-5)


@pytest.mark.parametrize("text", ["", "   \n", "\ud800", "\x00", "x" * 20_000, "灯" * 9_000])
def test_no_text_gets_a_zero_vector(text: str) -> None:
    vectors = WordLlamaEmbedder().embed([text, TEXTS[0]])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)


def test_no_texts_return_no_vectors() -> None:
    assert WordLlamaEmbedder().embed([]).shape == (0, 256)


def test_all_instances_and_threads_of_a_process_share_one_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loads: list[int] = []
    load = wordllama._load_model
    wordllama._model.cache_clear()

    def count_and_load() -> object:
        loads.append(1)
        return load()

    monkeypatch.setattr(wordllama, "_load_model", count_and_load)
    threads = [threading.Thread(target=WordLlamaEmbedder().embed, args=(TEXTS,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [1]


def test_an_instance_holds_no_model_after_use() -> None:
    embedder = WordLlamaEmbedder()
    embedder.embed(TEXTS)
    assert vars(embedder) == {}


def test_dimension_is_known_without_loading_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError("the embedder loaded its model")

    wordllama._model.cache_clear()
    monkeypatch.setattr(wordllama, "_load_model", refuse)
    assert WordLlamaEmbedder().dimension == WordLlamaEmbedder().identity()["dimension"] == 256


def test_a_missing_package_is_an_error_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    wordllama._model.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SetupError, match="pip install wordllama"):
        WordLlamaEmbedder().check()
