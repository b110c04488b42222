"""Answers that the checks reject, repair or leave unchanged."""

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
    remove_preamble,
    trim_to_sentence,
)
from tests.unit.summarizers.books import sentence
from tests.unit.summarizers.models import default_prompts

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


def check(
    text: str, words: int = 100, stop_reason: StopReason = "end", language: str = "en"
) -> CheckResult:
    checks = AnswerChecks(language, default_prompts().instructions())
    return checks.check(text, stop_reason, words)


def test_a_good_answer_stays_unchanged() -> None:
    assert check(GOOD) == CheckResult(GOOD)
    assert check(FRENCH, language="fr") == CheckResult(FRENCH)
    assert check(GOOD, language="und") == CheckResult(GOOD)


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
def test_rejects_answers_that_are_not_a_summary(text: str, problem: str) -> None:
    result = check(text, words=60)
    assert (result.problem, result.is_usable) == (problem, False)


@pytest.mark.parametrize(
    "text",
    [
        '"I cannot help it," said Ada, who was sorry but could not stay; ' + GOOD,
        "Against all guidelines of the harbor she sails at night. " + GOOD,
        "Unfortunately the ferry cannot land, and Ada is unable to sleep. " + GOOD,
    ],
)
def test_refusals_by_people_in_books_are_not_refusals(text: str) -> None:
    assert check(text).problem == ""


def test_repaired_answers_are_usable() -> None:
    assert check(GOOD + " And then", stop_reason="max_tokens") == CheckResult(GOOD, "cut")
    repeated = check(f"{GOOD} {sentence(0)}")
    assert (repeated.problem, repeated.is_usable) == ("repeats", True)
    french = check(FRENCH, words=60)
    assert (french.problem, french.is_usable) == ("language", True)
    with_credits = check(f"{sentence(1)} This eBook is from Project Gutenberg. {GOOD}")
    assert (with_credits.problem, with_credits.text) == ("boilerplate", f"{sentence(1)} {GOOD}")


def test_a_long_answer_is_cut_at_the_end_of_a_sentence() -> None:
    result = check(PROSE, words=100)
    assert (result.problem, result.is_usable) == ("long", True)
    assert result.text.endswith(".")
    assert 130 < len(result.text.split()) <= 150


def test_a_cut_answer_without_a_whole_sentence_is_unusable() -> None:
    result = check(
        "no stop in all of this long and winding text about the sea", stop_reason="max_tokens"
    )
    assert (result.problem, result.is_usable) == ("cut", False)


@pytest.mark.parametrize(
    "preamble",
    [
        "Here is a summary of the text in at most 100 words:\n\n",
        "Sure! Here's the summary you asked for: ",
        "Certainly, below is a concise overview of the passage:\n",
        "**Summary:** ",
        "## Summary\n\n",
        "Summary: ",
    ],
)
def test_removes_preambles(preamble: str) -> None:
    assert remove_preamble(preamble + GOOD) == GOOD


@pytest.mark.parametrize(
    "text", ["Here is the harbor where Ada lives: it is cold.", "This is a story of a lamp."]
)
def test_keeps_sentences_that_look_like_a_preamble(text: str) -> None:
    assert remove_preamble(text) == text


def test_trims_to_the_last_whole_sentence() -> None:
    assert trim_to_sentence('She said "No." Then he') == 'She said "No."'
    assert trim_to_sentence("灯台守は灯をともした。そして") == "灯台守は灯をともした。"
    assert trim_to_sentence("none") == ""


def test_copied_sentences_are_not_a_problem() -> None:
    copied = " ".join(sentence(number) for number in (3, 50, 91, 140))
    assert check(copied).problem == ""


def test_every_problem_has_a_text_for_the_prompt() -> None:
    assert all(text.startswith("it ") for text in PROBLEMS.values())
