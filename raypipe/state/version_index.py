"""Lookups of a million book versions in Arrow columns, for the driver and for workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raypipe.state.text_positions import index_in

Version: TypeAlias = tuple[str, str]
"""The id and the ETag of a book."""

_SEPARATOR = "\0"  # occurs in neither an id nor an ETag
_KEYS = ["book_id", "etag"]


class VersionSet(Set[Version]):
    """A set of (book id, ETag). A single lookup reads all rows; `find` looks up many at once.

    Args:
        table: Rows with `book_id` and `etag`.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table.select(_KEYS)

    @classmethod
    def of(cls, versions: Set[Version]) -> VersionSet:
        """Return a set as a `VersionSet`."""
        return cls(_to_table(list(versions)))

    def find(self, books: pa.Table) -> pa.Array:
        """Return whether the set has the version of each book.

        Args:
            books: Rows with `book_id` and `etag`.
        """
        return pa.array(find_versions(self._table, books) >= 0)

    def __contains__(self, version: object) -> bool:
        return isinstance(version, tuple) and bool(self.find(_to_table([version]))[0].as_py())

    def __iter__(self) -> Iterator[Version]:
        return _iterate(self._table)

    def __len__(self) -> int:
        return len(self._table)


class VersionIndex(Mapping[Version, str]):
    """A mapping of (book id, ETag) to the part of the documents that holds this version.

    A single lookup reads all rows; `find` looks up many at once.

    Args:
        table: Rows with `book_id`, `etag` and `part`; each version occurs once.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table.select(_KEYS)
        # A million names of parts would take 60 MB; there are few different names.
        self._parts = pc.dictionary_encode(table["part"].combine_chunks())

    @classmethod
    def of(cls, parts: Mapping[Version, str]) -> VersionIndex:
        """Return a mapping as a `VersionIndex`."""
        column = pa.array(list(parts.values()), pa.string())
        return cls(_to_table(list(parts)).append_column("part", column))

    @property
    def versions(self) -> VersionSet:
        """Return the versions alone."""
        return VersionSet(self._table)

    def find(self, books: pa.Table) -> pa.Array:
        """Return the part that holds the version of each book, null for a version without a part.

        Args:
            books: Rows with `book_id` and `etag`.
        """
        positions = find_versions(self._table, books)
        found = self._parts.take(pa.array(positions, mask=positions < 0))
        return found.cast(pa.string())

    def __getitem__(self, version: Version) -> str:
        part: str | None = self.find(_to_table([version]))[0].as_py()
        if part is None:
            raise KeyError(version)
        return part

    def __iter__(self) -> Iterator[Version]:
        return _iterate(self._table)

    def __len__(self) -> int:
        return len(self._table)


def find_versions(recorded: pa.Table, books: pa.Table) -> NDArray[np.int64]:
    """Return the position at which the version of each book is recorded, -1 for none.

    Args:
        recorded: Rows with `book_id` and `etag`; a book may have several versions.
        books: Rows with `book_id` and `etag`.
    """
    positions = index_in(books["book_id"], recorded["book_id"])
    etags = recorded["etag"].take(pa.array(positions, mask=positions < 0))
    is_same = _to_numpy(pc.fill_null(pc.equal(etags, books["etag"]), False))
    rest = np.flatnonzero((positions >= 0) & ~is_same)
    positions[rest] = -1
    if len(rest):  # the first recorded version is another; look at all versions of these books
        others = books.select(_KEYS).take(pa.array(rest))
        candidates = np.flatnonzero(index_in(recorded["book_id"], others["book_id"]) >= 0)
        found = index_in(_join(others), _join(recorded.take(pa.array(candidates))))
        positions[rest] = np.where(found >= 0, np.append(candidates, -1)[found], -1)
    return positions


class TextIndex(Mapping[str, tuple[str, str]]):
    """A mapping of a text's hash to (part, book id) of a document. Compact: workers keep it.

    Args:
        table: Rows with `text_sha256`, `part` and `book_id`; each text occurs once.
    """

    def __init__(self, table: pa.Table) -> None:
        texts = np.array(table["text_sha256"].to_pylist(), dtype=np.bytes_)
        order = np.argsort(texts)
        self._texts = texts[order]
        self._parts = pc.dictionary_encode(table["part"].combine_chunks()).take(pa.array(order))
        self._book_ids = table["book_id"].combine_chunks().take(pa.array(order))

    def __getitem__(self, text_sha256: str) -> tuple[str, str]:
        position = int(np.searchsorted(self._texts, text_sha256.encode()))
        if position == len(self._texts) or self._texts[position] != text_sha256.encode():
            raise KeyError(text_sha256)
        return self._parts[position].as_py(), self._book_ids[position].as_py()

    def __iter__(self) -> Iterator[str]:
        return (text.decode() for text in self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def _join(table: pa.Table) -> pa.ChunkedArray:
    """Return the id and the ETag of each row as a single text."""
    return pc.binary_join_element_wise(table["book_id"], table["etag"], _SEPARATOR)


def _to_numpy(column: Any) -> NDArray[Any]:
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def _to_table(versions: list[Version]) -> pa.Table:
    ids, etags = [book_id for book_id, _ in versions], [etag for _, etag in versions]
    return pa.table({"book_id": pa.array(ids, pa.string()), "etag": pa.array(etags, pa.string())})


def _iterate(table: pa.Table) -> Iterator[Version]:
    return zip(table["book_id"].to_pylist(), table["etag"].to_pylist(), strict=True)
