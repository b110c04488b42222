"""Embedders that are models behind an API: batches, order, lengths, and one caller for all."""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from raypipe.core.book import BookError
from raypipe.embedders.protocol import InputType
from raypipe.models.calling.caller import ModelCaller
from raypipe.models.calling.model_calls import embedding_call
from raypipe.models.context import ModelContext, PaidModel
from raypipe.models.protocol import EmbeddingModel, TooLongError, Vectors

_BATCH_CHARS = 300_000
"""Most characters of one call: OpenAI takes 300,000 tokens, a server of one's own less."""
_SHORTEST = 200
"""A text of so few characters is not too long for any model."""
_TURN = "embed"
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class ModelEmbedder:
    """Embeds with a model that is called over HTTP; each vector is paid for once.

    Args:
        model: The client of the model.
        calls: Most calls in flight of one worker.
        context: The run's answer cache and quota, see `with_context`; None for neither.

    Raises:
        ValueError: A setting is out of its range.
    """

    model: EmbeddingModel
    calls: int = 16
    context: ModelContext | None = None
    _made: list[ModelCaller] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.calls < 1:
            raise ValueError(f"calls={self.calls} must be at least 1")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the caller behind: its threads belong to this process."""
        state = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {**state, "_made": []}

    @property
    def name(self) -> str:
        """Name the embedder in documents and messages."""
        return self.model.name

    @property
    def dimension(self) -> int:
        """Length of its vectors; known without a call."""
        return self.model.dimension

    @property
    def paid_model(self) -> PaidModel:
        """Return the embedding model: each of its calls costs money."""
        return self.model

    def with_context(self, context: ModelContext) -> Self:
        """Return a copy that uses the run's answer cache and quota."""
        return dataclasses.replace(self, context=context)

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its vectors."""
        return {**self.model.identity(), "cut": self.model.max_chars}

    def check(self) -> None:
        """Embed a word.

        Raises:
            SetupError: No call could succeed.
        """
        self.model.check()

    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        """Return one L2-normalized vector a text, shape (len(texts), dimension).

        A blank text, which models refuse, gets the same unit vector each time: cosine k-NN
        refuses zero vectors.

        Args:
            texts: Texts of any length; what the model cannot read is cut off.
            input_type: Whether they are kept, or searched with.

        Raises:
            BookError: The model has not answered, or not with vectors.
            LeftError: The run stops, or the budget holds no such call.
            SetupError: No call can succeed.
        """
        vectors = np.full((len(texts), self.dimension), self.dimension**-0.5, dtype=np.float32)
        most = self.model.max_chars
        cut = {at: _cut(_clean(text), most) for at, text in enumerate(texts) if text.strip()}
        batches = list(self._batches(cut))
        futures = [self._submit([cut[at] for at in batch], input_type) for batch in batches]
        try:
            for batch, future in zip(batches, futures, strict=True):
                vectors[batch] = self._result(future, [cut[at] for at in batch], input_type)
        finally:
            for future in futures:
                future.cancel()  # after an error nobody wants the rest
        return vectors

    def _batches(self, texts: Mapping[int, str]) -> Iterator[list[int]]:
        """Yield the positions of the texts of each call.

        Where answers are kept, each text is a call of its own: the next run has other
        neighbors for it, and would find no batch again.
        """
        kept = self.context is not None and self.context.state is not None
        most = 1 if kept else self.model.max_texts
        batch: list[int] = []
        chars = 0
        for at, text in texts.items():
            if batch and (len(batch) == most or chars + len(text) > _BATCH_CHARS):
                yield batch
                batch, chars = [], 0
            batch.append(at)
            chars += len(text)
        if batch:
            yield batch

    def _submit(self, texts: Sequence[str], input_type: InputType) -> Future[Vectors]:
        caller = self._caller()
        call = embedding_call(self.model, texts, input_type, caller.token_estimate)
        return caller.submit(_TURN, call)

    def _result(
        self, future: Future[Vectors], texts: list[str], input_type: InputType
    ) -> NDArray[np.float32]:
        """Return the vectors of a call; one that was too long is made again in halves."""
        try:
            return self._normalized(future.result().vectors, len(texts))
        except TooLongError as error:
            if len(texts) == 1 and len(texts[0]) <= _SHORTEST:
                raise BookError("too_long", str(error)) from error
        middle = len(texts) // 2
        parts = [texts[:middle], texts[middle:]] if middle else [[_cut(texts[0], _half(texts[0]))]]
        made = [self._result(self._submit(one, input_type), one, input_type) for one in parts]
        return np.concatenate(made)

    def _normalized(self, rows: Sequence[Sequence[float]], count: int) -> NDArray[np.float32]:
        vectors = np.asarray(rows, dtype=np.float64)
        if vectors.shape != (count, self.dimension):
            message = f"{self.name}: vectors of shape {vectors.shape} for {count} texts"
            raise BookError("bad_vector", message)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(norms).all() and (norms > 0).all()):
            raise BookError("bad_vector", f"{self.name}: a vector without a direction")
        return np.asarray(vectors / norms, dtype=np.float32)

    def _caller(self) -> ModelCaller:
        with _lock:
            if not self._made:
                context = self.context or ModelContext()
                self._made.append(ModelCaller(context, self.model.pool, max_in_flight=self.calls))
            return self._made[0]


_lock = threading.Lock()


def _clean(text: str) -> str:
    """Replace what is no character and cannot be sent."""
    return _SURROGATES.sub("\ufffd", text)


def _half(text: str) -> int:
    return max(_SHORTEST, len(text) // 2)


def _cut(text: str, most: int) -> str:
    """Cut a text to `most` characters, at a space where there is one near."""
    if len(text) <= most:
        return text
    space = text.rfind(" ", most - most // 10, most)
    return text[: space if space > 0 else most]
