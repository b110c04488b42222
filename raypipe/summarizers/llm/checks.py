"""Whether a model's answer can be used: cheap checks that every answer goes through.

Copied sentences are no fault here: they are what an extractive model gives.
"""

# ruff: noqa: RUF001 - the quotes and stops of other scripts are meant
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from raypipe.models.protocol import StopReason
from raypipe.summarizers.llm.prompts import CATALOG_TAG, TEXT_TAG
from raypipe.text import count_words
from raypipe.text.language import UNKNOWN, detect_language

CHECKS_VERSION = 1
"""Raise it when the same answers lead to other summaries; it is part of the summary recipe."""

LONGEST = 1.5
"""An answer may have this many times the words that were asked for."""

_SHORTEST = 0.1  # of the words asked for
_ENOUGH_WORDS = 40  # before the language, or what repeats, tells anything
_DISTINCT = 0.6  # of all 3-grams; prose has 0.95 and more, a model in a loop 0.2
_LONG_GRAM = 8
_ECHO_GRAM = 10
_REFUSAL_WORDS = 120  # a refusal is short, and says so at once
_REFUSAL_CHARS = 300

_REFUSED = re.compile(
    r"\b(?:I|we) (?:cannot|can['’]t|won['’]t|will not|do not|don['’]t"
    r"|(?:am|are) (?:unable|not able) to|['’]m (?:unable|not able) to)(?: \w+){0,2}"
    r" (?:help (?:you|with)|assist(?: you| with|ance)|summari[sz]e|provide|comply|fulfill?|generate"
    r"|reproduce|process (?:this|the|your)|feel comfortable)\b"
    r"|\bas an? (?:AI|artificial intelligence|(?:large )?language model)\b"
    r"|\b(?:violat\w+|against|due to|because of)\b[^.!?]{0,40}"
    r"\b(?:copyright|content polic(?:y|ies)|(?:content|safety|usage) guidelines)\b",
    re.I,
)
"""A task verb belongs to it: people in books say that they are sorry but cannot, too."""
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
_END = re.compile(r"[.!?…][\"'”’»)\]]*(?=\s|$)|[。！？][」』”’）]*")
_TAGS = re.compile(rf"</?(?:{TEXT_TAG}|{CATALOG_TAG})\b", re.I)
_WORD = re.compile(r"\w+")

PROBLEMS = {
    "refused": "it declined the task",
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
"""What can be wrong with an answer, as the model is told when it is asked again."""

_WORST_FIRST = tuple(PROBLEMS)
UNUSABLE = frozenset({"refused", "empty", "short", "echo", "loops"})
"""Such an answer is no summary; the others can be put right, and are flagged."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What the checks say of one answer.

    Args:
        text: The answer, put right as far as that goes; the summary of a JSON answer.
        problem: A key of `PROBLEMS`, the worst there is; empty = the answer is fine.
        usable: Whether the text can stand where nothing better comes.
    """

    text: str
    problem: str = ""
    usable: bool = True


@dataclass(frozen=True)
class AnswerChecks:
    """The checks of one book's answers.

    Args:
        language: The book's, ISO 639-1, or `und`.
        instructions: All that a prompt says but the book.
    """

    language: str
    instructions: str

    def verdict(self, answer: str, stop: StopReason, words: int) -> CheckResult:
        """Judge an answer in prose.

        Args:
            answer: The text.
            stop: Why the model stopped.
            words: How many words it was asked for at most.
        """
        text = without_preamble(answer)
        problems = set(self._problems(text, words))
        if stop == "max_tokens":
            problems.add("cut")
        text = _mended(text, problems, words)
        unusable = problems & UNUSABLE or not text
        problem = next((one for one in _WORST_FIRST if one in problems), "")
        return CheckResult(text, problem, usable=not unusable)

    def _problems(self, text: str, words: int) -> Iterator[str]:
        count = count_words(text)
        if not any(map(str.isalnum, text)):
            yield "empty"
            return
        if count <= _REFUSAL_WORDS and _REFUSED.search(text[:_REFUSAL_CHARS]):
            yield "refused"
        if count < max(2, _SHORTEST * words):
            yield "short"
        if count > LONGEST * words + 10:
            yield "long"
        if _BOILERPLATE.search(text):
            yield "boilerplate"
        yield from self._by_words(text)
        if count >= _ENOUGH_WORDS and self.language != UNKNOWN:
            found = detect_language(text)
            if found not in (self.language, UNKNOWN):
                yield "language"

    def _by_words(self, text: str) -> Iterator[str]:
        found = _WORD.findall(text.lower())
        if _TAGS.search(text) or not self._told.isdisjoint(_grams(found, _ECHO_GRAM)):
            yield "echo"
        triples = list(_grams(found, 3))
        if len(triples) >= _ENOUGH_WORDS and len(set(triples)) < _DISTINCT * len(triples):
            yield "loops"
        longer = list(_grams(found, _LONG_GRAM))
        if len(set(longer)) < len(longer):
            yield "repeats"

    @cached_property
    def _told(self) -> frozenset[tuple[str, ...]]:
        lines = self.instructions.lower().split("\n\n")
        return frozenset(gram for line in lines for gram in _grams(_WORD.findall(line), _ECHO_GRAM))


def without_preamble(text: str) -> str:
    """Return an answer without `Here is a summary of ...:` or a heading before it."""
    text = text.strip()
    for form in (_PREAMBLE, _LABEL):
        if found := form.match(text):
            text = text[found.end() :].strip()
    return text


def trimmed(text: str, words: int | None = None) -> str:
    """Return the text up to the end of its last whole sentence; empty if it has none.

    Args:
        text: What was cut off somewhere.
        words: Most words to keep; None = as many as there are.
    """
    kept = ""
    for found in _END.finditer(text):
        head = text[: found.end()]
        if words is not None and kept and count_words(head) > words:
            break
        kept = head
    return kept.strip()


def _mended(text: str, problems: set[str], words: int) -> str:
    """Return what can be kept of a text that has problems."""
    if "boilerplate" in problems:
        ends = [0, *(found.end() for found in _END.finditer(text)), len(text)]
        parts = [text[start:end] for start, end in pairwise(ends)]
        text = "".join(part for part in parts if not _BOILERPLATE.search(part)).strip()
    if "long" in problems:
        return trimmed(text, int(LONGEST * words)) or text
    return trimmed(text) if "cut" in problems else text


def _grams(words: Sequence[str], size: int) -> Iterable[tuple[str, ...]]:
    return zip(*(words[at:] for at in range(size)), strict=False)
