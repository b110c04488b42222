"""Which language a book is in, by vote over three places of it."""

from __future__ import annotations

import threading
from collections import defaultdict
from functools import lru_cache
from typing import Any

UNKNOWN = "und"
"""ISO 639's code for undetermined."""

_loading = threading.Lock()

_NO_LANGUAGE = "zxx"  # the model's word for numbers, tables, code
_SAMPLE_CHARS = 600  # the model walks byte by byte, in Python: 0.2 ms a sample
_SURE = 0.6
_LANGUAGE_CODES = {
    "english": "en", "french": "fr", "german": "de", "spanish": "es", "italian": "it",
    "portuguese": "pt", "dutch": "nl", "danish": "da", "swedish": "sv", "norwegian": "no",
    "finnish": "fi", "icelandic": "is", "latin": "la", "greek": "el", "russian": "ru",
    "polish": "pl", "czech": "cs", "hungarian": "hu", "romanian": "ro", "bulgarian": "bg",
    "serbian": "sr", "catalan": "ca", "galician": "gl", "esperanto": "eo", "tagalog": "tl",
    "chinese": "zh", "japanese": "ja", "korean": "ko", "arabic": "ar", "hebrew": "he",
    "welsh": "cy", "irish": "ga", "afrikaans": "af", "turkish": "tr", "ukrainian": "uk",
}  # fmt: skip

# None of them is a frequent word of another language; in English prose they are 25 to 35 %.
_ENGLISH = frozenset({
    "the", "of", "and", "to", "that", "it", "with", "his", "her", "which", "they", "from", "this",
    "there", "would", "their", "been", "were", "had", "have", "but", "for", "not", "you", "she",
    "him", "them", "what", "when", "who", "by", "my",
})  # fmt: skip
_PLAIN, _ENOUGH = 0.2, 20


def detect_language(text: str, declared: str = "") -> str:
    """Return the ISO 639-1 code of a text's language, `und` if nothing tells.

    The few languages that have no such code, e.g. Ancient Greek, keep their ISO 639-3 code.

    Args:
        text: The clean text. Its beginning alone is often a title page or a foreign motto,
            so the middle and the end vote too.
        declared: What the header says, as a name or a code; asked when the vote is unsure,
            because headers name one language of several, or a wrong one.
    """
    samples = _samples(text)
    if samples and all(map(_plainly_english, samples)):
        return "en"
    votes: defaultdict[str, float] = defaultdict(float)
    for sample in samples:
        language, confidence = _identifier().classify(sample)
        if language != _NO_LANGUAGE:
            votes[language] += confidence / len(samples)
    best = max(sorted(votes), key=lambda language: votes[language], default=UNKNOWN)
    if votes.get(best, 0.0) >= _SURE:
        return best
    return language_code(declared) or UNKNOWN


def _plainly_english(sample: str) -> bool:
    """Return whether so many words are English function words that no model need be asked."""
    words = sample.lower().split()
    return len(words) >= _ENOUGH and sum(map(_ENGLISH.__contains__, words)) > _PLAIN * len(words)


def language_code(name: str) -> str:
    """Return the code for a header's `English`, `en` or `en-GB`; empty if it is none."""
    first = name.lower().replace(";", ",").split(",")[0].split("(")[0].strip()
    if first in _LANGUAGE_CODES:
        return _LANGUAGE_CODES[first]
    code = first.replace("_", "-").split("-")[0]
    return code if len(code) == 2 and code.isascii() and code.isalpha() else ""


def _samples(text: str) -> list[str]:
    """Return up to three parts that do not overlap, from begin, middle and end."""
    if len(text) <= 3 * _SAMPLE_CHARS:
        middle = max(0, (len(text) - _SAMPLE_CHARS) // 2)
        part = text[middle : middle + _SAMPLE_CHARS]
        return [part] if any(map(str.isalpha, part)) else []
    # 5 % in at both ends: past title pages, contents, indexes and errata.
    places = (0.05, 0.5, 0.95)
    starts = (int(place * (len(text) - _SAMPLE_CHARS)) for place in places)
    parts = (text[start : start + _SAMPLE_CHARS] for start in starts)
    return [part for part in parts if any(map(str.isalpha, part))]


def _identifier() -> Any:
    with _loading:  # half a second, which many threads at once would each spend
        return _loaded()


@lru_cache(maxsize=1)
def _loaded() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
