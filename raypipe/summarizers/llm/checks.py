"""Check whether the text of a model's answer can be used: cheap checks for every answer.

Sentences copied from the book are not a problem here: extractive models answer that way.
"""

# ruff: noqa: RUF001 - typographic quotes and dashes are intended
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from raypipe.models.protocol import StopReason
from raypipe.summarizers.prompts import CATALOG_TAG, TEXT_TAG
from raypipe.text import count_words
from raypipe.text.language import UNKNOWN, detect_language

CHECKS_VERSION = 1
"""Part of the summary recipe. Raise it when the same answers lead to different summaries."""

MAX_LENGTH_RATIO = 1.5
"""An answer may have this many times the requested words."""

_MIN_LENGTH_RATIO = 0.1  # of the requested words
_MIN_WORDS_TO_JUDGE = 40  # fewer words do not show the language or repetition
_MIN_DISTINCT_SHARE = 0.6  # of all 3-grams; prose has 0.95 and more, a model in a loop 0.2
_REPEAT_GRAM = 8
_ECHO_GRAM = 10
_MAX_REFUSAL_WORDS = 120  # a refusal is short and begins at once
_MAX_REFUSAL_CHARS = 300

_REFUSAL = re.compile(
    r"\b(?:I|we) (?:cannot|can['’]t|won['’]t|will not|do not|don['’]t"
    r"|(?:am|are) (?:unable|not able) to|['’]m (?:unable|not able) to)(?: \w+){0,2}"
    r" (?:help (?:you|with)|assist(?: you| with|ance)|summari[sz]e|provide|comply|fulfill?|generate"
    r"|reproduce|process (?:this|the|your)|feel comfortable)\b"
    r"|\bas an? (?:AI|artificial intelligence|(?:large )?language model)\b"
    r"|\b(?:violat\w+|against|due to|because of)\b[^.!?]{0,40}"
    r"\b(?:copyright|content polic(?:y|ies)|(?:content|safety|usage) guidelines)\b",
    re.I,
)
"""A refusal includes a verb of the task: people in books are sorry but cannot do things, too."""
_PREAMBLE = re.compile(
    r"(?:(?:sure|certainly|of course|okay|ok|absolutely)\b[,!.:]*\s*)?"
    r"(?:(?:here(?:'s|’s| is| are)|below is|the following is|this is)\b[^:\n]{0,120}"
    r"\b(?:summary|summaries|overview|synopsis|json)\b[^:\n]{0,80}(?::|\n)\s*)",
    re.I,
)
_LABEL = re.compile(r"(?:#+\s*|\*\*)?(?:book )?summary(?:\*\*)?\s*(?::(?:\*\*)?|\n)\s*", re.I)
_BOILERPLATE = re.compile(
    r"project gutenberg|gutenberg(?:-tm|™|\.org)|\bproduced by [^.]{0,60}proofread", re.I
)
_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]]*(?=\s|$)|[。！？][」』”’）]*")
_TAGS = re.compile(rf"</?(?:{TEXT_TAG}|{CATALOG_TAG})\b", re.I)
_WORD = re.compile(r"\w+")

PROBLEMS = {
    "refused": "it declined the task",
    "unreadable": "it could not be read",
    "empty": "it said nothing",
    "short": "it was far too short",
    "echo": "it repeated these instructions",
    "loops": "it went round in circles",
    "cut": "it was too long and was cut off",
    "long": "it was too long",
    "repeats": "it said the same thing twice",
    "boilerplate": "it copied the license or credits of the file",
    "language": "it was not in the language of the text",
    "form": "it was not the JSON object that was asked for",
}
"""Problems of an answer, worst first, in the words sent to the model when it is asked again. The
texts are part of prompts: changing one changes cache keys."""

_WORST_FIRST = tuple(PROBLEMS)
_UNUSABLE_PROBLEMS = frozenset({"refused", "unreadable", "empty", "short", "echo", "loops"})
"""An answer with one of these problems is no summary. Answers with other problems are repaired as
far as possible, and flagged."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of checking one answer.

    Args:
        text: The answer, repaired as far as possible; the summary of a JSON answer.
        problem: The worst problem, a key of `PROBLEMS`; empty if the answer is fine.
        is_usable: Whether the text can be used if no better answer comes.
    """

    text: str
    problem: str = ""
    is_usable: bool = True


