"""What the models say: sentences of the text they were given, so that search still means something.

The same prompt always gets the same answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.simulator.calls import count_tokens

REFUSAL = "I'm sorry, but I can't help with summarizing this text."
_TAGGED = re.compile(r"<(\w+)[^<>]*>(.+)</\1>", re.DOTALL)
_PART = 12
"""A tag with less of the prompt than this part of it is an aside, not what the prompt is about."""
_WORDS_ASKED = re.compile(r"\b(?:most|under|about|within|up to|than|exactly) (\d{1,5}) words", re.I)
_END = re.compile(r"[.!?][\"'\u201d\u2019)]*\s+")
# The capital stands first, so that the search can skip to one; what is before it is looked at then.
_NAME = re.compile(r"[A-Z](?<=[a-z,;] [A-Z])[a-z]{2,}(?: [A-Z][a-z]{2,})?")
_NAMES_LOOK = 1_500
_SHORTEST_SENTENCE, _LONGEST_SENTENCE = 40, 600
BYTES_A_WORD = 5
"""English words and their spaces take nearly six; so an answer stays within what was asked for."""
_SHORT_ONES = 8
"""Short sentences in a row, as in a dialogue, that are passed over."""


@dataclass(frozen=True)
class Source:
    """A prompt, taken apart.

    Args:
        body: The text that the prompt is about.
        words: How many words it asks for; None = it does not say.
        around: What it says before and behind that text.
    """

    body: str
    words: int | None
    around: str = ""


def source(prompt: str) -> Source:
    """Find what a prompt is about: the text inside its outermost <tag>...</tag>, else all of it."""
    tagged = _TAGGED.search(prompt)
    body = tagged[2] if tagged and len(tagged[2]) * _PART > len(prompt) else prompt
    around = prompt if body is prompt else prompt.replace(body, "")
    asked = _WORDS_ASKED.search(around[:4_000]) or _WORDS_ASKED.search(around[-4_000:])
    return Source(body.strip(), int(asked[1]) if asked else None, around)


def words_for(around: str, name: str) -> int | None:
    """Return how many words a prompt asks for in a field of JSON; None = it does not say."""
    told = around.rpartition(f'"{name}"')[2] if f'"{name}"' in around else ""
    asked = _WORDS_ASKED.search(told.partition(';\n"')[0])
    return int(asked[1]) if asked else None


def sentence_at(body: str, position: int) -> str:
    """Return the first sentence at or behind a position that is long enough, in one line."""
    before = _END.search(body, position) if position > 0 else None
    start = before.end() if before else 0
    sentence = ""
    for _ in range(_SHORT_ONES):
        end = _END.search(body, start)
        sentence = body[start : end.end() if end else len(body)]
        if end is None or len(sentence) >= _SHORTEST_SENTENCE:
            break
        start = end.end()
    return " ".join(sentence[:_LONGEST_SENTENCE].split())


def spread(body: str, count: int, offset: float = 0.5) -> list[str]:
    """Return up to `count` sentences from evenly spread positions, in reading order, none twice."""
    found: dict[str, None] = {}
    for number in range(count):
        # The first is taken from the very beginning, where a book says what it is.
        at = 0 if number == 0 and offset == 0.5 else int((number + offset) / count * len(body))
        if sentence := sentence_at(body, at):
            found[sentence] = None
    return list(found)


def names(body: str, count: int) -> list[str]:
    """Return the capitalized names that are most frequent in four places of a text."""
    step = max(1, len(body) // 4)
    looks = [body[at : at + _NAMES_LOOK] for at in range(0, len(body), step)]
    seen = Counter(name for look in looks[:5] for name in _NAME.findall(look))
    ranked = sorted(seen.items(), key=lambda one: (-one[1], one[0]))
    return [name for name, _ in ranked[:count]]


def pick(body: str, most_bytes: int) -> str:
    """Return sentences spread over a text, in its order, within this many bytes (one at least).

    Where there is room, a sentence with the most frequent names follows.
    """
    taken: list[str] = []
    found = names(body, 4)
    told = f"It tells of {', '.join(found)}." if found and most_bytes > 200 else ""
    room = most_bytes - len(told.encode())
    for sentence in spread(body, max(1, most_bytes // 90)):
        if taken and len(sentence.encode()) + 1 > room:
            continue
        taken.append(sentence)
        room -= len(sentence.encode()) + 1
    return " ".join([*taken, told] if told else taken)


def summary(prompt: str, answer_tokens: int, bytes_per_token: float) -> str:
    """Return an extractive answer to a prompt.

    Args:
        prompt: The user's text.
        answer_tokens: About how long it is where the prompt names no number of words; never
            more than half of the text.
        bytes_per_token: How tokens are counted.
    """
    asked = source(prompt)
    wanted = int(answer_tokens * bytes_per_token)
    if asked.words is not None:
        wanted = asked.words * BYTES_A_WORD
    half = int(count_tokens(asked.body, bytes_per_token) * bytes_per_token / 2)
    text = pick(asked.body, max(1, min(wanted, half)))
    return _most_words(text, asked.words)


def _most_words(text: str, words: int | None) -> str:
    parts: Sequence[str] = text.split()
    return text if words is None or len(parts) <= words else " ".join(parts[:words])
