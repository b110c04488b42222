"""Size the requests to a model and its answers: words, tokens and bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from raypipe.summarizers.llm.chunks import MIN_CHUNK_BYTES
from raypipe.text import count_words

_WINDOW_SHARE = 0.9
"""Used share of the context window: token counts are estimates, and the server adds tokens."""
_ANSWER_SLACK = 1.3
"""`max_tokens` of an answer relative to the requested words. Without `max_tokens`, a quota
reserves the model's maximum."""
_LIKELY_SHARE = 0.75
"""Answers stay a fifth below "at most N words", and English has fewer tokens per word (1.5) than
`tokens_per_word` allows for."""
_LIKELY_LIST_WORDS = 100
"""Likely words of the lists in an answer; the prompt asks for "up to" a number of them, too."""
_MAX_LIST_WORDS = 250
"""Words of all fields of an answer except summary and plot, and of its JSON."""
_PLOT_SHARE = 0.6  # words of the plot for each word of the summary
_MIN_WORDS = 25
_MIN_FINAL_WORDS = 20
_MIN_COMPRESSION = 3  # an answer has at most this fraction of the text's words
_ANSWER_BYTES_PER_WORD = 8  # with its space; English has 6
_RETRY_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """Budgets of every level.

    Args:
        overhead_bytes: Bytes of the longest prompt without its text.
        thinking_room: Tokens that each answer gets beside its own, for the model's thinking. All
            other settings are those of `ModelSummarizer`, which documents them.

    Raises:
        ValueError: A setting is out of range, or the settings contradict each other.
    """

    chunk_tokens: int
    context_tokens: int
    max_chunks: int
    fan_in: int
    words: int
    chunk_words: int
    merge_words: int
    extract_words: int
    tokens_per_word: float
    bytes_per_token: float
    limit_bytes_per_token: float
    overhead_bytes: int
    thinking_room: int = 0

    def __post_init__(self) -> None:
        """Check the ranges, and that two summaries fit into one call."""
        minimums = {
            "chunk_tokens": 100, "context_tokens": 1_000, "max_chunks": 1, "fan_in": 2,
            "words": 20, "chunk_words": 20, "merge_words": 20, "extract_words": 0,
        }  # fmt: skip
        for name, minimum in minimums.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {minimum}")
        for name in ("tokens_per_word", "bytes_per_token", "limit_bytes_per_token"):
            if not 0.25 <= getattr(self, name) <= 20:
                raise ValueError(f"{name}={getattr(self, name)} must be from 0.25 to 20")
        if self.max_chunk_bytes < MIN_CHUNK_BYTES or self.max_merge_parts < 2:
            raise ValueError(
                f"context_tokens={self.context_tokens} is too small for two summaries of"
                f" chunk_words={self.chunk_words} or merge_words={self.merge_words} beside the"
                " prompt and the answer; raise context_tokens or lower chunk_words and merge_words"
            )

    @property
    def chunk_bytes(self) -> int:
        """Target size of a chunk in bytes."""
        return int(self.chunk_tokens * self.bytes_per_token)

    @property
    def max_chunk_bytes(self) -> int:
        """Maximum size of a chunk in bytes for its call to fit into the window."""
        return self._max_text_bytes(self.max_answer_tokens(self.chunk_words))

    @property
    def max_book_bytes(self) -> int:
        """Maximum size of a book in bytes for a single call about it to fit into the window."""
        return self._max_text_bytes(self.max_final_tokens(self.words))

    @property
    def max_merge_parts(self) -> int:
        """Maximum summaries per merge: `fan_in`, fewer if the window is small."""
        max_bytes = min(
            self._max_text_bytes(self.max_answer_tokens(self.merge_words)),
            self._max_text_bytes(self.max_final_tokens(self.words)),
        )
        part_bytes = max(self.chunk_words, self.merge_words) * _ANSWER_BYTES_PER_WORD
        quote_bytes = self.extract_words * _ANSWER_BYTES_PER_WORD
        return min(self.fan_in, (max_bytes - quote_bytes) // part_bytes)

    def adapt(self, context_tokens: int, max_output_tokens: int, thinking_room: int) -> TokenBudget:
        """Return the budgets for a model with smaller limits.

        Args:
            context_tokens: The model's context window; 0 for that of the settings.
            max_output_tokens: The model's limit of an answer; 0 for none.
            thinking_room: Tokens of each answer for thinking.

        Raises:
            ValueError: Prompt, text and answer do not fit into the limits.
        """
        context_tokens = min(context_tokens or self.context_tokens, self.context_tokens)
        if not max_output_tokens:
            return replace(self, context_tokens=context_tokens, thinking_room=thinking_room)
        tokens = max_output_tokens - min(thinking_room, max_output_tokens // 2)
        words = int(tokens / self.tokens_per_word / _ANSWER_SLACK)
        final_words = int((words - _MAX_LIST_WORDS) / (1 + _PLOT_SHARE))
        return replace(
            self,
            context_tokens=context_tokens,
            thinking_room=thinking_room,
            words=max(_MIN_FINAL_WORDS, min(self.words, final_words)),
            chunk_words=min(self.chunk_words, words),
            merge_words=min(self.merge_words, words),
        )

    def fits(self, prompt_bytes: int, max_tokens: int) -> bool:
        """Return whether a prompt and its answer fit into the window."""
        estimated = math.ceil(prompt_bytes / self.limit_bytes_per_token)
        return estimated + max_tokens + self.thinking_room <= self.context_tokens * _WINDOW_SHARE

    def estimate_tokens(self, text_bytes: int) -> int:
        """Return the likely tokens of a text, for costs."""
        return math.ceil(text_bytes / self.bytes_per_token)

    def max_answer_tokens(self, words: int) -> int:
        """Return the maximum tokens of an answer with the given number of words."""
        return math.ceil(words * self.tokens_per_word * _ANSWER_SLACK)

    def max_final_tokens(self, words: int) -> int:
        """Return the maximum tokens of the answer about the book.

        Args:
            words: Words of its summary.
        """
        return self.max_answer_tokens(words + self.plot_words(words) + _MAX_LIST_WORDS)

    def likely_answer_tokens(self, words: int, *, structured: bool) -> int:
        """Return the likely tokens of an answer, for costs.

        Args:
            words: Maximum words of the answer, or of its summary if it is structured.
            structured: Whether the answer also has a plot and lists.
        """
        other_words = _LIKELY_LIST_WORDS + self.plot_words(words) if structured else 0
        return math.ceil((words + other_words) * self.tokens_per_word * _LIKELY_SHARE)

    def plot_words(self, words: int) -> int:
        """Return the words of the plot beside a summary with the given number of words."""
        return max(_MIN_WORDS, int(words * _PLOT_SHARE))

    def words_to_request(self, max_words: int, text: str) -> int:
        """Return the words to ask for: fewer than `max_words` for a short text."""
        return max(_MIN_WORDS, min(max_words, count_words(text) // _MIN_COMPRESSION))

    def words_to_retry(self, words: int) -> int:
        """Return the words to ask for if an answer to a request for `words` was not usable."""
        return max(_MIN_WORDS // 2, int(words * _RETRY_SHARE))

    def _max_text_bytes(self, max_tokens: int) -> int:
        """Return the bytes of text that fit into the window beside prompt and answer."""
        tokens = self.context_tokens * _WINDOW_SHARE - max_tokens - self.thinking_room
        return int(tokens * self.limit_bytes_per_token) - self.overhead_bytes
