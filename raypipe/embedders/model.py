"""Embed with a model behind an API: batching, truncation, order and normalization."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from raypipe.core.errors import BookError
from raypipe.core.per_process import PerProcess
from raypipe.core.setup_check import check_setup
from raypipe.embedders.protocol import EmbeddingCost, InputType
from raypipe.models.calling.caller import ModelCaller
from raypipe.models.calling.model_calls import embedding_call
from raypipe.models.calling.spending import Spending
from raypipe.models.context import ModelContext, PaidModel
from raypipe.models.protocol import EmbeddingModel, TooLongError, Vectors

_BATCH_CHARS = 300_000
"""Maximum number of characters per call: OpenAI accepts 300,000 tokens, other servers fewer."""
_MIN_CHARS = 200
"""Texts are not halved below this length: every model accepts that many characters."""
_CALL_GROUP = "embed"
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class ModelEmbedder:
    """Embed with a model that is called over HTTP; each vector is paid for once.

    Args:
        model: The client of the model.
        calls: Maximum number of calls in flight per worker.
        context: The run's answer cache and quota, see `with_context`; None for neither.

    Raises:
        ValueError: A setting is out of its range.
    """

    model: EmbeddingModel
    calls: int = 16
    context: ModelContext | None = None
    _caller: PerProcess[ModelCaller] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.calls < 1:
            raise ValueError(f"calls={self.calls} must be at least 1")

    @property
    def name(self) -> str:
        """Return the name for documents and messages."""
        return self.model.name

    @property
    def dimension(self) -> int:
        """Return the length of the vectors; known without a call."""
        return self.model.dimension

    @property
    def paid_model(self) -> PaidModel:
        """Return the embedding model: each of its calls costs money."""
        return self.model

    def with_context(self, context: ModelContext) -> Self:
        """Return a copy that uses the run's answer cache and quota."""
        return dataclasses.replace(self, context=context)

    def identity(self) -> Mapping[str, Any]:
        """Return the settings that change the vectors."""
        return {**self.model.identity(), "cut": self.model.max_chars}

    def check_setup(self) -> None:
        """Check what the model needs on this machine; see `raypipe.core.setup_check`."""
        check_setup(self.model)

    def check(self) -> None:
        """Embed a word.

        Raises:
            SetupError: No call can succeed.
        """
        self.model.check()

    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        """Return one L2-normalized vector per text, shape (len(texts), dimension).

        Models refuse blank texts. A blank text always gets the same unit vector, because cosine
        k-NN refuses zero vectors.

        Args:
            texts: Texts of any length; truncated to the model's `max_chars`.
            input_type: Whether the texts are indexed or searched with.

        Raises:
            BookError: The model did not answer, or its answer has no usable vectors.
            BookLeftError: The run stops, or the budget does not cover the call.
            SetupError: No call can succeed.
        """
        return self._embed(texts, input_type, [None] * len(texts))

    def embed_counted(
        self, texts: Sequence[str], owners: Sequence[str]
    ) -> tuple[NDArray[np.float32], list[EmbeddingCost]]:
        """Return the vector of each document, and what it cost; see `embed`.

        Args:
            texts: Texts of any length; truncated to the model's `max_chars`.
            owners: Key of the book of each text.
        """
        spendings = [Spending(self.model, self.context, owner) for owner in owners]
        vectors = self._embed(texts, "document", spendings)
        return vectors, [
            EmbeddingCost(spending.calls, spending.tokens.input_tokens, spending.usd)
            for spending in spendings
        ]

    def _embed(
        self, texts: Sequence[str], input_type: InputType, spendings: Sequence[Spending | None]
    ) -> NDArray[np.float32]:
        vectors = np.full((len(texts), self.dimension), self.dimension**-0.5, dtype=np.float32)
        max_chars = self.model.max_chars
        prepared = {
            row: _truncate(_replace_surrogates(text), max_chars)
            for row, text in enumerate(texts)
            if text.strip()
        }
        batches = [
            (rows, [prepared[row] for row in rows]) for rows in self._split_into_batches(prepared)
        ]
        # A batch of several texts counts for the first of them.
        submits = [partial(self._submit, input_type, spendings[rows[0]]) for rows, _ in batches]
        futures = [submit(batch) for submit, (_, batch) in zip(submits, batches, strict=True)]
        try:
            for (rows, batch), future, submit in zip(batches, futures, submits, strict=True):
                vectors[rows] = self._result(future, batch, submit)
        finally:
            for future in futures:
                future.cancel()  # after an error the remaining calls are not needed
        return vectors

    def _split_into_batches(self, texts: Mapping[int, str]) -> Iterator[list[int]]:
        """Yield the rows of the texts of each call.

        With an answer cache, each text is a separate call: the next run batches it with other
        texts and would not find the batch in the cache.
        """
        is_cached = self.context is not None and self.context.state is not None
        max_texts = 1 if is_cached else self.model.max_texts
        rows: list[int] = []
        chars = 0
        for row, text in texts.items():
            if rows and (len(rows) == max_texts or chars + len(text) > _BATCH_CHARS):
                yield rows
                rows, chars = [], 0
            rows.append(row)
            chars += len(text)
        if rows:
            yield rows

    def _submit(
        self, input_type: InputType, spending: Spending | None, texts: Sequence[str]
    ) -> Future[Vectors]:
        caller = self._caller.get(self._create_caller)
        call = embedding_call(self.model, texts, input_type, caller.token_estimate)
        if spending is not None:
            call = spending.track(call, hash(tuple(texts)))
        return caller.submit(_CALL_GROUP, call)

    def _create_caller(self) -> ModelCaller:
        context = self.context or ModelContext()
        return ModelCaller(context, self.model.pool, max_in_flight=self.calls)

    def _result(
        self,
        future: Future[Vectors],
        texts: list[str],
        submit: Callable[[Sequence[str]], Future[Vectors]],
    ) -> NDArray[np.float32]:
        """Return the unit vectors of a call; split the call in halves if it was too long."""
        try:
            return self._normalize(future.result().vectors, len(texts))
        except TooLongError as error:
            if len(texts) == 1 and len(texts[0]) <= _MIN_CHARS:
                raise BookError("too_long", str(error)) from error
        middle = len(texts) // 2
        halves = [texts[:middle], texts[middle:]] if middle else [[_first_half(texts[0])]]
        vectors = [self._result(submit(half), half, submit) for half in halves]
        return np.concatenate(vectors)

    def _normalize(self, rows: Sequence[Sequence[float]], count: int) -> NDArray[np.float32]:
        """Return L2-normalized vectors, shape (count, dimension)."""
        try:
            vectors = np.asarray(rows, dtype=np.float64)
        except (ValueError, TypeError, OverflowError):
            message = f"{self.name}: the vectors are not lists of numbers of equal length"
            raise BookError("bad_vector", message) from None
        if vectors.shape != (count, self.dimension):
            message = f"{self.name}: vectors of shape {vectors.shape} for {count} texts"
            raise BookError("bad_vector", message)
        with np.errstate(over="ignore"):
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(norms).all() and (norms > 0).all()):
            raise BookError("bad_vector", f"{self.name}: a vector is zero or not finite")
        return np.asarray(vectors / norms, dtype=np.float32)


def _replace_surrogates(text: str) -> str:
    """Replace lone surrogates, which cannot be encoded as UTF-8."""
    return _SURROGATES.sub("\ufffd", text)


def _first_half(text: str) -> str:
    """Return the first half of a text, but not less than `_MIN_CHARS`."""
    return _truncate(text, max(_MIN_CHARS, len(text) // 2))


def _truncate(text: str, max_chars: int) -> str:
    """Truncate a text to `max_chars`, at a space if there is one in the last tenth."""
    if len(text) <= max_chars:
        return text
    space = text.rfind(" ", max_chars - max_chars // 10, max_chars)
    return text[: space if space > 0 else max_chars]
