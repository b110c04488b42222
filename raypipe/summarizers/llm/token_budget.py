"""How much a model is given and asked for at a time, in words, tokens and bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from raypipe.summarizers.llm.chunks import LEAST_BYTES
from raypipe.text import count_words

_HEADROOM = 0.9
"""Share of the window that is used: tokens are estimated, and the server adds its own."""
_SPARE = 1.3
"""Tokens of an answer beyond the words asked for; unset, a quota reserves the model's most."""
_LIKELY = 0.75
"""Answers stay a fifth below "at most so many words", and English has fewer tokens a word (1.5)
than `tokens_per_word` allows for."""
_LIKELY_LISTS = 100
"""Words of the lists in an answer that are likely; they are asked for as "up to", too."""
_LIST_WORDS = 250
"""Words of all the answer's fields but summary and plot, and of its JSON."""
_PLOT = 0.6  # words of the plot for each of the summary
_LEAST_WORDS = 25
_SHRINKS = 3  # an answer has at most this part of the text's words
_ANSWER_BYTES = 8  # bytes of a word with its space; English has 6
_TIGHTER = 0.7
MOST_LEVELS = 5
"""Of merging below the final answer: enough for 64 parts with two a merge, for any with twelve."""


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """Budgets of every level; see `ModelSummarizer` for what each setting means.

    Raises:
        ValueError: A setting is out of its range, or they do not go together.
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
    overhead_bytes: int  # of the longest prompt but its text

    def __post_init__(self) -> None:
        """Check the ranges, and that two summaries fit into one call."""
        least = {
            "chunk_tokens": 100, "context_tokens": 1_000, "max_chunks": 1, "fan_in": 2,
            "words": 20, "chunk_words": 20, "merge_words": 20, "extract_words": 0,
        }  # fmt: skip
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {value}")
        for name in ("tokens_per_word", "bytes_per_token", "limit_bytes_per_token"):
            if not 0.25 <= getattr(self, name) <= 20:
                raise ValueError(f"{name}={getattr(self, name)} must be from 0.25 to 20")
        if self.most_chunk_bytes < LEAST_BYTES or self.most_parts < 2:
            raise ValueError(
                f"context_tokens={self.context_tokens} holds no two summaries of"
                f" chunk_words={self.chunk_words} or merge_words={self.merge_words} beside the"
                " prompt and the answer; raise it or lower these"
            )

    @property
    def chunk_bytes(self) -> int:
        """Bytes that a chunk should have."""
        return int(self.chunk_tokens * self.bytes_per_token)

    @property
    def most_chunk_bytes(self) -> int:
        """Bytes that a chunk may have for its call to fit into the window."""
        return self._room(self.answer_tokens(self.chunk_words))

    @property
    def most_parts(self) -> int:
        """Summaries that are merged at once: `fan_in`, fewer where the window is small."""
        room = min(
            self._room(self.answer_tokens(self.merge_words)),
            self._room(self.final_tokens(self.words)),
        )
        part = max(self.chunk_words, self.merge_words) * _ANSWER_BYTES
        return min(self.fan_in, (room - self.extract_words * _ANSWER_BYTES) // part)

    def fits(self, prompt: int, max_tokens: int) -> bool:
        """Whether a prompt of so many bytes and its answer fit into the window."""
        estimated = math.ceil(prompt / self.limit_bytes_per_token)
        return estimated + max_tokens <= self.context_tokens * _HEADROOM

    def cost_tokens(self, size: int) -> int:
        """Return the tokens that so many bytes are likely to have."""
        return math.ceil(size / self.bytes_per_token)

    def answer_tokens(self, words: int) -> int:
        """Return the most tokens of an answer of so many words."""
        return math.ceil(words * self.tokens_per_word * _SPARE)

    def final_tokens(self, words: int) -> int:
        """Return the most tokens of the answer about the book."""
        return self.answer_tokens(words + self.plot_words(words) + _LIST_WORDS)

    def likely_tokens(self, words: int, *, structured: bool) -> int:
        """Return the tokens that an answer of at most so many words is likely to have."""
        lists = _LIKELY_LISTS + self.plot_words(words) if structured else 0
        return math.ceil((words + lists) * self.tokens_per_word * _LIKELY)

    def plot_words(self, words: int) -> int:
        """Return the words of the plot beside a summary of so many words."""
        return max(_LEAST_WORDS, int(words * _PLOT))

    def wanted(self, most: int, text: str) -> int:
        """Return the words to ask for: a short text needs fewer than `most`."""
        return max(_LEAST_WORDS, min(most, count_words(text) // _SHRINKS))

    def tighter(self, words: int) -> int:
        """Return the words to ask for when more were too many."""
        return max(_LEAST_WORDS // 2, int(words * _TIGHTER))

    def _room(self, max_tokens: int) -> int:
        tokens = self.context_tokens * _HEADROOM - max_tokens
        return int(tokens * self.limit_bytes_per_token) - self.overhead_bytes