@dataclass(frozen=True)
class AnswerChecks:
    """Check the answers about one book.

    Args:
        language: The book's language: ISO 639-1 code, or `und`.
        instructions: The texts of all prompts without the book.
    """

    language: str
    instructions: str

    def check(self, answer: str, stop_reason: StopReason, words: int) -> CheckResult:
        """Check an answer in prose.

        Args:
            answer: The text.
            stop_reason: Why the model stopped.
            words: Maximum words that the prompt asked for.
        """
        text = remove_preamble(answer)
        problems = set(self._find_problems(text, words))
        if stop_reason == "max_tokens":
            problems.add("cut")
        text = _repair(text, problems, words)
        is_unusable = problems & _UNUSABLE_PROBLEMS or not text
        worst = next((problem for problem in _WORST_FIRST if problem in problems), "")
        return CheckResult(text, worst, is_usable=not is_unusable)

    def _find_problems(self, text: str, words: int) -> Iterator[str]:
        count = count_words(text)
        if not any(map(str.isalnum, text)):
            yield "empty"
            return
        if count <= _MAX_REFUSAL_WORDS and _REFUSAL.search(text[:_MAX_REFUSAL_CHARS]):
            yield "refused"
        if count < max(2, _MIN_LENGTH_RATIO * words):
            yield "short"
        if count > MAX_LENGTH_RATIO * words + 10:
            yield "long"
        if _BOILERPLATE.search(text):
            yield "boilerplate"
        yield from self._find_repetition(text)
        if count >= _MIN_WORDS_TO_JUDGE and self.language != UNKNOWN:
            language = detect_language(text)
            if language not in (self.language, UNKNOWN):
                yield "language"

    def _find_repetition(self, text: str) -> Iterator[str]:
        words = _WORD.findall(text.lower())
        if _TAGS.search(text) or not _instruction_grams(self.instructions).isdisjoint(
            _grams(words, _ECHO_GRAM)
        ):
            yield "echo"
        triples = list(_grams(words, 3))
        if len(triples) >= _MIN_WORDS_TO_JUDGE and len(set(triples)) < _MIN_DISTINCT_SHARE * len(
            triples
        ):
            yield "loops"
        longer = list(_grams(words, _REPEAT_GRAM))
        if len(set(longer)) < len(longer):
            yield "repeats"


@lru_cache(maxsize=8)  # the same for all books
def _instruction_grams(instructions: str) -> frozenset[tuple[str, ...]]:
    paragraphs = instructions.lower().split("\n\n")
    return frozenset(
        gram for paragraph in paragraphs for gram in _grams(_WORD.findall(paragraph), _ECHO_GRAM)
    )


def remove_preamble(text: str) -> str:
    """Return an answer without a leading `Here is a summary of ...:` or heading."""
    text = text.strip()
    for form in (_PREAMBLE, _LABEL):
        if match := form.match(text):
            text = text[match.end() :].strip()
    return text


def trim_to_sentence(text: str, max_words: int | None = None) -> str:
    """Return the text up to the end of its last whole sentence; empty if it has none.

    Args:
        text: A text that was cut off.
        max_words: Maximum words to keep; None for no limit. The first sentence is always kept.
    """
    kept = ""
    for match in _SENTENCE_END.finditer(text):
        head = text[: match.end()]
        if max_words is not None and kept and count_words(head) > max_words:
            break
        kept = head
    return kept.strip()


def _repair(text: str, problems: set[str], words: int) -> str:
    """Return the part of a text that can be kept despite its problems."""
    if "boilerplate" in problems:
        ends = [0, *(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
        sentences = [text[start:end] for start, end in pairwise(ends)]
        text = "".join(
            sentence for sentence in sentences if not _BOILERPLATE.search(sentence)
        ).strip()
    if "long" in problems:
        return trim_to_sentence(text, int(MAX_LENGTH_RATIO * words)) or text
    return trim_to_sentence(text) if "cut" in problems else text


def _grams(words: Sequence[str], size: int) -> Iterable[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(size)), strict=False)
