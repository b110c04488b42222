"""The default embedder: static word vectors with weights from a Python wheel."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.core.errors import SetupError
from raypipe.core.per_process import cached_per_process
from raypipe.core.setup_check import check_package
from raypipe.embedders.protocol import InputType
from raypipe.models.context import CallsNoModel

_NO_PACKAGE = "embedder=wordllama needs the package wordllama: pip install wordllama"
_DIMENSION = 256
_PIECE_CHARS = 4_000
_BATCH_CHARS = 500_000
"""Characters embedded at once: about 10,000 different words, 10 MB of vectors."""
_TOKENIZER_BATCH = 512
"""Words tokenized at once: an encoding takes ten times the memory of its token ids."""
_CACHED_WORDS = 50_000
"""Words whose token ids are cached, 10 MB; a book has some 10,000 different words."""
_CACHED_WORD_CHARS = 30
"""Longer words are rare and are not cached."""
_SUM_BATCH = 1_024
"""Vectors summed at once: 1 MB."""
_SURROGATES = re.compile("[\ud800-\udfff]")


class _Model(NamedTuple):
    tokenizer: Any  # tokenizers.Tokenizer
    vectors: NDArray[np.float32]  # shape (tokens, 256)
    token_cache: dict[str, list[int]]  # token ids by word: tokenizing is half of all the work


@dataclass(frozen=True)
class WordLlamaEmbedder(CallsNoModel):
    """Embed a text as the mean of its tokens' vectors; offline, on the CPU.

    Uses wordllama (MIT) with its `l2_supercat` weights of 256 dimensions. The vectors equal those
    of `wordllama.WordLlama.embed(norm=True)`. Each different word is looked up only once, because
    no token of this model spans a space. An instance holds no model and pickles to a few bytes.
    """

    @property
    def name(self) -> str:
        """Return the name for documents and messages."""
        return "wordllama"

    @property
    def dimension(self) -> int:
        """Return the length of the vectors; known without loading the model."""
        return _DIMENSION

    @property
    def is_light(self) -> bool:
        """Return True: no separate process is needed."""
        return True

    def identity(self) -> Mapping[str, Any]:
        """Return the settings that change the vectors."""
        return {"model": "wordllama/l2_supercat", "dimension": _DIMENSION, "normalize": "l2"}

    def check_setup(self) -> None:
        """Raise `SetupError` if the package is not installed."""
        check_package("wordllama", _NO_PACKAGE)

    def check(self) -> None:
        """Load the model.

        Raises:
            SetupError: The package or its weights are missing.
        """
        _model()

    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        """Return one L2-normalized vector per text, shape (len(texts), 256).

        A text without tokens, such as the empty text, always gets the same unit vector, because
        cosine k-NN refuses zero vectors.

        Args:
            texts: Texts of any length; memory does not grow with it.
            input_type: Has no effect on this model.

        Raises:
            SetupError: The package or its weights are missing.
        """
        model = _model()
        sums = np.zeros((len(texts), _DIMENSION), dtype=np.float32)
        for rows, pieces in _split_into_batches(texts):
            _add_pieces(sums, rows, pieces, model)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        sums[norms[:, 0] == 0] = 1.0
        norms[norms == 0] = np.sqrt(_DIMENSION)
        sums /= norms
        return sums


def _split_into_batches(texts: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
    """Yield batches of pieces, and for each piece the row of its text."""
    rows: list[int] = []
    pieces: list[str] = []
    chars = 0
    for row, text in enumerate(texts):
        for piece in _split_into_pieces(text):
            rows.append(row)
            pieces.append(piece)
            chars += len(piece)
            if chars >= _BATCH_CHARS:
                yield rows, pieces
                rows, pieces, chars = [], [], 0
    if pieces:
        yield rows, pieces


def _split_into_pieces(text: str) -> Iterator[str]:
    """Split a long text, at spaces where possible."""
    text = _SURROGATES.sub("\ufffd", text)  # the tokenizer accepts UTF-8 only
    start = 0
    while len(text) - start > _PIECE_CHARS:
        space = text.rfind(" ", start + 1, start + _PIECE_CHARS)
        end = space if space > start else start + _PIECE_CHARS
        yield text[start:end]
        start = end
    if text[start:]:
        yield text[start:]


def _add_pieces(
    sums: NDArray[np.float32], rows: list[int], pieces: list[str], model: _Model
) -> None:
    """Add the token vectors of each piece to its row of `sums`."""
    word_index: dict[str, int] = {}
    indices: list[int] = []
    word_rows: list[int] = []  # the row of `sums` of each word
    for row, piece in zip(rows, pieces, strict=True):
        words = piece.split()
        indices += [word_index.setdefault(word, len(word_index)) for word in words]
        word_rows += [row] * len(words)
    _add_vectors(sums, word_rows, _word_vectors(model, list(word_index)), indices)


def _word_vectors(model: _Model, words: list[str]) -> NDArray[np.float32]:
    """Return the sum of each word's token vectors, shape (len(words), 256)."""
    tokens = _tokenize(model, words)
    rows = [row for row, ids in enumerate(tokens) for _ in ids]
    sums = np.zeros((len(words), _DIMENSION), dtype=np.float32)
    _add_vectors(sums, rows, model.vectors, list(chain.from_iterable(tokens)))
    return sums


