"""Lookups of a million book versions that fit into the memory of the driver and of a worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Version: TypeAlias = tuple[str, str]
"""The id and the ETag of a book."""

_SEPARATOR = "\0"  # occurs in neither an id nor an ETag


class VersionSet(Set[Version]):
    """A set of (book id, ETag). An element takes about 220 bytes; as a tuple it takes 350.

    Args:
        table: Rows with `book_id` and `etag`.
    """

    def __init__(self, table: pa.Table) -> None:
        self._keys = set(_join_columns(table))

    def __contains__(self, version: object) -> bool:
        return isinstance(version, tuple) and _SEPARATOR.join(version) in self._keys

    def __iter__(self) -> Iterator[Version]:
        return (_split_key(key) for key in self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class VersionIndex(Mapping[Version, str]):
    """A mapping of (book id, ETag) to the part of the documents that holds this version.

    Args:
        table: Rows with `book_id`, `etag` and `part`; each version occurs once.
    """

    def __init__(self, table: pa.Table) -> None:
        # to_pylist of the column would create a string per row; dictionary values are shared.
        parts = pc.dictionary_encode(table["part"].combine_chunks())
        names = parts.dictionary.to_pylist() if len(table) else []
        codes = parts.indices.to_numpy() if len(table) else ()
        self._parts = dict(zip(_join_columns(table), (names[code] for code in codes), strict=True))

    def __getitem__(self, version: Version) -> str:
        part: str = self._parts[_SEPARATOR.join(version)]
        return part

    def __iter__(self) -> Iterator[Version]:
        return (_split_key(key) for key in self._parts)

    def __len__(self) -> int:
        return len(self._parts)


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


def _join_columns(table: pa.Table) -> list[str]:
    """Return the id and the ETag of each row as a single string."""
    keys = pc.binary_join_element_wise(table["book_id"], table["etag"], _SEPARATOR)
    joined: list[str] = keys.to_pylist()
    return joined


def _split_key(key: str) -> Version:
    book_id, _, etag = key.partition(_SEPARATOR)
    return book_id, etag
