from __future__ import annotations

import os
from pathlib import Path

import pytest

from raypipe.core.errors import BookError, SetupError
from raypipe.sources.local import LocalBookSource


@pytest.fixture
def store(tmp_path: Path) -> LocalBookSource:
    (tmp_path / "sub").mkdir()
    for name in ("b.txt", "a.txt", "sub/c.txt", "notes.md"):
        (tmp_path / name).write_text(f"text of {name}")
    return LocalBookSource(str(tmp_path))


def test_lists_matching_files_of_all_folders_in_key_order(store: LocalBookSource) -> None:
    assert [book.key for book in store.list_books()] == ["a.txt", "b.txt", "sub/c.txt"]


def test_prefix_and_suffixes_choose(store: LocalBookSource) -> None:
    chosen = LocalBookSource(store.path, prefix="sub/")
    assert [book.key for book in chosen.list_books()] == ["sub/c.txt"]
    everything = LocalBookSource(store.path, suffixes=[])
    assert "notes.md" in [book.key for book in everything.list_books()]


def test_ids_hang_on_name_and_key_alone(store: LocalBookSource, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "a.txt").write_text("another text")
    one = next(LocalBookSource(store.path, name="mine").list_books())
    other = next(LocalBookSource(str(moved), name="mine").list_books())
    assert one.book_id == other.book_id
    assert one.etag != other.etag


def test_reads_what_was_listed(store: LocalBookSource) -> None:
    book = next(store.list_books())
    assert store.read(book) == b"text of a.txt"


def test_a_book_that_changed_since_is_left_to_the_next_run(store: LocalBookSource) -> None:
    book = next(store.list_books())
    path = Path(store.path) / book.key
    path.write_text("changed, and longer")
    with pytest.raises(BookError, match=r"a\.txt changed") as caught:
        store.read(book)
    assert (caught.value.kind, caught.value.retryable) == ("changed", True)


def test_same_size_touched_later_is_another_version(store: LocalBookSource) -> None:
    book = next(store.list_books())
    os.utime(Path(store.path) / book.key, (1, 1))
    with pytest.raises(BookError, match="changed"):
        store.read(book)


def test_a_book_that_is_gone_is_a_failure(store: LocalBookSource) -> None:
    book = next(store.list_books())
    (Path(store.path) / book.key).unlink()
    with pytest.raises(BookError) as caught:
        store.read(book)
    assert caught.value.kind == "gone"


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(SetupError, match=r"storage\.path=/no/such/folder"):
        LocalBookSource("/no/such/folder").check()
