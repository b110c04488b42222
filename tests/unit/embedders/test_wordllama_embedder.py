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
from raypipe.embedders import wordllama as module
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
        raise AssertionError("the embedder asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_it_loads_without_a_network_and_without_touching_logging(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_loaded", [])
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    assert WordLlamaEmbedder().embed(["a lamp"]).shape == (1, 256)
    assert (root.handlers, root.level) == before


def test_a_fresh_process_leaves_the_root_logger_alone() -> None:
    code = (
        "import logging; from raypipe.embedders.wordllama import WordLlamaEmbedder as W;"
        "W().check(); print(logging.getLogger().handlers, logging.getLogger().level)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["[]", "30"]


def test_vectors_equal_wordllamas_own() -> None:
    from wordllama import WordLlama

    spec = importlib.util.find_spec("wordllama")
    assert spec is not None
    assert spec.origin is not None
    own = WordLlama.load(cache_dir=Path(spec.origin).parent, disable_download=True)
    expected = own.embed(TEXTS, norm=True)
    np.testing.assert_allclose(WordLlamaEmbedder().embed(TEXTS), expected, atol=1e-6)


def test_meaning_brings_texts_together() -> None:
    keeper, man, bread, _ = WordLlamaEmbedder().embed(TEXTS)
    assert keeper @ man > keeper @ bread + 0.1


def test_batches_and_cuts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*TEXTS, " ".join(TEXTS * 40), "", "x"]
    whole = WordLlamaEmbedder().embed(texts)
    monkeypatch.setattr(module, "_PIECE_CHARS", 80)
    monkeypatch.setattr(module, "_BATCH_CHARS", 200)
    monkeypatch.setattr(module, "_GATHERED", 7)
    np.testing.assert_allclose(WordLlamaEmbedder().embed(texts), whole, atol=1e-5)


@pytest.mark.parametrize("text", ["", "   \n", "\ud800", "\x00", "x" * 20_000, "灯" * 9_000])
def test_no_text_gets_a_zero_vector(text: str) -> None:
    vectors = WordLlamaEmbedder().embed([text, TEXTS[0]])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)


def test_no_texts_give_no_vectors() -> None:
    assert WordLlamaEmbedder().embed([]).shape == (0, 256)


def test_one_model_a_process_for_all_instances_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    load = module._load
    monkeypatch.setattr(module, "_loaded", [])

    def counted() -> object:
        loads.append(1)
        return load()

    monkeypatch.setattr(module, "_load", counted)
    threads = [threading.Thread(target=WordLlamaEmbedder().embed, args=(TEXTS,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [1]


def test_an_instance_that_has_worked_holds_no_model() -> None:
    embedder = WordLlamaEmbedder()
    embedder.embed(TEXTS)
    assert vars(embedder) == {}


def test_dimension_needs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_loaded", [])
    assert WordLlamaEmbedder().dimension == WordLlamaEmbedder().identity()["dimension"] == 256
    assert module._loaded == []


def test_a_missing_package_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_loaded", [])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SetupError, match="pip install wordllama"):
        WordLlamaEmbedder().check()
