"""The text of the check before a run: plain English, so long as the chunks of the books.

Refusals, limits and cut prompts show only with a text of real length. The sentences differ, because
a server may answer repeated text in circles.
"""

from __future__ import annotations

import hashlib

from raypipe.text import CleanText, count_words

_TITLE = "The Lamp on Harrow Point"
_SENTENCES = (
    "On day {n} the keeper of the lighthouse rowed to the village and bought {a} loaves of bread.",
    "His old friend the boat builder was not at the harbor, and nobody knew where he had gone.",
    "The wind had turned to the {wind}, and {a} gulls sat on the wall below the lamp room.",
    "They had quarreled over the price of a boat {b} years before and had not spoken since.",
    "In the evening he lit the lamp, wrote {b} lines into the log and looked at the dark water.",
    "A letter came with the mail of day {n}: his sister asked him to visit her in the {wind}.",
    "He read it {a} times, put it beside the other letters and went out to mend the nets.",
)
_WINDS = ("north", "east", "south", "west")


def probe_book(size: int) -> CleanText:
    """Return a made-up book of about `size` bytes; the same size gives the same book."""
    lines: list[str] = []
    length = number = 0
    while length < size or not lines:
        number += 1
        values = {"n": number, "a": number % 7 + 2, "b": number % 11 + 3}
        day = " ".join(
            sentence.format(wind=_WINDS[number % 4], **values) for sentence in _SENTENCES
        )
        lines.append(day)
        length += len(day) + 2
    text = "\n\n".join(lines)[: max(size, len(lines[0]))]
    return CleanText(
        title=_TITLE,
        author="",
        text=text,
        language="en",
        encoding="utf-8",
        words=count_words(text),
        flags=(),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )
