from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from raypipe.config.paths import conf_dir
from raypipe.core.errors import SetupError
from raypipe.sources.key_filter import BOOK_ENDINGS, KeyFilter, NotTaken, describe_not_taken
from raypipe.sources.listing import check_has_books, list_all, list_source
from raypipe.sources.local import LocalBookSource

OTHERS = {
    "cover.jpg": ".jpg",
    "COVER.JPG": ".jpg",
    "a/content.opf": ".opf",
    "README": "no ending",
    ".hidden": "no ending",
    "odd.a+b": "other endings",
    "odd.averyveryverylongending": "other endings",
    "a/": "folder marker",
    "._book.txt": "AppleDouble",
    "a/._book.txt": "AppleDouble",
    "__MACOSX/book.txt": "__MACOSX",
    "a/__MACOSX/b/._book.txt": "__MACOSX",
    ".DS_Store": ".DS_Store",
    "a/.DS_Store": ".DS_Store",
}


@pytest.mark.parametrize(("key", "reason"), OTHERS.items())
def test_a_key_that_is_no_book_is_counted(key: str, reason: str) -> None:
    not_taken = NotTaken()
    keys = KeyFilter(suffixes=[".txt"])
    assert not keys.counting(not_taken)(key)
    assert not keys.selects(key)
    assert not_taken.counts == {reason: 1}


@pytest.mark.parametrize("key", ["a.txt", "A.TXT", "b/c.Txt", "a._b.txt", "x__MACOSX/a.txt"])
def test_endings_are_compared_in_any_case(key: str) -> None:
    not_taken = NotTaken()
    for suffix in (".txt", ".TXT"):
        assert KeyFilter(suffixes=[suffix]).counting(not_taken)(key)
    assert not not_taken


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        *(
            (key, "")
            for key in ("a.txt.gz", "a.TXT.GZ", "pg35.gz", "a.html.bz2", "A.EPUB", "s.zip")
        ),
        *(("data.csv.gz", ".csv.gz"), ("all.tar.gz", ".tar.gz"), ("a.7z", ".7z")),
    ],
)
def test_a_compressed_file_is_a_book_by_its_inner_ending(key: str, reason: str) -> None:
    not_taken = NotTaken()
    assert KeyFilter("", BOOK_ENDINGS).counting(not_taken)(key) == (not reason)
    assert KeyFilter("", BOOK_ENDINGS).selects(key) == (not reason)
    assert dict(not_taken.counts) == ({reason: 1} if reason else {})


def test_a_compressed_ending_alone_takes_every_compressed_file() -> None:
    assert KeyFilter(suffixes=[".gz"]).selects("data.csv.gz")


def test_the_option_files_have_the_endings_of_all_formats() -> None:
    for name in ("s3", "local", "samples"):
        text = (conf_dir() / "storage" / f"{name}.yaml").read_text(encoding="utf-8")
        assert tuple(yaml.safe_load(text)["suffixes"]) == BOOK_ENDINGS


def test_without_suffixes_only_leftovers_are_no_books() -> None:
    keys = KeyFilter()
    assert keys.selects("a.jpg")
    assert not any(keys.selects(key) for key in ("._a.jpg", "a/", "a/.DS_Store"))


@pytest.mark.parametrize("key", ["README.md", "a/ReadMe.MD"])
def test_a_readme_is_no_book(key: str) -> None:
    not_taken = NotTaken()
    assert not KeyFilter("", BOOK_ENDINGS).counting(not_taken)(key)
    assert not_taken.counts == {"README.md": 1}
    assert KeyFilter("", BOOK_ENDINGS).selects("notes.md")


def test_keys_without_the_prefix_are_not_counted() -> None:
    not_taken = NotTaken()
    assert not KeyFilter("novels/", [".txt"]).counting(not_taken)("poems/a.jpg")
    assert not not_taken


def test_the_number_of_reasons_is_bounded() -> None:
    not_taken = NotTaken()
    for number in range(10_000):
        not_taken.add(f".{number}")
    assert len(not_taken) == 10_000
    assert len(not_taken.counts) == 201
    assert not_taken.counts["other endings"] == 9_800


def test_counts_are_described_with_the_most_frequent_first() -> None:
    counts = {".opf": 4, "AppleDouble": 2, ".jpg": 31}
    assert describe_not_taken(counts) == "not taken 37: 31 .jpg, 4 .opf, 2 AppleDouble"
    assert describe_not_taken({f".{n}": 1_000 for n in range(10)}).endswith("2,000 others")
    assert describe_not_taken({}) == ""


def test_a_listing_counts_what_it_does_not_take(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("one.txt", "TWO.TXT", "a/._one.txt", "a/cover.jpg", "a/link.png"):
        (tmp_path / name).write_text("text")
    (tmp_path / "broken.jpg").symlink_to("nowhere.jpg")
    listing = list_source(LocalBookSource(str(tmp_path)))
    assert [book.key for book in listing.books] == ["TWO.TXT", "one.txt"]
    assert listing.not_taken == {".jpg": 2, "AppleDouble": 1, ".png": 1}


def test_a_source_without_books_tells_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("image")
    source = LocalBookSource(str(tmp_path))
    for find in (list_source, check_has_books):
        with pytest.raises(SetupError, match=r"no books found: .*; not taken 1: 1 \.jpg; check"):
            find(source)
    assert list_all(source).not_taken == {".jpg": 1}


@given(
    keys=st.lists(
        st.lists(
            st.sampled_from(
                [
                    *("a", "/", ".", ".txt", ".TXT", ".jpg", ".Jpg", "_", ".gz", ".md", "README"),
                    *("/._", "__MACOSX/", ".DS_Store", ".zip", "é", "_x"),
                ]
            ),
            max_size=6,
        ).map("".join),
        max_size=30,
    ),
    suffixes=st.sampled_from([(), (".txt",), BOOK_ENDINGS, ("_x.jpg", ".txt"), (".gz",), ("",)]),
    prefix=st.sampled_from(["", "a"]),
)
def test_the_fast_way_decides_as_the_plain_way(
    keys: list[str], suffixes: tuple[str, ...], prefix: str
) -> None:
    key_filter, not_taken = KeyFilter(prefix, suffixes), NotTaken()
    selects = key_filter.counting(not_taken)
    taken = [key for key in keys if selects(key)]
    assert taken == [key for key in keys if key.startswith(prefix) and not key_filter._reason(key)]
    assert not_taken.counts == Counter(
        filter(None, (key_filter._reason(key) for key in keys if key.startswith(prefix)))
    )