def _tokenize(model: _Model, words: list[str]) -> list[list[int]]:
    """Return the token ids of each word. Thread-safe."""
    cache = model.token_cache
    tokens = {word: cache.get(word) for word in words}
    uncached = [word for word, ids in tokens.items() if ids is None]
    if len(cache) > _CACHED_WORDS:
        cache.clear()
    for start in range(0, len(uncached), _TOKENIZER_BATCH):
        batch = uncached[start : start + _TOKENIZER_BATCH]
        encodings = model.tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        for word, encoding in zip(batch, encodings, strict=True):
            ids: list[int] = encoding.ids
            tokens[word] = ids
            if len(word) <= _CACHED_WORD_CHARS:
                cache[word] = ids
    return [tokens[word] or [] for word in words]


def _add_vectors(
    sums: NDArray[np.float32], rows: list[int], vectors: NDArray[np.float32], ids: list[int]
) -> None:
    """Add `vectors[ids]` to the rows of `sums`, in a small buffer that fits the CPU cache.

    Args:
        sums: Shape (any, 256), changed in place.
        rows: Row of `sums` for each id, ascending.
        vectors: Shape (any, 256).
        ids: Rows of `vectors`; an id past the end means the last row.
    """
    buffer = np.empty((_SUM_BATCH, _DIMENSION), dtype=np.float32)
    all_rows, all_ids = np.asarray(rows, dtype=np.int64), np.asarray(ids, dtype=np.int64)
    for start in range(0, len(ids), _SUM_BATCH):
        batch_rows = all_rows[start : start + _SUM_BATCH]
        gathered = buffer[: len(batch_rows)]
        # "clip" also spares numpy a second buffer
        np.take(vectors, all_ids[start : start + _SUM_BATCH], axis=0, out=gathered, mode="clip")
        starts = np.flatnonzero(np.diff(batch_rows, prepend=-1))
        sums[batch_rows[starts]] += np.add.reduceat(gathered, starts, axis=0)


@cached_per_process(max_size=1)
def _model() -> _Model:
    """Return the model: 32 MB, shared by all instances and threads of the process."""
    return _load_model()


def _load_model() -> _Model:
    """Load the weights that come with the package.

    `WordLlama.load()` without arguments downloads its tokenizer from a model hub: it looks for
    `tokenizer/`, but the wheel contains `tokenizers/`. Passing the package's own folder as the
    cache folder avoids the download (wordllama 0.4.0.post1).
    """
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise SetupError(_NO_PACKAGE)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # One core per worker: the tokenizer's threads would use the cores of other workers.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        from wordllama import WordLlama

        loaded = WordLlama.load(cache_dir=Path(spec.origin).parent, disable_download=True)
    except FileNotFoundError as error:
        raise SetupError(
            f"embedder=wordllama: the package has no weights ({error}). Fix: "
            "pip install --force-reinstall wordllama"
        ) from error
    finally:  # importing wordllama calls logging.basicConfig()
        root.handlers[:] = handlers
        root.setLevel(level)
    loaded.tokenizer.no_padding()
    return _Model(loaded.tokenizer, loaded.embedding, {})
