"""Read the newest document of each book, a batch at a time.

First the small columns of all documents are read, about 0.6 kB a document. They tell which rows
of which parts are the newest. Then these rows are read with all columns, in batches of one part, so
that memory does not depend on the number of documents.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raypipe.core.book import DOCUMENT_SCHEMA
from raypipe.core.errors import OptionError
from raypipe.ledger.document_rows import ORDER, read_from_compacted
from raypipe.ledger.document_store import DocumentStore
from raypipe.ledger.tombstones import Tombstones, deletable_books, exclude_books
from raypipe.state.latest_rows import latest_rows
from raypipe.state.store import IDENTITY, State, StateError

BATCH = 2_000
"""Maximum number of documents in a batch: about 10 MB with vectors of 1,024 dimensions."""

VECTOR = "summary_vector"
"""Column with the vectors."""

_THREADS = 4
_PART, _ROW = "part", "row"


@dataclass(frozen=True)
class DocumentBatch:
    """Documents in a part, each the newest of its book.

    Args:
        store: The documents of the state.
        recipe: Document recipe of the part.
        part: Name of the part.
        rows: Positions in the part, ascending.
        book_ids: Ids of the books, in the same order.
    """

    store: DocumentStore
    recipe: str
    part: str
    rows: NDArray[np.int64]
    book_ids: pa.Array

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Return columns of the documents; each book once.

        If the part was compacted since, the compacted parts are searched.

        Raises:
            SetupError: The state cannot be read, or its documents were deleted meanwhile.
        """
        table = self.store.table(self.recipe)
        found = table.with_part(
            self.part, lambda file: table.schema.read_rows(file, columns, self.rows)
        )
        if found is not None:
            return found
        rows = read_from_compacted(table, self.book_ids.to_pylist())
        newest = latest_rows(rows, ["book_id"], ORDER)
        if len(newest) < len(self.rows):
            raise StateError(
                f"documents of the recipe {self.recipe} in the state {self.store.state.uri} were "
                "deleted while they were read; read again"
            )
        return newest.select(list(columns))


def check_exists(state: State) -> None:
    """Check that there is a state.

    Raises:
        SetupError: Nothing is recorded there.
    """
    if state.get(IDENTITY) is None and not DocumentStore(state).recipe_names():
        raise StateError(
            f"there is no state at {state.uri}; `raypipe run` makes it, or set state.uri to the "
            "state of your runs"
        )


def find_recipe(store: DocumentStore, name: str) -> str:
    """Return the document recipe that a name, or its beginning, stands for.

    Raises:
        OptionError: No recipe or several recipes have this name; the message lists them.
    """
    recipes = store.recipe_names()
    matching = [recipe for recipe in recipes if recipe.startswith(name)]
    if name in recipes or len(matching) == 1:
        return name if name in recipes else matching[0]
    known = [
        f"{recipe.recipe} ({recipe.summarizer}, {recipe.embedder}, {recipe.books:,} books)"
        for recipe in store.list_recipes()
    ]
    raise OptionError(
        f"recipe={name}: {len(matching) or 'no'} recipes of finished documents have this name; "
        f"the state has {', '.join(known) or 'no finished documents'}"
    )


def check_columns(columns: Sequence[str]) -> list[str]:
    """Return the columns of a document to read: those given, or all.

    Raises:
        OptionError: There is no such column.
    """
    for column in columns:
        if column not in DOCUMENT_SCHEMA.names:
            raise OptionError(
                f"columns: a document has no column {column}; choose of "
                f"{', '.join(DOCUMENT_SCHEMA.names)}"
            )
    return list(dict.fromkeys(columns)) or list(DOCUMENT_SCHEMA.names)


def columns_schema(columns: Sequence[str]) -> pa.Schema:
    """Return the Arrow schema of columns of a document."""
    return pa.schema([DOCUMENT_SCHEMA.field(name) for name in columns])


def select_newest(store: DocumentStore, recipe: str | None = None) -> list[DocumentBatch]:
    """Return the newest document of each book, in batches; deleted books are left out.

    A renamed book is left out if it is finished under its new key.

    Args:
        store: The documents of a state.
        recipe: Documents of this recipe only; None for the newest of any recipe.

    Raises:
        SetupError: The state cannot be read.
    """
    recipes = store.recipe_names() if recipe is None else [recipe]
    parts: list[tuple[str, str]] = []
    columns = [(name, DOCUMENT_SCHEMA.field(name).type) for name in ("book_id", *ORDER)]
    schema = pa.schema([*columns, (_PART, pa.int32()), (_ROW, pa.int32())])
    tables = [schema.empty_table()]
    for name in recipes:
        tables.append(_read_positions(store, name, parts).cast(schema))
    newest = latest_rows(pa.concat_tables(tables), ["book_id"], ORDER)
    if renames := Tombstones(store.state).renames():
        present = set(newest["book_id"].to_pylist())
        newest = exclude_books(newest, deletable_books(renames, present))
    return list(_split(store, newest, parts))


def read_batches(batches: Iterable[DocumentBatch], columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield columns of the documents of each batch, in order; a few batches are read ahead."""
    with ThreadPoolExecutor(_THREADS, "documents") as pool:
        waiting: deque[Future[pa.Table]] = deque()
        for batch in batches:
            waiting.append(pool.submit(batch.read, columns))
            if len(waiting) > _THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read_positions(store: DocumentStore, recipe: str, parts: list[tuple[str, str]]) -> pa.Table:
    """Return the small columns of a recipe's documents, with the places of the rows.

    Args:
        store: The documents of a state.
        recipe: The document recipe.
        parts: Gets recipe and name of each part; the column `part` holds positions in this list.
    """
    table = store.table(recipe).read(["book_id", *ORDER], part_column=True)
    encoded = pc.dictionary_encode(table[_PART].combine_chunks())
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    # The rows of a part follow each other in their order.
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    lengths = np.diff(starts, append=len(codes))
    rows = np.arange(len(codes)) - np.repeat(starts, lengths)
    offset = len(parts)
    parts += [(recipe, name) for name in encoded.dictionary.to_pylist()]
    table = table.drop_columns([_PART]).append_column(_PART, pa.array(codes + offset))
    return table.append_column(_ROW, pa.array(rows))


def _split(
    store: DocumentStore, newest: pa.Table, parts: Sequence[tuple[str, str]]
) -> Iterator[DocumentBatch]:
    """Yield batches of at most `BATCH` rows of the same part."""
    codes = newest[_PART].to_numpy()
    positions = newest[_ROW].to_numpy().astype(np.int64)
    book_ids = newest["book_id"].combine_chunks()
    starts = [*np.flatnonzero(np.diff(codes, prepend=-1)), len(codes)]
    for start, stop in itertools.pairwise(starts):
        recipe, part = parts[codes[start]]
        for at in range(start, stop, BATCH):
            end = min(at + BATCH, stop)
            # A copy: a pickled slice would hold the ids of all books.
            ids = book_ids.take(pa.array(np.arange(at, end)))
            yield DocumentBatch(store, recipe, part, positions[at:end], ids)
