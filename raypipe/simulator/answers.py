"""Write extractive answers: sentences of the prompt's text, so that search results make sense.

The same prompt always gets the same answer.
"""

from __future__ import annotations

import re
from collections import Counter

from raypipe.simulator.prompts import split_prompt
from raypipe.simulator.tokens import count_tokens

REFUSAL = "I'm sorry, but I can't help with summarizing this text."
_SENTENCE_END = re.compile(r"[.!?][\"'\u201d\u2019)]*\s+")
# The capital is first, so that the search can skip to it; the lookbehind then checks what
# precedes it.
_NAME = re.compile(r"[A-Z](?<=[a-z,;] [A-Z])[a-z]{2,}(?: [A-Z][a-z]{2,})?")
_NAME_WINDOW_CHARS = 1_500
_MIN_SENTENCE_CHARS, _MAX_SENTENCE_CHARS = 40, 600
BYTES_PER_WORD = 5
"""English words with their space take nearly six bytes, so answers keep to the requested words."""
_MAX_SKIPPED_SENTENCES = 8
"""Short sentences in a row, as in a dialogue, that are skipped."""


def find_sentence(body: str, position: int) -> str:
    """Return the first sentence at or after a position that is long enough, as one line."""
    previous = _SENTENCE_END.search(body, position) if position > 0 else None
    start = previous.end() if previous else 0
    sentence = ""
    for _ in range(_MAX_SKIPPED_SENTENCES):
        end = _SENTENCE_END.search(body, start)
        sentence = body[start : end.end() if end else len(body)]
        if end is None or len(sentence) >= _MIN_SENTENCE_CHARS:
            break
        start = end.end()
    return " ".join(sentence[:_MAX_SENTENCE_CHARS].split())


def sample_sentences(body: str, count: int) -> list[str]:
    """Return up to `count` different sentences from evenly spread positions, in reading order."""
    sentences: dict[str, None] = {}
    for number in range(count):
        # The first is taken from the very beginning, where a book introduces itself.
        position = 0 if number == 0 else int((number + 0.5) / count * len(body))
        if sentence := find_sentence(body, position):
            sentences[sentence] = None
    return list(sentences)


def frequent_names(body: str, count: int) -> list[str]:
    """Return the most frequent capitalized names in four or five windows of a text."""
    step = max(1, len(body) // 4)
    windows = [body[at : at + _NAME_WINDOW_CHARS] for at in range(0, len(body), step)]
    counts = Counter(name for window in windows[:5] for name in _NAME.findall(window))
    ranked = sorted(counts.items(), key=lambda counted: (-counted[1], counted[0]))
    return [name for name, _ in ranked[:count]]


def extract(body: str, max_bytes: int) -> str:
    """Return sentences spread over a text, in its order, within `max_bytes` (at least one).

    If there is room, a sentence with the most frequent names follows.
    """
    sentences: list[str] = []
    names = frequent_names(body, 4)
    ending = f"It tells of {', '.join(names)}." if names and max_bytes > 200 else ""
    room = max_bytes - len(ending.encode())
    for sentence in sample_sentences(body, max(1, max_bytes // 90)):
        if sentences and len(sentence.encode()) + 1 > room:
            continue
        sentences.append(sentence)
        room -= len(sentence.encode()) + 1
    return " ".join([*sentences, ending] if ending else sentences)


def summarize(prompt: str, answer_tokens: int, bytes_per_token: float) -> str:
    """Return an extractive summary of a prompt's text, at most half as long as the text.

    Args:
        prompt: The user's text.
        answer_tokens: Approximate length if the prompt requests no number of words.
        bytes_per_token: Bytes of UTF-8 that count as a token.
    """
    parts = split_prompt(prompt)
    wanted = int(answer_tokens * bytes_per_token)
    if parts.words is not None:
        wanted = parts.words * BYTES_PER_WORD
    half = int(count_tokens(parts.body, bytes_per_token) * bytes_per_token / 2)
    text = extract(parts.body, max(1, min(wanted, half)))
    return text if parts.words is None else _truncate_to_words(text, parts.words)


def _truncate_to_words(text: str, count: int) -> str:
    words = text.split()
    return text if len(words) <= count else " ".join(words[:count])
