"""The package brings torch, so a stand-in takes its place; see tests/unit/models_here.py."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from raypipe.core.errors import SetupError
from raypipe.embedders.sentence_transformers import SentenceTransformersEmbedder
from tests.unit.models_here import FakeSentenceTransformer, fake_sentence_transformers


@pytest.fixture
def library() -> Iterator[type[FakeSentenceTransformer]]:
    with fake_sentence_transformers() as made:
        yield made


def test_it_loads_once_offline_and_on_the_device_that_was_given(
    library: type[FakeSentenceTransformer],
) -> None:
    embedder = SentenceTransformersEmbedder(device="cuda", batch=7)
    embedder.check()
    copy = pickle.loads(pickle.dumps(embedder))
    assert np.allclose(copy.embed(["a lamp"]), embedder.embed(["a lamp"]))
    [model] = library.created
    assert model.options == {"device": "cuda", "local_files_only": True, "trust_remote_code": False}
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_a_download_is_made_when_it_is_asked_for(library: type[FakeSentenceTransformer]) -> None:
    SentenceTransformersEmbedder(download=True).check()
    assert not library.created[0].options["local_files_only"]
    assert "HF_HUB_OFFLINE" not in os.environ


def test_vectors_are_normalized_and_queries_have_their_prompt(
    library: type[FakeSentenceTransformer],
) -> None:
    embedder = SentenceTransformersEmbedder()
    vectors = embedder.embed(["a lamp", "", "a lighthouse"])
    assert (vectors.dtype, vectors.shape) == (np.float32, (3, 384))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0)
    query = embedder.embed(["a lamp"], input_type="query")
    assert np.allclose(query, embedder.embed(["query: a lamp"]))
    assert not np.allclose(query[0], vectors[0])
    assert embedder.embed([]).shape == (0, 384)


def test_another_dimension_is_found_before_the_run(library: type[FakeSentenceTransformer]) -> None:
    with pytest.raises(SetupError, match=r"give embedder.dimension=384, or .*shorten=true"):
        SentenceTransformersEmbedder(dimension=128).check()
    with pytest.raises(SetupError, match=r"give embedder.dimension=384$"):
        SentenceTransformersEmbedder(dimension=512, shorten=True).check()
    short = SentenceTransformersEmbedder(dimension=128, shorten=True).embed(["a lamp"])
    assert short.shape == (1, 128)
    assert np.linalg.norm(short) == pytest.approx(1.0)


def test_what_cannot_be_loaded_is_one_line(library: type[FakeSentenceTransformer]) -> None:
    with pytest.raises(SetupError, match=r"hub; give a folder, or embedder.download=true$"):
        SentenceTransformersEmbedder(model="nowhere/none").check()


def test_without_the_package() -> None:
    with pytest.raises(SetupError, match=r"pip install 'raypipe\[sentence-transformers\]'"):
        SentenceTransformersEmbedder(model="x").check()


def test_a_folder_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    for name, weights in (("a/model", b"1"), ("b/model", b"2"), ("c/other", b"1")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.safetensors").write_bytes(weights)
    made = {
        name: SentenceTransformersEmbedder(model=str(tmp_path / name)).identity()["model"]
        for name in ("a/model", "b/model", "c/other")
    }
    assert made["a/model"] == made["c/other"] != made["b/model"]
    named = SentenceTransformersEmbedder().identity()
    assert named["model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert SentenceTransformersEmbedder(device="cuda", batch=1).identity() == named


@pytest.mark.parametrize("settings", [{"model": ""}, {"dimension": 0}, {"batch": 0}])
def test_wrong_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        SentenceTransformersEmbedder(**settings)  # type: ignore[arg-type]
