from __future__ import annotations

import pytest

from raypipe.text.metadata import (
    Metadata,
    format_person_name,
    read_file_name,
    read_header_fields,
    read_key,
    read_metadata,
    read_title_page,
)

STORY = "\n\nThe keeper lit the lamp, and by the time it burned the ship had gone.\n" * 9


def test_reads_header_fields() -> None:
    header = "Title: The Lighthouse\n\nAuthor: Ada Keeper\n\nLanguage: English\nRelease: May"
    assert read_header_fields(header) == Metadata("The Lighthouse", "Ada Keeper", "English")


@pytest.mark.parametrize(
    ("field", "title"),
    [
        ("American Rocks\n       A Second Trip", "American Rocks: A Second Trip"),
        ("News of the Rock\n       or an Age of Rest", "News of the Rock or an Age of Rest"),
        ("The Life and Times of\n       Ada Keeper", "The Life and Times of Ada Keeper"),
        ("The Rock\nAuthor: Ada Keeper", "The Rock"),
    ],
)
def test_joins_titles_over_two_lines(field: str, title: str) -> None:
    assert read_header_fields(f"Title: {field}\n\nLanguage: English").title == title


@pytest.mark.parametrize(
    "line",
    [
        "The Project Gutenberg EBook of The Lighthouse, by Ada Keeper",
        "The Project Gutenberg eBook, The Lighthouse, by Ada Keeper",
        "Project Gutenberg’s The Lighthouse, by Ada Keeper",
        "The Project Gutenberg Etext of The Lighthouse by Ada Keeper",
        "**The Project Gutenberg Etext of The Lighthouse, by Ada Keeper**",
        "The Project Gutenberg EBook of The\nLighthouse, by Ada Keeper",
        "The Project Gutenberg EBook of The Lighthouse, by Ada\nKeeper",
        "The Project Gutenberg EBook of The Lighthouse, von Ada Keeper",
        "Project Gutenberg Etext The Lighthouse, by Ada Keeper\n#5 in our series by Ada Keeper",
    ],
)
def test_reads_the_first_line_of_old_headers(line: str) -> None:
    metadata = read_header_fields(f"{line}\n\nThis eBook is for anyone")
    assert (metadata.title, metadata.author) == ("The Lighthouse", "Ada Keeper")


def test_reads_title_and_author_from_the_key() -> None:
    expected = Metadata("The Light House", "Ada K. Keeper")
    assert read_key("a/b/The_Light_House__by__Ada_K._Keeper.txt") == expected
    assert read_key("The_Light_House.txt") == Metadata()


@pytest.mark.parametrize(
    ("body", "title", "author"),
    [
        ("THE LIGHTHOUSE\n\nby Ada Keeper", "The Lighthouse", "Ada Keeper"),
        ("THE LIGHTHOUSE\n\nA Novel\n\nBY\n\nADA KEEPER", "The Lighthouse", "Ada Keeper"),
        ("THE KEEPER'S ROCK\nby A. B. Keeper", "The Keeper's Rock", "A. B. Keeper"),
        ("The Lighthouse, by Ada Keeper", "The Lighthouse", "Ada Keeper"),
        ("THE LIGHTHOUSE", "The Lighthouse", ""),
        ("The Lighthouse\n\nvon Ada Keeper", "The Lighthouse", "Ada Keeper"),
        ("The Lighthouse\n\npar Ada Keeper", "The Lighthouse", "Ada Keeper"),
        ("THE LIGHTHOUSE\n\nA NOVEL BY\n\nADA KEEPER, D.D.", "The Lighthouse", "Ada Keeper"),
        ("THE LIGHTHOUSE\n\nEdited by Bo Lamp", "The Lighthouse", ""),
        (
            "THE LIGHTHOUSE\n\nTRANSLATED BY BO LAMP\n\nBY ADA KEEPER",
            "The Lighthouse",
            "Ada Keeper",
        ),
        (
            "THE LIGHTHOUSE\n\nWITH SIDELIGHTS BY\nBO LAMP\n\nby Ada Keeper",
            "The Lighthouse",
            "Ada Keeper",
        ),
        ("CHAPTER I", "", ""),
        ("It was night. He stood by the sea.", "", ""),
        ("The keeper was standing by the sea\nand nothing moved.", "", ""),
    ],
)
def test_reads_title_pages(body: str, title: str, author: str) -> None:
    assert read_title_page(body + STORY) == Metadata(title, author)


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("books/The-Time-Keeper_35.txt", "The Time Keeper"),
        ("The-Keeper-s-Rock_972.txt", "The Keeper's Rock"),
        ("the_old_rock.utf8.txt", "the old rock"),
        ("1984.txt", "1984"),
        ("a/.txt", "a/.txt"),
    ],
)
def test_derives_titles_from_file_names(key: str, title: str) -> None:
    assert read_file_name(key).title == title


def test_the_header_takes_precedence_over_key_and_text() -> None:
    metadata = read_metadata(
        "Title: From Header\nAuthor: Head Er", "FROM TEXT\n\nby Te Xt" + STORY, "K__by__L.txt"
    )
    assert metadata == Metadata("From Header", "Head Er")


def test_the_key_takes_precedence_over_the_text() -> None:
    metadata = read_metadata("", "FROM TEXT\n\nby Te Xt" + STORY, "From_Key__by__Ke_Y.txt")
    assert metadata == Metadata("From Key", "Ke Y")


def test_the_text_fills_in_an_author_only_for_the_same_title() -> None:
    body = "THE LIGHTHOUSE\n\nby Ada Keeper" + STORY
    assert read_metadata("Title: The Lighthouse", body, "x").author == "Ada Keeper"
    assert read_metadata("Title: Collected Plays", body, "x").author == ""


def test_there_is_always_a_title() -> None:
    assert read_metadata("", STORY, "raw/pg-1342.txt").title == "pg"
    assert read_metadata("", STORY, "raw/my-book.txt").title == "my book"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Keeper, Ada, 1775-1817", "Ada Keeper"),
        ("Keeper, Ada, Lady, 1775-1817", "Ada Keeper"),
        ("Ada Keeper (1832-1898)", "Ada Keeper"),
        ("Ada Keeper, graf, 1828-1910", "Ada Keeper"),
        ("Ada Keeper [AKA Bo Lamp]", "Ada Keeper"),
        ("Ada Keeper, M.D.", "Ada Keeper"),
        ("A. Keeper, Jr.", "A. Keeper, Jr."),
        ("Ada Keeper.", "Ada Keeper"),
        ("Ada K.", "Ada K."),
        ("H. G. Keeper", "H. G. Keeper"),
        ("Ada Keeper\n       Bo Lamp", "Ada Keeper, Bo Lamp"),
        ("1234", "1234"),
        ("1775-1817", "1775-1817"),
        ("Various", "Various"),
    ],
)
def test_formats_names_of_persons(written: str, name: str) -> None:
    assert format_person_name(written) == name


def test_a_first_sentence_without_spaces_is_no_title() -> None:
    body = "灯台守は階段を降りて、長いあいだ海を眺めていた。\n\n風は弱かった。"
    assert read_metadata("", body, "lamp.txt").title == "lamp"
