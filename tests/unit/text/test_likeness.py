from __future__ import annotations

import pytest

from raypipe.text.likeness import is_like, letters_in

HEADS = {letters_in("THE WINTER FLOOD 12"), letters_in("Memoirs of a Parish")}


@pytest.mark.parametrize("line", ["The Winter Flood", "TBE WINTEB FLOOD l3", "MEM01RS OF A PARISH"])
def test_misread_heads_are_like_a_head(line: str) -> None:
    assert is_like(letters_in(line), HEADS)


@pytest.mark.parametrize("line", ["The Wind", "MEMOIRS", "A Winter Flower", ""])
def test_other_lines_are_not(line: str) -> None:
    assert not is_like(letters_in(line), HEADS)


def test_short_and_many_heads_are_compared_letter_by_letter_only() -> None:
    assert not is_like("song", {"songs"})
    assert not is_like("memoirsofaparish", {f"memoirsofaparis{n}" for n in range(100)})
