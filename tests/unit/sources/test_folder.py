"""Folders with links, pipes, odd names and errors: each entry fails alone, nothing is lost."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raypipe.core.book import Row, from_table, to_table
from raypipe.core.errors import BookError, SetupError
from raypipe.ledger.failure_log import KINDS
from raypipe.sources.folder import key_of_name, path_of_key
from raypipe.sources.listing import IncompleteListingError, Listing, list_all
from raypipe.sources.local import LocalBookSource
from tests.unit.sources.broken_folders import failing

needs_permissions = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser can read everything"
)


@pytest.fixture
def books(tmp_path: Path) -> Path:
    folder = tmp_path / "books"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.txt", "sub/b.txt", "z.txt"):
        (folder / name).write_text(f"text of {name}")
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    (folder / "deep").mkdir(parents=True)
    for name in ("secret.txt", "deep/more.txt"):
        (folder / name).write_text(f"text of {name}")
    return folder


def keys(listing: Listing) -> list[str]:
    return [book.key for book in listing.books]


def unlisted(listing: Listing) -> list[str]:
    return [folder.prefix for folder in listing.unlisted]


def outcomes(folder: Path, *, follow_links: bool = False) -> dict[str, str]:
    """Return `ok` or the kind of failure of each listed book."""
    source = LocalBookSource(str(folder), follow_links=follow_links)
    results: dict[str, str] = {}
    for book in list_all(source).books:
        assert book.key not in results, "no two books have the same key"
        try:
            source.read(book)
            results[book.key] = "ok"
        except BookError as error:
            results[book.key] = error.kind
    assert set(results.values()) <= {*KINDS, "ok"}
    return results


GOOD = {"a.txt": "ok", "sub/b.txt": "ok", "z.txt": "ok"}


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{folder}/{path.name}")  # a socket's path is short
        finally:
            os.close(folder)


ODD_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a link to itself": (lambda path: path.symlink_to(path.name), "link"),
    "a link to nothing": (lambda path: path.symlink_to("nothing.txt"), "link"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "link"),
    "a link to a file outside": (lambda path: path.symlink_to("/etc/hostname"), "link"),
    "a link out through a folder": (lambda path: path.symlink_to("../outside/secret.txt"), "link"),
    "a pipe": (make_pipe, "not_a_file"),
    "a socket": (make_socket, "not_a_file"),
    "a link to a file inside": (lambda path: path.symlink_to("a.txt"), "ok"),
    "a second name of a file": (lambda path: path.hardlink_to(path.parent / "a.txt"), "ok"),
}


@pytest.mark.parametrize("case", ODD_FILES)
def test_an_odd_file_fails_alone(books: Path, outside: Path, case: str) -> None:
    make, kind = ODD_FILES[case]
    make(books / "odd.txt")
    make(books / "odd.doc")  # is no book
    assert outcomes(books) == {**GOOD, "odd.txt": kind}


def test_a_device_is_never_read(books: Path) -> None:
    (books / "zero.txt").symlink_to("/dev/zero")
    (books / "terminal.txt").symlink_to("/dev/tty")
    found = outcomes(books, follow_links=True)
    assert (found["zero.txt"], found["terminal.txt"]) == ("not_a_file", "not_a_file")


ODD_NAMES = [
    "line\nbreak.txt",
    "bell\a\x1b[31m.txt",
    "tab\t and \\ back.txt",
    "\\xe9.txt",
    "\\x5cxe9.txt",
    os.fsdecode(b"\xe9.txt"),
    os.fsdecode(b"\\\xe9.txt"),
    os.fsdecode(b"\xff\xfe\x80.txt"),
    os.fsdecode(b"\xed\xa0\x80.txt"),
    "\u202etxt.txt",
    "é.txt",
    "e\u0301.txt",
    "x" * 251 + ".txt",
]


def test_every_name_has_its_key_and_is_read(books: Path) -> None:
    for name in ODD_NAMES:
        (books / name).write_text(f"text of {name!r}")
    (books / os.fsdecode(b"f\xf6lder")).mkdir()
    (books / os.fsdecode(b"f\xf6lder/b\xfcch.txt")).write_text("text")
    found = outcomes(books)
    assert len(found) == len(GOOD) + len(ODD_NAMES) + 1
    assert set(found.values()) == {"ok"}
    assert {r"\xe9.txt", r"\x5cxe9.txt", r"f\xf6lder/b\xfcch.txt"} < found.keys()
    books_listed = list_all(LocalBookSource(str(books))).books
    rows = [Row(book) for book in books_listed]
    assert from_table(to_table(rows)) == rows, "every key is valid text"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_key_leads_back_to_its_name(name: str) -> None:
    key = key_of_name(name)
    assert key.encode()
    assert path_of_key("/books", f"sub/{key}") == f"/books/sub/{name}"


def test_a_folder_of_an_odd_name_is_named_in_messages(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"b\xfccher")
    folder.mkdir()
    source = LocalBookSource(str(folder))
    assert source.selection.encode()
    assert source.identity.endswith("/b%FCcher")


@pytest.mark.parametrize("after", [None, 0, 1])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.ENAMETOOLONG])
def test_a_folder_that_cannot_be_listed_is_known(
    books: Path, number: int, after: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    with failing(books / "sub", number, after):
        listing = list_all(LocalBookSource(str(books)))
    assert unlisted(listing) == ["sub/"]
    assert {"a.txt", "z.txt"} <= set(keys(listing))
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"1 folder cannot be listed: 'sub/' ({os.strerror(number)}; ")
    assert "\n" not in line


def test_a_caller_that_ignores_folders_gets_an_error_after_the_last_book(books: Path) -> None:
    with failing(books / "sub", errno.EACCES):
        listed = LocalBookSource(str(books)).list_books()
        assert [next(listed).key, next(listed).key] == ["a.txt", "z.txt"]
        with pytest.raises(IncompleteListingError, match="incomplete: 1 folder cannot") as caught:
            next(listed)
    assert copy(caught.value).folders == caught.value.folders, "it survives a pickle"


def test_a_listing_of_the_root_that_fails_halfway_is_incomplete(books: Path) -> None:
    with failing(books, errno.EIO, after=2):
        listing = list_all(replace(LocalBookSource(str(books)), suffixes=[]))
    assert unlisted(listing) == [""]
    assert len(listing.books) > 0


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ELOOP, errno.ESTALE])
def test_a_root_that_cannot_be_listed_gets_one_line(books: Path, number: int) -> None:
    source = LocalBookSource(str(books))
    with failing(books, number), pytest.raises(SetupError, match=r"storage\.path=") as caught:
        list_all(source)
    assert "\n" not in str(caught.value)


def test_a_root_that_is_no_folder_gets_one_line(books: Path) -> None:
    (books / "loop").symlink_to("loop")
    for root in ("a.txt", "nothing", "loop", "a.txt/below", "x" * 300):
        source = LocalBookSource(str(books / root))
        assert source.selection
        assert source.identity
        with pytest.raises(SetupError, match=r"storage\.path=") as caught:
            list_all(source)
        assert "\n" not in str(caught.value)


def test_a_root_that_is_replaced_while_it_is_listed_is_incomplete(books: Path) -> None:
    listed = LocalBookSource(str(books)).list_books()
    assert next(listed).key == "a.txt"
    books.rename(books.parent / "moved")
    books.mkdir()
    with pytest.raises(IncompleteListingError, match="replaced or unmounted"):
        list(listed)


@needs_permissions
def test_a_folder_and_a_file_without_permission(books: Path) -> None:
    (books / "a.txt").chmod(0)
    (books / "sub").chmod(0)
    try:
        assert unlisted(list_all(LocalBookSource(str(books)))) == ["sub/"]
        assert outcomes(books) == {"a.txt": "denied", "z.txt": "ok"}
        (books / "sub").chmod(0o400)  # names can be read, files cannot
        assert outcomes(books) == {"a.txt": "denied", "sub/b.txt": "denied", "z.txt": "ok"}
    finally:
        (books / "sub").chmod(0o700)


def test_a_folder_outside_of_the_prefix_is_not_read(books: Path) -> None:
    (books / "subway").mkdir()
    (books / "subway" / "c.txt").write_text("text")
    with failing(books / "subway", errno.EACCES):
        assert keys(list_all(LocalBookSource(str(books), prefix="sub/"))) == ["sub/b.txt"]
        listing = list_all(LocalBookSource(str(books), prefix="sub"))
    assert (keys(listing), unlisted(listing)) == (["sub/b.txt"], ["subway/"])


def test_an_entry_that_vanishes_while_the_folder_is_listed(books: Path) -> None:
    listed = LocalBookSource(str(books)).list_books()
    assert next(listed).key == "a.txt"
    (books / "z.txt").unlink()
    shutil.rmtree(books / "sub")
    with pytest.raises(IncompleteListingError, match=r"'sub/' \(No such file or directory"):
        assert list(listed) == []


def test_an_entry_of_which_the_status_cannot_be_read_fails_alone(
    books: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = LocalBookSource(str(books))
    scandir = os.scandir

    class Stale:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name, self.path = entry.name, entry.path
            self.is_symlink = entry.is_symlink

        def is_dir(self, *, follow_symlinks: bool = True) -> bool:
            raise OSError(errno.ESTALE, "Stale file handle")

        def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
            raise OSError(errno.ESTALE, "Stale file handle")

    class Entries(list[Stale]):
        def __enter__(self) -> Entries:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", lambda path: Entries(map(Stale, scandir(path))))
        listing = list_all(source)
    assert keys(listing) == ["a.txt", "z.txt"]
    assert unlisted(listing) == ["a.txt/", "sub/", "z.txt/"], "each may be a folder"
    with pytest.raises(BookError) as caught:
        source.read(listing.books[0])
    assert (caught.value.kind, caught.value.retryable) == ("changed", True)


def test_1200_nested_folders_are_listed(books: Path) -> None:
    deepest, parent = 1_200, os.open(books, os.O_RDONLY)
    for _ in range(deepest):
        os.mkdir("d", dir_fd=parent)
        child = os.open("d", os.O_RDONLY, dir_fd=parent)
        os.close(parent)
        parent = child
    os.close(os.open("deep.txt", os.O_CREAT | os.O_WRONLY, dir_fd=parent))
    os.close(parent)
    key = "d/" * deepest + "deep.txt"
    try:
        assert outcomes(books) == {**GOOD, key: "ok"}
    finally:
        (books / key).unlink()
        for _ in range(deepest - 1):  # rmtree is recursive
            (books / "d/d").rename(books / "below")
            (books / "d").rmdir()
            (books / "below").rename(books / "d")


def test_a_tree_that_is_too_deep_for_a_path_is_a_folder_that_cannot_be_listed(books: Path) -> None:
    name, depth, parent = "d" * 250, 20, os.open(books, os.O_RDONLY)
    folders = [parent]
    for _ in range(depth):
        os.mkdir(name, dir_fd=folders[-1])
        folders.append(os.open(name, os.O_RDONLY, dir_fd=folders[-1]))
    try:
        listing = list_all(LocalBookSource(str(books)))
        assert set(keys(listing)) == set(GOOD)
        [folder] = listing.unlisted
        assert folder.prefix.startswith(f"{name}/{name}/")
        assert folder.reason.startswith("File name too long")
    finally:
        os.close(folders.pop())
        while folders:
            os.rmdir(name, dir_fd=folders[-1])
            os.close(folders.pop())


def test_links_to_folders(books: Path, outside: Path) -> None:
    (books / "own").symlink_to("sub")
    (books / "up").symlink_to("..")
    (books / "away").symlink_to(outside)
    (outside / "back").symlink_to(books)
    (outside / "itself").symlink_to(".")
    (books / "gone").symlink_to("nothing")
    source = LocalBookSource(str(books))
    listing = list_all(source)
    assert set(keys(listing)) == set(GOOD)
    assert unlisted(listing) == ["away/", "up/"]
    listing = list_all(replace(source, follow_links=True))
    assert keys(listing) == [
        "a.txt", "sub/b.txt", "z.txt", "away/deep/more.txt", "away/secret.txt"
    ]  # fmt: skip
    assert unlisted(listing) == ["gone/"], "its books may come back"
    assert set(outcomes(books, follow_links=True).values()) == {"ok"}
    assert source.identity == replace(source, follow_links=True).identity


def test_two_links_to_a_folder_list_it_once(books: Path, outside: Path) -> None:
    (books / "first").symlink_to(outside)
    (books / "second").symlink_to(outside)
    found = outcomes(books, follow_links=True)
    assert sorted(found.keys() - GOOD.keys()) == ["first/deep/more.txt", "first/secret.txt"]


def test_a_book_that_is_replaced_between_listing_and_reading(books: Path, outside: Path) -> None:
    source = LocalBookSource(str(books))
    book = list_all(source).books[0]
    status = (books / "a.txt").stat()

    def read_kind() -> str:
        with pytest.raises(BookError) as caught:
            source.read(book)
        return caught.value.kind

    (books / "a.txt").unlink()
    assert read_kind() == "gone"
    (books / "a.txt").mkdir()
    assert read_kind() == "changed"
    (books / "a.txt").rmdir()
    os.mkfifo(books / "a.txt")
    assert read_kind() == "not_a_file"
    (books / "a.txt").unlink()
    # A copy outside with the size and the time of the listed file.
    (outside / "copy.txt").write_bytes(b"x" * status.st_size)
    os.utime(outside / "copy.txt", ns=(status.st_mtime_ns, status.st_mtime_ns))
    (books / "a.txt").symlink_to(outside / "copy.txt")
    assert read_kind() == "link"
    inside = next(book for book in list_all(source).books if book.key == "sub/b.txt")
    shutil.move(books / "sub", outside / "sub")
    (books / "sub").symlink_to(outside / "sub")
    with pytest.raises(BookError, match="leads out of the folder"):
        source.read(inside)
    (books / "sub").unlink()
    (books / "sub").write_text("a file now")
    with pytest.raises(BookError) as caught:
        source.read(inside)
    assert (caught.value.kind, caught.value.retryable) == ("gone", True)


def test_a_large_folder_is_listed_once(books: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = books / "many"
    many.mkdir()
    for number in range(3_000):
        (many / f"{number}.txt").touch()
    calls: list[str] = []
    scandir = os.scandir

    def count(path: str) -> Any:
        calls.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", count)
    listing = list_all(LocalBookSource(str(books)))
    assert len(listing.books) == 3_000 + len(GOOD)
    assert len(calls) == 1 + 3, "once for the check, once for each folder"
