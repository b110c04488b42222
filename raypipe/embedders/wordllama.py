"""The default embedder: static word vectors whose weights come inside a wheel."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.core.errors import SetupError
from raypipe.embedders.protocol import InputType
from raypipe.models.context import CallsNoModel

_DIMENSION = 256
_PIECE_CHARS = 4_000
_BATCH_CHARS = 500_000
"""Characters embedded at once: about 10,000 different words, 10 MB of vectors."""
_ENCODED = 512  # words encoded at once: an encoding holds ten times what we take from it
_KNOWN = 50_000  # words whose tokens are remembered, 10 MB; a book has some 10,000
_KNOWN_CHARS = 30  # longer ones are rare
_GATHERED = 1_024  # vectors summed at once: 1 MB
_SURROGATES = re.compile("[\ud800-\udfff]")


class _Model(NamedTuple):
    tokenizer: Any  # tokenizers.Tokenizer
    vectors: NDArray[np.float32]  # shape (tokens, 256)
    known: dict[str, list[int]]  # tokens of words seen lately: encoding is half of all the work


_lock = threading.Lock()
_loaded: list[_Model] = []  # at most one a process: 32 MB, shared by all instances and threads


@dataclass(frozen=True)
class WordLlamaEmbedder(CallsNoModel):
    """Embeds a text as the mean of its tokens' vectors; offline, on the CPU.

    wordllama (MIT) with its `l2_supercat` weights of 256 dimensions. The vectors equal its own
    `embed(norm=True)`; here each different word is looked up once, since no token of this
    model crosses a space. An instance holds settings only, so it pickles to a few bytes.
    """

    @property
    def name(self) -> str:
        """Name the embedder in documents and messages."""
        return "wordllama"

    @property
    def dimension(self) -> int:
        """Length of its vectors; known without loading the model."""
        return _DIMENSION

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its vectors."""
        return {"model": "wordllama/l2_supercat", "dimension": _DIMENSION, "normalize": "l2"}

    def check(self) -> None:
        """Raise `SetupError` if the package or its weights are not there."""
        _model()

    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        """Return one L2-normalized vector a text, shape (len(texts), 256).

        A text without tokens (the empty one) gets the same unit vector each time: cosine k-NN
        refuses zero vectors.

        Args:
            texts: Texts of any length; memory does not grow with it.
            input_type: Makes no difference to this model.

        Raises:
            SetupError: The package or its weights are not there.
        """
        model = _model()
        sums = np.zeros((len(texts), _DIMENSION), dtype=np.float32)
        for owners, pieces in _batches(texts):
            _add_pieces(sums, owners, pieces, model)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        sums[norms[:, 0] == 0] = 1.0
        norms[norms == 0] = np.sqrt(_DIMENSION)
        sums /= norms
        return sums


def _batches(texts: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
    """Yield pieces of texts with the positions of the texts they belong to."""
    owners: list[int] = []
    pieces: list[str] = []
    chars = 0
    for owner, text in enumerate(texts):
        for piece in _pieces(text):
            owners.append(owner)
            pieces.append(piece)
            chars += len(piece)
            if chars >= _BATCH_CHARS:
                yield owners, pieces
                owners, pieces, chars = [], [], 0
    if pieces:
        yield owners, pieces


def _pieces(text: str) -> Iterator[str]:
    """Cut a long text, at spaces where it has some."""
    text = _SURROGATES.sub("\ufffd", text)  # the tokenizer takes UTF-8 only
    start = 0
    while len(text) - start > _PIECE_CHARS:
        cut = text.rfind(" ", start + 1, start + _PIECE_CHARS)
        end = cut if cut > start else start + _PIECE_CHARS
        yield text[start:end]
        start = end
    if text[start:]:
        yield text[start:]


def _add_pieces(
    sums: NDArray[np.float32], owners: list[int], pieces: list[str], model: _Model
) -> None:
    """Add the token vectors of each piece to its owner's row of `sums`."""
    index: dict[str, int] = {}
    ids: list[int] = []
    rows: list[int] = []  # owner of each word
    for owner, piece in zip(owners, pieces, strict=True):
        words = piece.split()
        ids += [index.setdefault(word, len(index)) for word in words]
        rows += [owner] * len(words)
    _add_vectors(sums, rows, _word_vectors(model, list(index)), ids)


def _word_vectors(model: _Model, words: list[str]) -> NDArray[np.float32]:
    """Return the sum of each word's token vectors, shape (len(words), 256)."""
    tokens = _tokens(model, words)
    rows = [row for row, ids in enumerate(tokens) for _ in ids]
    sums = np.zeros((len(words), _DIMENSION), dtype=np.float32)
    _add_vectors(sums, rows, model.vectors, list(chain.from_iterable(tokens)))
    return sums


def _tokens(model: _Model, words: list[str]) -> list[list[int]]:
    """Return the tokens of each word; safe for many threads."""
    known = model.known
    found = {word: known.get(word) for word in words}
    new = [word for word, ids in found.items() if ids is None]
    if len(known) > _KNOWN:
        known.clear()
    for start in range(0, len(new), _ENCODED):
        part = new[start : start + _ENCODED]
        encoded = model.tokenizer.encode_batch_fast(part, add_special_tokens=False)
        for word, code in zip(part, encoded, strict=True):
            ids: list[int] = code.ids
            found[word] = ids
            if len(word) <= _KNOWN_CHARS:
                known[word] = ids
    return [found[word] or [] for word in words]


def _add_vectors(
    sums: NDArray[np.float32], rows: list[int], vectors: NDArray[np.float32], ids: list[int]
) -> None:
    """Add `vectors[ids]` to the rows of `sums`, in one small buffer that stays in the cache.

    Args:
        sums: Shape (any, 256), changed in place.
        rows: Row of `sums` for each id, ascending.
        vectors: Shape (any, 256).
        ids: Rows of `vectors`; one past the end means the last.
    """
    buffer = np.empty((_GATHERED, _DIMENSION), dtype=np.float32)
    all_rows, all_ids = np.asarray(rows, dtype=np.int64), np.asarray(ids, dtype=np.int64)
    for start in range(0, len(ids), _GATHERED):
        part = all_rows[start : start + _GATHERED]
        gathered = buffer[: len(part)]
        # "clip" also spares numpy a second buffer
        np.take(vectors, all_ids[start : start + _GATHERED], axis=0, out=gathered, mode="clip")
        begins = np.flatnonzero(np.diff(part, prepend=-1))
        sums[part[begins]] += np.add.reduceat(gathered, begins, axis=0)


def _model() -> _Model:
    with _lock:
        if not _loaded:
            _loaded.append(_load())
        return _loaded[0]


def _load() -> _Model:
    """Load the weights that came with the package.

    `WordLlama.load()` alone asks a model hub for its tokenizer: it looks in `tokenizer/`, the
    wheel has `tokenizers/`. Its own folder as cache folder is the way around (0.4.0.post1).
    """
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise SetupError("embedder=wordllama needs the package wordllama: pip install wordllama")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # One core a worker: the tokenizer's threads would take those of its neighbors.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        from wordllama import WordLlama

        loaded = WordLlama.load(cache_dir=Path(spec.origin).parent, disable_download=True)
    except FileNotFoundError as error:
        raise SetupError(
            f"embedder=wordllama: its weights are not in the package ({error}); "
            "pip install --force-reinstall wordllama"
        ) from error
    finally:  # importing wordllama calls logging.basicConfig()
        root.handlers[:] = handlers
        root.setLevel(level)
    loaded.tokenizer.no_padding()
    return _Model(loaded.tokenizer, loaded.embedding, {})
