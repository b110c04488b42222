from __future__ import annotations

from raypipe.summarizers.keywords import extract_keywords

FILLER = "It was not that they had said it, but what he thought of it when they went away. " * 60
BOOK = FILLER + "Mrs. Marlow’s lighthouse burned whale oil; the lighthouse was Marlow's. " * 9


def test_names_and_subjects_rank_before_common_words() -> None:
    words = extract_keywords(BOOK, "en", 5)
    assert set(words) == {"lighthouse", "marlow", "whale", "oil", "burned"}


def test_stop_words_contractions_and_book_words_are_never_keywords() -> None:
    text = BOOK + "Chapter one. Don't, don’t! They'll say you're right, I'm sure. " * 20
    words = set(extract_keywords(text, "en", 200))
    assert not words & {"chapter", "don't", "don’t", "they'll", "you're", "the", "was", "mrs"}
    assert all(word == word.lower() and len(word) > 2 for word in words)


def test_equal_scores_are_ordered_alphabetically() -> None:
    text = FILLER + "zebra yacht xenon walrus. " * 5
    assert extract_keywords(text, "en", 4) == ("walrus", "xenon", "yacht", "zebra")


def test_limits_the_number_of_keywords() -> None:
    assert len(extract_keywords(BOOK, "en", 3)) == 3
    assert extract_keywords(BOOK, "en", 0) == ()
    assert extract_keywords("", "en", 9) == ()


def test_a_common_word_needs_a_higher_count_than_a_rare_word() -> None:
    text = FILLER + "water house morning night. " * 12 + "zebra. " * 8
    assert extract_keywords(text, "en", 1) == ("zebra",)


def test_words_in_most_blocks_are_not_keywords_in_other_languages() -> None:
    parts = ["alte mann see lampe " * 20] * 5 + ["wieder gleich " * 40] * 15
    assert not {"wieder", "gleich"} & set(extract_keywords(" ".join(parts), "de", 50))


def test_finds_keywords_in_other_languages() -> None:
    parts = ["der alte mann und die see waren immer noch da und sahen sich an " * 8] * 20
    parts[3] += "leuchtturm leuchtturm leuchtturm sturmflut sturmflut "
    words = extract_keywords(" ".join(parts), "de", 2)
    assert words == ("leuchtturm", "sturmflut")


def test_scripts_without_spaces_give_pairs_of_characters() -> None:
    assert "灯台" in extract_keywords("海は静か。" * 99 + "灯台守は眠った。" * 9, "ja", 50)
