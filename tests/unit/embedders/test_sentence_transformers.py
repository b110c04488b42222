"""A stand-in replaces the package, which needs torch; see tests/unit/models_here.py."""

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
    with fake_sentence_transformers() as fake:
        yield fake


def test_the_model_is_loaded_once_offline_and_on_the_given_device(
    library: type[FakeSentenceTransformer],
) -> None:
    embedder = SentenceTransformersEmbedder(device="cuda", batch=7)
    embedder.check()
    copy = pickle.loads(pickle.dumps(embedder))
    assert np.allclose(copy.embed(["a lamp"]), embedder.embed(["a lamp"]))
    [model] = library.created
    assert model.options == {"device": "cuda", "local_files_only": True, "trust_remote_code": False}
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_the_model_is_downloaded_only_on_request(library: type[FakeSentenceTransformer]) -> None:
    SentenceTransformersEmbedder(download=True).check()
    assert not library.created[0].options["local_files_only"]
    assert "HF_HUB_OFFLINE" not in os.environ


def test_vectors_are_normalized_and_queries_use_the_query_prompt(
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


def test_check_finds_another_dimension(library: type[FakeSentenceTransformer]) -> None:
    with pytest.raises(SetupError, match=r"set embedder.dimension=384, or .*shorten=true"):
        SentenceTransformersEmbedder(dimension=128).check()
    with pytest.raises(SetupError, match=r"set embedder.dimension=384$"):
        SentenceTransformersEmbedder(dimension=512, shorten=True).check()
    short = SentenceTransformersEmbedder(dimension=128, shorten=True).embed(["a lamp"])
    assert short.shape == (1, 128)
    assert np.linalg.norm(short) == pytest.approx(1.0)


def test_a_model_that_cannot_be_loaded_is_a_one_line_error(
    library: type[FakeSentenceTransformer],
) -> None:
    with pytest.raises(SetupError, match=r"hub; give a folder, or set embedder.download=true$"):
        SentenceTransformersEmbedder(model="nowhere/none").check()


def test_a_missing_package_is_an_error_with_its_fix() -> None:
    with pytest.raises(SetupError, match=r"pip install 'raypipe\[sentence-transformers\]'"):
        SentenceTransformersEmbedder(model="x").check()


def test_a_folder_is_identified_by_its_files(tmp_path: Path) -> None:
    for name, weights in (("a/model", b"1"), ("b/model", b"2"), ("c/other", b"1")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.safetensors").write_bytes(weights)
    identities = {
        name: SentenceTransformersEmbedder(model=str(tmp_path / name)).identity()["model"]
        for name in ("a/model", "b/model", "c/other")
    }
    assert identities["a/model"] == identities["c/other"] != identities["b/model"]
    default = SentenceTransformersEmbedder().identity()
    assert default["model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert SentenceTransformersEmbedder(device="cuda", batch=1).identity() == default


def test_a_folder_that_cannot_be_read_gets_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").write_bytes(b"1")

    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SetupError, match=r"embedder.model=.* Permission denied \(.*weights\)"):
        SentenceTransformersEmbedder(model=str(tmp_path)).identity()
    assert SentenceTransformersEmbedder(model="x" * 300).identity()["model"] == "x" * 300


@pytest.mark.parametrize("settings", [{"model": ""}, {"dimension": 0}, {"batch": 0}])
def test_invalid_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        SentenceTransformersEmbedder(**settings)  # type: ignore[arg-type]
