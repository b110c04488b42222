from __future__ import annotations

from raypipe.text.imprints import find_imprints

PAGE = "It was a long page of the book.\n\n"


def test_lines_of_known_scanners_and_repeated_lines_are_imprints() -> None:
    hathi = "Generated on 2012-05-0{} 12:00 GMT  /  http://hdl.handle.net/2027/mdp.39015"
    text = f"Digitized by Google\n\n{PAGE}" + "".join(
        f"{hathi.format(n)}\n{PAGE}" for n in range(4)
    )
    assert find_imprints(text) == {"Digitized by Google", *map(hathi.format, range(4))}


def test_a_single_line_of_an_unknown_scanner_is_none() -> None:
    assert find_imprints(f"Digitized by my aunt Delphine\n\n{PAGE}") == set()
    assert find_imprints("Original from the sea, he said, was the salt.\n" + PAGE) == set()


def test_the_imprint_of_a_library_may_follow_a_source() -> None:
    line = "Source gallica.bnf.fr / Bibliothèque nationale de France"
    assert find_imprints(f"{line}\n\n{PAGE}" * 3) == {line}
