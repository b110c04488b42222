from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from raypipe.core.errors import SetupError
from raypipe.embedders.hash import HashEmbedder
from raypipe.embedders.protocol import InputType
from raypipe.models.context import CallsNoModel
from raypipe.summarizers.extractive import ExtractiveSummarizer
from raypipe.text import CleanText, count_words

SUBJECTS = ["lamp", "gulls", "bread", "storm", "letter", "garden", "engine", "market"]


def make_book(text: str, language: str = "en") -> CleanText:
    return CleanText(
        text=text,
        title="T",
        author="",
        language=language,
        encoding="utf-8",
        words=count_words(text),
        flags=(),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def sentence(number: int) -> str:
    subject = SUBJECTS[number % len(SUBJECTS)]
    return f"Number {number} of the {subject} stories tells how the {subject} came to the island."


def make_summarizer(**settings: Any) -> ExtractiveSummarizer:
    return ExtractiveSummarizer(HashEmbedder(64), **settings)


LONG = make_book("\n\n".join(sentence(number) for number in range(400)))


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split() if word.isdigit()]


def test_selects_whole_sentences_in_reading_order_within_the_limit() -> None:
    summary = make_summarizer().summarize(LONG)
    selected = numbers(summary.text)
    assert selected == sorted(set(selected))
    assert summary.text == " ".join(sentence(number) for number in selected)
    assert 280 - 15 <= count_words(summary.text) <= 280


def test_each_slice_has_the_same_share() -> None:
    selected = numbers(make_summarizer(slices=4, max_words=120).summarize(LONG).text)
    assert [
        sum(low <= number < low + 100 for number in selected) for low in (0, 100, 200, 300)
    ] == [2, 2, 2, 2]


class AxisEmbedder(CallsNoModel):
    """Embeds a sentence by counting its words `axisN`, N being the axis."""

    name = "axis"
    dimension = 4

    def identity(self) -> dict[str, Any]:
        return {}

    def check(self) -> None:
        raise SetupError("axis is bent")

    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        vectors = [[text.count(f"axis{axis}") for axis in range(4)] for text in texts]
        counts = np.array(vectors, dtype=np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def axis_sentence(axis: int, number: int) -> str:
    return f"Here stands axis{axis} in number {number} with some more words around."


def test_selection_brings_the_sum_closest_to_the_mean() -> None:
    # Six of ten sentences are on axis 0, four on axis 1: after the first, axis 1 is missing.
    axes = [0, 0, 1, 0, 1, 0, 1, 0, 1, 0]
    text = "\n\n".join(axis_sentence(axis, number) for number, axis in enumerate(axes))
    summarizer = ExtractiveSummarizer(
        AxisEmbedder(), max_words=22, slices=1, max_sentence_words=20, keywords=0
    )
    assert (
        summarizer.summarize(make_book(text)).text == f"{axis_sentence(0, 0)} {axis_sentence(1, 2)}"
    )


def test_headings_and_fragments_are_not_selected_if_there_is_prose() -> None:
    # Two of three lines are noise about the same subject, which determines the mean.
    heading = "ISLAND STORIES OF THE ISLAND ISLAND, ISLAND BOOK {0}"
    fragment = "island and island, {0}, island of the island stories there"
    noise = f"{heading}\n\n{fragment}"
    text = "\n\n".join(f"{noise.format(number)}\n\n{sentence(number)}" for number in range(60))
    summary = make_summarizer().summarize(make_book(text)).text
    assert "ISLAND" not in summary
    assert "stories there" not in summary


def test_a_repeated_sentence_is_selected_once() -> None:
    refrain = "And the lamp burned on over the water as it always had burned."
    text = "\n\n".join(f"{refrain}\n\n{sentence(number)}" for number in range(50))
    assert make_summarizer().summarize(make_book(text)).text.count(refrain) <= 1


@pytest.mark.parametrize(
    "text",
    [
        "Yes. No. Why? Go! " * 40,
        "word " * 900,
        "x" * 4_000,
        "灯台守は眠った" * 100,
        "\n".join(f"lamp {number}, oil {number}" for number in range(300)),
        "One sentence only, of a very short book about a lamp.",
        "and the lamp burned low " * 20 + ". " + "and the gulls cried " * 30,
    ],
    ids=["exclamations", "endless", "single word", "unspaced", "table", "tiny", "fragments"],
)
@pytest.mark.parametrize("language", ["en", "ja", "und"])
def test_a_book_with_words_never_has_an_empty_summary(text: str, language: str) -> None:
    summary = make_summarizer().summarize(make_book(text, language)).text
    assert summary.strip()
    assert count_words(summary) <= 280
    assert len(summary) <= 5_000


def test_summarizes_other_languages() -> None:
    german = [
        f"Im Jahr {number} zündete der alte Wärter die Lampe an und sah auf das Meer hinaus."
        for number in range(300)
    ]
    summary = make_summarizer().summarize(make_book("\n\n".join(german), "de"))
    assert all(f"Im Jahr {number} " in summary.text for number in numbers(summary.text))
    assert count_words(summary.text) > 250


def test_very_long_books_are_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raypipe.summarizers.extractive._MAX_CANDIDATES", 50)
    embedded: list[int] = []

    class CountingEmbedder(HashEmbedder):
        def embed(
            self, texts: Sequence[str], *, input_type: InputType = "document"
        ) -> NDArray[np.float32]:
            embedded.append(len(texts))
            return super().embed(texts, input_type=input_type)

    selected = numbers(ExtractiveSummarizer(CountingEmbedder(64)).summarize(LONG).text)
    assert embedded == [50]
    assert min(selected) < 100
    assert max(selected) > 300


def test_summaries_are_deterministic() -> None:
    assert make_summarizer().summarize(LONG) == make_summarizer().summarize(LONG)


def test_every_setting_and_the_embedder_are_part_of_the_identity() -> None:
    summarizer = make_summarizer()
    changed: dict[str, Any] = {
        "embedder": HashEmbedder(32),
        "max_sentence_words": 59,
        "min_sentence_words": 9,
    }
    for field in dataclasses.fields(summarizer):
        value = changed.get(field.name, getattr(summarizer, field.name))
        if field.name not in changed:
            value += 1
        assert (
            dataclasses.replace(summarizer, **{field.name: value}).identity()
            != summarizer.identity()
        )


def test_check_checks_the_embedder() -> None:
    make_summarizer().check()
    with pytest.raises(SetupError, match="bent"):
        ExtractiveSummarizer(AxisEmbedder()).check()


@pytest.mark.parametrize(
    "settings",
    [{"slices": 0}, {"keywords": -1}, {"max_words": 50}, {"min_sentence_words": 0}],
)
def test_rejects_settings_without_room_for_a_sentence(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        make_summarizer(**settings)
