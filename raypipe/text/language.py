"""Detect the language of a text by a vote over three samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from raypipe.core.per_process import cached_per_process

UNKNOWN = "und"
"""ISO 639's code for undetermined."""

_NO_LANGUAGE = "zxx"  # the model's code for numbers, tables and program code
_SAMPLE_CHARS = 600  # the model reads byte by byte, in Python: 0.2 ms per sample
_MIN_CONFIDENCE = 0.6
_LANGUAGE_CODES = {
    "english": "en", "french": "fr", "german": "de", "spanish": "es", "italian": "it",
    "portuguese": "pt", "dutch": "nl", "danish": "da", "swedish": "sv", "norwegian": "no",
    "finnish": "fi", "icelandic": "is", "latin": "la", "greek": "el", "russian": "ru",
    "polish": "pl", "czech": "cs", "hungarian": "hu", "romanian": "ro", "bulgarian": "bg",
    "serbian": "sr", "catalan": "ca", "galician": "gl", "esperanto": "eo", "tagalog": "tl",
    "chinese": "zh", "japanese": "ja", "korean": "ko", "arabic": "ar", "hebrew": "he",
    "welsh": "cy", "irish": "ga", "afrikaans": "af", "turkish": "tr", "ukrainian": "uk",
}  # fmt: skip

# None of these words is frequent in another language; English prose has 25 to 35 % of them.
_ENGLISH = frozenset({
    "the", "of", "and", "to", "that", "it", "with", "his", "her", "which", "they", "from", "this",
    "there", "would", "their", "been", "were", "had", "have", "but", "for", "not", "you", "she",
    "him", "them", "what", "when", "who", "by", "my",
})  # fmt: skip
_MIN_ENGLISH_SHARE, _MIN_ENGLISH_WORDS = 0.2, 20


def detect_language(text: str, declared: str = "") -> str:
    """Return the ISO 639-1 code of a text's language, `und` if undetermined.

    The few languages without an ISO 639-1 code, e.g. Ancient Greek, keep their ISO 639-3 code.

    Args:
        text: The clean text. Its beginning is often a title page or a foreign motto, so the
            middle and the end vote too.
        declared: The language that the header declares, as a name or a code. It counts only if
            the vote is unsure, because headers name one of several languages, or a wrong one.
    """
    return choose_language(vote(text)) or parse_language_code(declared) or UNKNOWN


def vote(text: str) -> dict[str, float]:
    """Return the languages that three samples of a text vote for, with their confidence."""
    samples = _sample(text)
    if samples and all(map(_is_plainly_english, samples)):
        return {"en": 1.0}
    votes: defaultdict[str, float] = defaultdict(float)
    for sample in samples:
        language, confidence = _load_classifier().classify(sample)
        if language != _NO_LANGUAGE:
            votes[language] += confidence / len(samples)
    return votes


def choose_language(votes: Mapping[str, float]) -> str:
    """Return the language with most votes; empty if they are too few."""
    best = max(sorted(votes), key=lambda language: votes[language], default=UNKNOWN)
    return best if votes.get(best, 0.0) >= _MIN_CONFIDENCE else ""


def _is_plainly_english(sample: str) -> bool:
    """Return whether the share of English function words makes the model unnecessary."""
    words = sample.lower().split()
    english = sum(map(_ENGLISH.__contains__, words))
    return len(words) >= _MIN_ENGLISH_WORDS and english > _MIN_ENGLISH_SHARE * len(words)


def parse_language_code(name: str) -> str:
    """Return the code for a header's `English`, `en` or `en-GB`; empty if unknown."""
    first = name.lower().replace(";", ",").split(",")[0].split("(")[0].strip()
    if first in _LANGUAGE_CODES:
        return _LANGUAGE_CODES[first]
    code = first.replace("_", "-").split("-")[0]
    return code if len(code) == 2 and code.isascii() and code.isalpha() else ""


def _sample(text: str) -> list[str]:
    """Return up to three samples without overlap from the start, the middle and the end."""
    if len(text) <= 3 * _SAMPLE_CHARS:
        middle = max(0, (len(text) - _SAMPLE_CHARS) // 2)
        sample = text[middle : middle + _SAMPLE_CHARS]
        return [sample] if any(map(str.isalpha, sample)) else []
    # 5 % in at both ends: past title pages, contents, indexes and errata.
    places = (0.05, 0.5, 0.95)
    starts = (int(place * (len(text) - _SAMPLE_CHARS)) for place in places)
    samples = (text[start : start + _SAMPLE_CHARS] for start in starts)
    return [sample for sample in samples if any(map(str.isalpha, sample))]


@cached_per_process(max_size=1)
def _load_classifier() -> Any:
    """Load the language model, which takes half a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
