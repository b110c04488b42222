"""Books in Arrow columns: a listing of a million books takes 200 MB, as objects 500 MB."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.book import Book
from raypipe.core.errors import SetupError

_COLUMNS = pa.schema(
    [
        ("book_id", pa.string()),
        ("key", pa.string()),
        ("etag", pa.string()),
        ("size", pa.int64()),
        ("modified", pa.float64()),
    ]
)
_CHUNK = 10_000  # books that are objects at the same time


class BookTable(Sequence[Book]):
    """A sequence of books; a book becomes an object when it is read.

    Args:
        table: Columns `book_id`, `key`, `etag`, `size`, `modified`, and perhaps `attempts` and
            `part`, as the fields of `Book`.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def of(cls, books: Iterable[Book]) -> BookTable:
        """Return books as they are listed, without `attempts` and `part`.

        Raises:
            SetupError: A field of a book has another type than `Book` says.
        """
        if isinstance(books, BookTable):
            return books
        remaining, tables = iter(books), [_COLUMNS.empty_table()]
        while chunk := list(itertools.islice(remaining, _CHUNK)):
            tables.append(_to_columns(chunk))
        return cls(pa.concat_tables(tables))

    @property
    def book_ids(self) -> pa.ChunkedArray:
        """Return the ids of the books."""
        return self.table["book_id"]

    def filter(self, mask: Any) -> BookTable:
        """Return the books for which a mask, an Arrow array of booleans, is true."""
        if pc.all(mask).as_py():
            return self  # an equal table would take as much memory again
        return BookTable(self.table.filter(mask))

    def append_column(self, name: str, values: Any) -> BookTable:
        """Return the books with the values of a field, an Arrow array."""
        return BookTable(self.table.append_column(name, values))

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[Book]:
        for start in range(0, len(self), _CHUNK):
            chunk = self.table.slice(start, _CHUNK)
            names = chunk.column_names
            for values in zip(*(chunk[name].to_pylist() for name in names), strict=True):
                yield Book(**dict(zip(names, values, strict=True)))

    @overload
    def __getitem__(self, position: int) -> Book: ...

    @overload
    def __getitem__(self, position: slice) -> BookTable: ...

    def __getitem__(self, position: int | slice) -> Book | BookTable:
        positions = range(len(self))[position]
        if isinstance(positions, range):
            if positions.step == 1:
                return BookTable(self.table.slice(positions.start, len(positions)))
            return BookTable(self.table.take(pa.array(positions, pa.int64())))
        (cells,) = self.table.slice(positions, 1).to_pylist()
        return Book(**cells)

    def __repr__(self) -> str:
        return f"BookTable of {len(self):,} books"


def is_one_of(column: pa.ChunkedArray, values: Iterable[str]) -> Any:
    """Return a mask of the texts that are among some values."""
    return pc.is_in(column, value_set=pa.array(list(values), pa.string()))


def _to_columns(books: Sequence[Book]) -> pa.Table:
    columns = {name: [getattr(book, name) for book in books] for name in _COLUMNS.names}
    try:
        return pa.table(columns, schema=_COLUMNS)
    except UnicodeEncodeError:  # half a surrogate pair is no text; `to_table` replaces it, too
        for name in ("book_id", "key", "etag"):
            columns[name] = [text.encode("utf-8", "replace").decode() for text in columns[name]]
        return pa.table(columns, schema=_COLUMNS)
    except (pa.ArrowException, OverflowError, TypeError) as error:
        cause = str(error).splitlines()[0]
        raise SetupError(
            f"the source lists a book with a field of the wrong type: {cause}. Fix: let list_books "
            "yield texts, an integer size and the seconds of the modification"
        ) from None
