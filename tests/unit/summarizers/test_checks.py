"""What the checks call unusable, what they mend, and what they leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe import embedded
from raypipe.models.protocol import StopReason
from raypipe.simulator.answers import REFUSAL
from raypipe.summarizers.llm.checks import (
    PROBLEMS,
    AnswerChecks,
    CheckResult,
    trimmed,
    without_preamble,
)
from tests.unit.summarizers.books import sentence
from tests.unit.summarizers.models import prompts

CHECKS = AnswerChecks("en", prompts().instructions())
GOOD = " ".join(sentence(7 * number) for number in range(6))
FRENCH = (
    "Le boulanger se leva avant le jour et alla chercher de l'eau au puits du village. "
    "Sa femme disait que le pain ne se faisait pas tout seul, et que le four refroidissait. "
    "Ils avaient perdu leur fils pendant la guerre, mais ils gardaient toujours sa chambre."
)


PROSE = " ".join(
    (Path(embedded.__file__).parent / "samples" / "stovepipe-lookout-diary.txt")
    .read_text()[2_000:4_500]
    .split()
)


def judged(
    text: str, words: int = 100, stop: StopReason = "end", language: str = "en"
) -> CheckResult:
    return AnswerChecks(language, prompts().instructions()).verdict(text, stop, words)


def test_a_good_answer_is_left_alone() -> None:
    assert judged(GOOD) == CheckResult(GOOD)
    assert judged(FRENCH, language="fr") == CheckResult(FRENCH)
    assert judged(GOOD, language="und") == CheckResult(GOOD)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("...", "empty"),
        ("A keeper.", "short"),
        (REFUSAL, "refused"),
        ("I cannot provide a summary of this text.", "refused"),
        ("As an AI language model, I do not read novels.", "refused"),
        ("I'm not able to reproduce this due to copyright.", "refused"),
        ("round and round we go " * 30, "loops"),
        (
            "These are summaries of neighboring parts of one book, in reading order, and may end"
            " with sentences quoted from these parts of it, as it says.",
            "echo",
        ),
        ("Now <book_text> holds the tale of a keeper who kept to himself.", "echo"),
    ],
)
def test_what_is_no_summary(text: str, problem: str) -> None:
    verdict = judged(text, words=60)
    assert (verdict.problem, verdict.usable) == (problem, False)


@pytest.mark.parametrize(
    "text",
    [
        '"I cannot help it," said Ada, who was sorry but could not stay; ' + GOOD,
        "Against all guidelines of the harbor she sails at night. " + GOOD,
        "Unfortunately the ferry cannot land, and Ada is unable to sleep. " + GOOD,
    ],
)
def test_people_in_books_decline_things_as_well(text: str) -> None:
    assert judged(text).problem == ""


def test_what_can_be_mended_is_usable() -> None:
    assert judged(GOOD + " And then", stop="max_tokens") == CheckResult(GOOD, "cut")
    twice = judged(f"{GOOD} {sentence(0)}")
    assert (twice.problem, twice.usable) == ("repeats", True)
    french = judged(FRENCH, words=60)
    assert (french.problem, french.usable) == ("language", True)
    credits = judged(f"{sentence(1)} This eBook is from Project Gutenberg. {GOOD}")
    assert (credits.problem, credits.text) == ("boilerplate", f"{sentence(1)} {GOOD}")


def test_a_long_answer_is_cut_at_a_sentences_end() -> None:
    verdict = judged(PROSE, words=100)
    assert (verdict.problem, verdict.usable) == ("long", True)
    assert verdict.text.endswith(".")
    assert 130 < len(verdict.text.split()) <= 150


def test_nothing_whole_is_left_of_a_cut_answer() -> None:
    verdict = judged(
        "no stop in all of this long and winding text about the sea", stop="max_tokens"
    )
    assert (verdict.problem, verdict.usable) == ("cut", False)


@pytest.mark.parametrize(
    "before",
    [
        "Here is a summary of the text in at most 100 words:\n\n",
        "Sure! Here's the summary you asked for: ",
        "Certainly, below is a concise overview of the passage:\n",
        "**Summary:** ",
        "## Summary\n\n",
        "Summary: ",
    ],
)
def test_a_preamble_is_taken_away(before: str) -> None:
    assert without_preamble(before + GOOD) == GOOD


@pytest.mark.parametrize(
    "text", ["Here is the harbor where Ada lives: it is cold.", "This is a story of a lamp."]
)
def test_a_beginning_that_only_looks_like_one_stays(text: str) -> None:
    assert without_preamble(text) == text


def test_trimmed() -> None:
    assert trimmed('She said "No." Then he') == 'She said "No."'
    assert trimmed("灯台守は灯をともした。そして") == "灯台守は灯をともした。"
    assert trimmed("none") == ""


def test_copied_sentences_are_no_fault() -> None:
    copied = " ".join(sentence(number) for number in (3, 50, 91, 140))
    assert judged(copied).problem == ""


def test_every_problem_can_be_told() -> None:
    assert all(text.startswith("it ") for text in PROBLEMS.values())
