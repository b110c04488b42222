from __future__ import annotations

from raypipe.summarizers.keywords import keywords

FILLER = "It was not that they had said it, but what he thought of it when they went away. " * 60
BOOK = FILLER + "Mrs. Marlow’s lighthouse burned whale oil; the lighthouse was Marlow's. " * 9


def test_names_and_subjects_come_before_common_words() -> None:
    found = keywords(BOOK, "en", 5)
    assert set(found) == {"lighthouse", "marlow", "whale", "oil", "burned"}


def test_stop_words_contractions_and_bookish_words_never_come() -> None:
    text = BOOK + "Chapter one. Don't, don’t! They'll say you're right, I'm sure. " * 20
    found = set(keywords(text, "en", 200))
    assert not found & {"chapter", "don't", "don’t", "they'll", "you're", "the", "was", "mrs"}
    assert all(word == word.lower() and len(word) > 2 for word in found)


def test_the_order_is_fixed_where_scores_are_equal() -> None:
    text = FILLER + "zebra yacht xenon walrus. " * 5
    assert keywords(text, "en", 4) == ("walrus", "xenon", "yacht", "zebra")


def test_the_limit_holds() -> None:
    assert len(keywords(BOOK, "en", 3)) == 3
    assert keywords(BOOK, "en", 0) == ()
    assert keywords("", "en", 9) == ()


def test_a_common_word_needs_more_than_a_rare_one() -> None:
    text = FILLER + "water house morning night. " * 12 + "zebra. " * 8
    assert keywords(text, "en", 1) == ("zebra",)


def test_grammar_of_most_places_never_comes_elsewhere() -> None:
    parts = ["alte mann see lampe " * 20] * 5 + ["wieder gleich " * 40] * 15
    assert not {"wieder", "gleich"} & set(keywords(" ".join(parts), "de", 50))


def test_other_languages_need_no_list() -> None:
    parts = ["der alte mann und die see waren immer noch da und sahen sich an " * 8] * 20
    parts[3] += "leuchtturm leuchtturm leuchtturm sturmflut sturmflut "
    found = keywords(" ".join(parts), "de", 2)
    assert found == ("leuchtturm", "sturmflut")


def test_unspaced_scripts_give_pairs_of_characters() -> None:
    assert "灯台" in keywords("海は静か。" * 99 + "灯台守は眠った。" * 9, "ja", 50)
