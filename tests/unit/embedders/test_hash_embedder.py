from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.embedders.hash import HashEmbedder


@given(st.lists(st.text(alphabet=st.characters()), max_size=5), st.integers(1, 70))
def test_vectors_of_any_text_have_unit_length(texts: list[str], dimension: int) -> None:
    vectors = HashEmbedder(dimension).embed(texts)
    assert vectors.shape == (len(texts), dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)


def test_texts_that_share_words_are_more_similar() -> None:
    text, similar, different = HashEmbedder(256).embed(
        [
            "the keeper lit the old lamp",
            "an old lamp, the KEEPER said",
            "bread needs yeast and salt",
        ]
    )
    assert text @ similar > text @ different + 0.3


def test_another_process_returns_the_same_vectors() -> None:
    code = (
        "from raypipe.embedders.hash import HashEmbedder;"
        "print(HashEmbedder(8).embed(['the keeper lit the lamp']).tobytes().hex())"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    expected = HashEmbedder(8).embed(["the keeper lit the lamp"]).tobytes().hex()
    assert process.stdout.strip() == expected


def test_words_that_cancel_out_do_not_give_a_zero_vector() -> None:
    embedder = HashEmbedder(1)
    words = [f"w{number}" for number in range(40)]
    plus = next(word for word in words if embedder._bucket(word)[1] > 0)
    minus = next(word for word in words if embedder._bucket(word)[1] < 0)
    assert abs(embedder.embed([f"{plus} {minus}"])[0, 0]) == 1.0


def test_dimension_is_known_and_checked_and_part_of_the_identity() -> None:
    assert HashEmbedder(32).dimension == 32
    assert HashEmbedder(32).identity() != HashEmbedder(64).identity()
    with pytest.raises(ValueError, match="dimension"):
        HashEmbedder(0)
