"""Notice that a server cuts prompts and answers anyway.

Ollama, for example, drops the beginning of a prompt that is longer than its window, and counts
the rest: half of the window, the same number every time.
"""

from __future__ import annotations

import logging
import threading
from functools import lru_cache

log = logging.getLogger(__name__)

_MIN_CHARS, _MIN_TOKENS = 2_000, 256
"""Smaller prompts and counts are not judged: some servers leave out the tokens that they cached."""
_CERTAIN_CHARS = 8.0
"""More characters per token than in any language; English has 4 to 5, Chinese 1 to 2."""
_UNLIKELY_CHARS = 5.5
"""From here on, the same count for prompts of different sizes means that they were cut."""
_MIN_DIFFERENCE = 0.02  # of two sizes


def is_english_cut(chars: int, tokens: int) -> bool:
    """Return whether a count of tokens is too low for an English prompt of so many characters."""
    return _can_judge(chars, tokens) and chars > tokens * _UNLIKELY_CHARS


def _can_judge(chars: int, tokens: int) -> bool:
    return chars >= _MIN_CHARS and tokens >= _MIN_TOKENS


class CutPrompts:
    """The suspicious counts of a server. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chars_by_count: dict[int, int] = {}

    def is_cut(self, chars: int, tokens: int) -> bool:
        """Return whether the server cut a prompt.

        Args:
            chars: Characters of the prompt.
            tokens: Input tokens as counted by the server.
        """
        if not _can_judge(chars, tokens) or chars < tokens * _UNLIKELY_CHARS:
            return False
        with self._lock:
            first = self._chars_by_count.setdefault(tokens, chars)
        return chars > tokens * _CERTAIN_CHARS or abs(chars - first) > _MIN_DIFFERENCE * first


@lru_cache(maxsize=256)
def log_cut_prompt(model: str, tokens: int) -> None:
    """Log, once per process, model and count, that a server cuts prompts."""
    log.warning(
        "%s cuts prompts: it counts %s tokens of a longer prompt; raypipe sends smaller pieces. "
        "Raise the context window of the server (Ollama: OLLAMA_CONTEXT_LENGTH), or set "
        "summarizer.context_tokens to it",
        model,
        f"{tokens:,}",
    )
