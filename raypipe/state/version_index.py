"""Look-ups of a million book versions that fit into the driver's and a worker's memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Version: TypeAlias = tuple[str, str]
"""A book's id and ETag."""

_BETWEEN = "\0"  # stands in neither an id nor an ETag


class VersionSet(Set[Version]):
    """A set of (book id, ETag); about 220 bytes each where tuples take 350.

    Args:
        table: Rows with `book_id` and `etag`.
    """

    def __init__(self, table: pa.Table) -> None:
        self._keys = set(_joined(table))

    def __contains__(self, version: object) -> bool:
        return isinstance(version, tuple) and _BETWEEN.join(version) in self._keys

    def __iter__(self) -> Iterator[Version]:
        return (_split(key) for key in self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class VersionIndex(Mapping[Version, str]):
    """The documents part that holds each (book id, ETag).

    Args:
        table: Rows with `book_id`, `etag` and `part`, each version once.
    """

    def __init__(self, table: pa.Table) -> None:
        # to_pylist makes a string a row: dictionary values are shared instead.
        parts = pc.dictionary_encode(table["part"].combine_chunks())
        names = parts.dictionary.to_pylist() if len(table) else []
        codes = parts.indices.to_numpy() if len(table) else ()
        self._parts = dict(zip(_joined(table), (names[code] for code in codes), strict=True))

    def __getitem__(self, version: Version) -> str:
        part: str = self._parts[_BETWEEN.join(version)]
        return part

    def __iter__(self) -> Iterator[Version]:
        return (_split(key) for key in self._parts)

    def __len__(self) -> int:
        return len(self._parts)


class TextIndex(Mapping[str, tuple[str, str]]):
    """The part and the book that hold the document of a text; compact, since workers keep it.

    Args:
        table: Rows with `text_sha256`, `part` and `book_id`, each text once.
    """

    def __init__(self, table: pa.Table) -> None:
        texts = np.array(table["text_sha256"].to_pylist(), dtype=np.bytes_)
        order = np.argsort(texts)
        self._texts = texts[order]
        self._parts = pc.dictionary_encode(table["part"].combine_chunks()).take(pa.array(order))
        self._books = table["book_id"].combine_chunks().take(pa.array(order))

    def __getitem__(self, text_sha256: str) -> tuple[str, str]:
        at = int(np.searchsorted(self._texts, text_sha256.encode()))
        if at == len(self._texts) or self._texts[at] != text_sha256.encode():
            raise KeyError(text_sha256)
        return self._parts[at].as_py(), self._books[at].as_py()

    def __iter__(self) -> Iterator[str]:
        return (text.decode() for text in self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def _joined(table: pa.Table) -> list[str]:
    """Return id and ETag of each row as one string."""
    keys = pc.binary_join_element_wise(table["book_id"], table["etag"], _BETWEEN)
    joined: list[str] = keys.to_pylist()
    return joined


def _split(key: str) -> Version:
    book_id, _, etag = key.partition(_BETWEEN)
    return book_id, etag
