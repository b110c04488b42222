from __future__ import annotations

import os
from pathlib import Path

import pytest

from raypipe.core.errors import BookError, SetupError
from raypipe.sources.local import LocalBookSource
from raypipe.sources.protocol import BookSource


@pytest.fixture
def source(tmp_path: Path) -> LocalBookSource:
    (tmp_path / "sub").mkdir()
    for name in ("b.txt", "a.txt", "sub/c.txt", "notes.doc"):
        (tmp_path / name).write_text(f"text of {name}")
    return LocalBookSource(str(tmp_path))


def test_files_of_all_folders_are_listed_in_key_order(source: LocalBookSource) -> None:
    assert [book.key for book in source.list_books()] == ["a.txt", "b.txt", "sub/c.txt"]


def test_prefix_and_suffixes_select_files(source: LocalBookSource) -> None:
    selected = LocalBookSource(source.path, prefix="sub/")
    assert [book.key for book in selected.list_books()] == ["sub/c.txt"]
    everything = LocalBookSource(source.path, suffixes=[])
    assert "notes.doc" in [book.key for book in everything.list_books()]


def test_ids_depend_on_name_and_key_only(source: LocalBookSource, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "a.txt").write_text("another text")
    one = next(LocalBookSource(source.path, name="mine").list_books())
    other = next(LocalBookSource(str(moved), name="mine").list_books())
    assert one.book_id == other.book_id
    assert one.etag != other.etag


def test_a_listed_book_is_read(source: LocalBookSource) -> None:
    book = next(source.list_books())
    assert source.read(book) == b"text of a.txt"


def test_a_book_that_changed_is_a_retryable_failure(source: LocalBookSource) -> None:
    book = next(source.list_books())
    path = Path(source.path) / book.key
    path.write_text("changed, and longer")
    with pytest.raises(BookError, match=r"a\.txt changed") as caught:
        source.read(book)
    assert (caught.value.kind, caught.value.retryable) == ("changed", True)


def test_a_touched_file_is_another_version(source: LocalBookSource) -> None:
    book = next(source.list_books())
    os.utime(Path(source.path) / book.key, (1, 1))
    with pytest.raises(BookError, match="changed"):
        source.read(book)


def test_a_deleted_book_is_a_failure(source: LocalBookSource) -> None:
    book = next(source.list_books())
    (Path(source.path) / book.key).unlink()
    with pytest.raises(BookError) as caught:
        source.read(book)
    assert caught.value.kind == "gone"


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(SetupError, match=r"storage\.path=/no/such/folder"):
        LocalBookSource("/no/such/folder").check()


def test_workers_must_reach_the_folder(source: LocalBookSource) -> None:
    protocol: BookSource = source
    assert protocol.locations == {"storage.path": source.path}
    assert protocol.connection is None
    assert protocol.lists_whole_source
