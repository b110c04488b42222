"""Finished documents with their vectors, kept so that nothing is computed twice.

Tombstones of deleted books have their own folder, see `raypipe.ledger.tombstones`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.book import DOCUMENT_SCHEMA, Document, document_from, documents_table
from raypipe.state.latest_rows import latest_rows
from raypipe.state.parquet_table import ParquetTable
from raypipe.state.store import State
from raypipe.state.table_schema import TableSchema
from raypipe.state.version_index import TextIndex, Version, VersionIndex

FOLDER = "documents"
_ORDER = ("run_seq", "finished_at")
# Workers read few documents of a large part; small row groups keep them from reading all of it.
_SCHEMA = TableSchema(DOCUMENT_SCHEMA, kind=FOLDER, version=2, row_group_size=1_000)
_MAX_ROWS = 50_000
_INDEX_COLUMNS = ("book_id", "etag", "text_sha256", "degraded", "run_seq", "finished_at")


@dataclass(frozen=True)
class FinishedRecipe:
    """A document recipe with finished documents.

    Args:
        recipe: The document recipe.
        summarizer: Name of the summarizer of the newest document.
        embedder: Name of the embedder of the newest document.
        books: Number of books with a document of this recipe.
    """

    recipe: str
    summarizer: str
    embedder: str
    books: int


@dataclass(frozen=True)
class DocumentStore:
    """Documents as parquet parts, in a folder for each document recipe.

    The name of a part is `<document recipe>/part-….parquet`, here and in `Book.part`. All methods
    raise `SetupError` if the state cannot be read or written.

    Args:
        state: Where the parts are kept.
    """

    state: State

    def append(self, documents: Iterable[Document], run_seq: int, task: int | str, seq: int) -> str:
        """Add documents of a single recipe.

        Args:
            documents: Finished documents with the same document recipe.
            run_seq: Number of the run.
            task: The write task in that run.
            seq: Number of the part in that task.

        Returns:
            Name of the part, or '' if there were no documents.

        Raises:
            ValueError: The documents have several recipes, or an empty recipe.
            SetupError: The state cannot be written.
        """
        # The run that reuses a summary finishes the document: it gets the number of this run.
        table = documents_table(replace(document, run_seq=run_seq) for document in documents)
        if not len(table):
            return ""
        recipes = table["document_recipe"].unique().to_pylist()
        if len(recipes) != 1 or not recipes[0]:
            raise ValueError(f"the documents of a part must have the same recipe, not {recipes}")
        name = self._table(recipes[0]).write(table, run_seq, task, seq)
        return f"{recipes[0]}/{name}"

    def read(
        self, part: str, book_ids: Sequence[str], etags: Sequence[str] | None = None
    ) -> list[Document]:
        """Return the documents of books in a part, in the order of the arguments.

        If the part was compacted in the meantime, the compacted parts are searched.

        Args:
            part: Name of the part, `<document recipe>/part-….parquet`.
            book_ids: Ids of the books.
            etags: Version of each book; None for the newest version in the part.

        Returns:
            At most one document per book; books without a document are left out.
        """
        recipe, _, name = part.partition("/")
        parts = self._table(recipe)
        table = parts.read_matching(name, "book_id", book_ids)
        if table is None:
            table = _read_from_compacted(parts, book_ids)
        keys = ["book_id"] if etags is None else ["book_id", "etag"]
        documents = {
            tuple(cells[key] for key in keys): document_from(cells)
            for cells in latest_rows(table, keys, _ORDER).to_pylist()
        }
        requested = zip(book_ids) if etags is None else zip(book_ids, etags, strict=True)
        return [documents[key] for key in requested if key in documents]

    def finished_versions(self, document_recipe: str) -> VersionIndex:
        """Return the part of each finished (book id, ETag); vectors are not read."""
        return VersionIndex(_latest_versions(self._read_index([document_recipe])))

    def summarized_versions(
        self, summary_recipe: str, exclude: Collection[str] = ()
    ) -> VersionIndex:
        """Return the newest part of each (book id, ETag) that has a summary.

        Args:
            summary_recipe: Recipe of the summaries.
            exclude: Document recipes to leave out, usually the recipe of this run.
        """
        recipes = [recipe for recipe in self._find_recipes(summary_recipe) if recipe not in exclude]
        return VersionIndex(_latest_versions(_exclude_degraded(self._read_index(recipes))))

    def text_index(self, summary_recipe: str) -> TextIndex:
        """Return (part, book id) of the newest document of each text, by `text_sha256`.

        It identifies a book that was renamed, or uploaded again without a change.
        """
        table = _exclude_degraded(self._read_index(self._find_recipes(summary_recipe)))
        return TextIndex(latest_rows(table, ["text_sha256"], _ORDER))

    def all_versions(self) -> set[Version]:
        """Return (book id, ETag) of all finished documents, of any recipe."""
        tables = [
            self._table(recipe).read(["book_id", "etag"]) for recipe in self._parts_by_recipe()
        ]
        return {version for table in tables for version in _iterate_versions(table)}

    def read_newest_books(self, document_recipe: str) -> pa.Table:
        """Return the newest finished version of each book.

        Returns:
            Columns `book_id`, `key`, `etag`, `size`, `modified`: the fields of `Book`.
        """
        columns = ["book_id", "key", "etag", "size", "modified"]
        # A run may finish two versions of a book; the later version counts.
        rows = self._table(document_recipe).read([*columns, *_ORDER])
        return latest_rows(rows, ["book_id"], _ORDER).select(columns)

    def read_newest_summaries(self) -> pa.Table:
        """Return the newest document of each book, of any recipe.

        Returns:
            Columns `book_id`, `key`, `title`, `author`, `summary`.
        """
        return self._read_newest(["book_id", "key", "title", "author", "summary"])

    def read_books_of_source(self, source: str) -> pa.Table:
        """Return the finished books of a source, of any recipe.

        Args:
            source: Identity of the source.

        Returns:
            Columns `book_id`, `key`, `etag`, `size`, and `first_run`, the number of the first run
            that finished the book; each book once.
        """
        rows = self._read_all(["book_id", "key", "etag", "size", *_ORDER], {"source": source})
        first_runs = rows.group_by("book_id").aggregate([("run_seq", "min")])
        newest = latest_rows(rows, ["book_id"], _ORDER).select(["book_id", "key", "etag", "size"])
        positions = pc.index_in(newest["book_id"], value_set=first_runs["book_id"])
        return newest.append_column("first_run", first_runs["run_seq_min"].take(positions))

    def read_run(self, document_recipe: str, run_seq: int) -> pa.Table:
        """Return the versions that a run finished: columns `book_id`, `etag`, `run_seq`."""
        table = self._table(document_recipe)
        return table.read(["book_id", "etag", "run_seq"], {"run_seq": run_seq})

    def degraded_books(self, document_recipe: str) -> set[str]:
        """Return the ids of books whose newest document has a fallback's summary."""
        rows = self._table(document_recipe).read(["book_id", "degraded", *_ORDER])
        newest = latest_rows(rows, ["book_id"], _ORDER)
        return set(newest.filter(_is_degraded(newest))["book_id"].to_pylist())

    def has_documents(self, document_recipe: str) -> bool:
        """Whether any document of a recipe is finished; only names of parts are read."""
        return bool(self._table(document_recipe).part_names())

    def list_recipes(self) -> list[FinishedRecipe]:
        """Return the document recipes with finished documents, most books first."""
        finished = []
        for recipe in self._parts_by_recipe():
            table = self._table(recipe).read(["book_id", "summarizer", "embedder"])
            if len(table):
                last = table.slice(len(table) - 1).to_pylist()[0]
                books = pc.count_distinct(table["book_id"]).as_py()
                finished.append(FinishedRecipe(recipe, last["summarizer"], last["embedder"], books))
        return sorted(finished, key=lambda recipe: -recipe.books)

    def newest_recipe(self) -> str:
        """Return the recipe of the documents that were finished last; '' if there are none."""
        last_part = {
            recipe: max(parts) for recipe, parts in self._parts_by_recipe().items() if parts
        }
        return max(last_part, key=lambda recipe: last_part[recipe], default="")

    def delete_recipe(self, document_recipe: str) -> None:
        """Delete all documents of a recipe."""
        self.state.delete(self.state.list(f"{FOLDER}/{document_recipe}/"))

    def compact(self, document_recipe: str, threshold: int = 500) -> int:
        """Merge parts of a recipe if there are at least `threshold`; see `ParquetTable.compact`."""
        return self._table(document_recipe).compact(threshold)

    def _table(self, recipe: str) -> ParquetTable:
        folder = f"{FOLDER}/{recipe}"
        # With book_id as the key, a compacted part has a single version of a book, so that part
        # and book id identify a document.
        return ParquetTable(self.state, folder, _SCHEMA, ("book_id",), _ORDER, max_rows=_MAX_ROWS)

    def _read_newest(self, columns: Sequence[str]) -> pa.Table:
        """Return columns of the newest document of each book, of any recipe."""
        rows = self._read_all([*columns, *_ORDER])
        return latest_rows(rows, ["book_id"], _ORDER).select(columns)

    def _read_all(self, columns: Sequence[str], where: Mapping[str, Any] | None = None) -> pa.Table:
        """Return columns of all documents, of any recipe."""
        tables = [self._table(recipe).read(columns, where) for recipe in self._parts_by_recipe()]
        empty = pa.schema([DOCUMENT_SCHEMA.field(name) for name in columns]).empty_table()
        return pa.concat_tables([empty, *tables])

    def _read_index(self, recipes: Iterable[str]) -> pa.Table:
        """Return the small columns of all documents of these recipes, and the column `part`."""
        schema = pa.schema([DOCUMENT_SCHEMA.field(name) for name in _INDEX_COLUMNS])
        tables = [schema.append(pa.field("part", pa.string())).empty_table()]
        for recipe in recipes:
            table = self._table(recipe).read(_INDEX_COLUMNS, part_column=True)
            parts = pc.binary_join_element_wise(recipe, table["part"], "/")
            tables.append(table.set_column(len(_INDEX_COLUMNS), "part", parts))
        return pa.concat_tables(tables)

    def _parts_by_recipe(self) -> dict[str, list[str]]:
        """Return the names of the parts of each document recipe."""
        parts: dict[str, list[str]] = {}
        for name in self.state.list(f"{FOLDER}/"):
            recipe, _, part = name.removeprefix(f"{FOLDER}/").partition("/")
            parts.setdefault(recipe, []).append(part)
        return parts

    def _find_recipes(self, summary_recipe: str) -> list[str]:
        """Return the document recipes that contain a summary recipe."""
        recipes = self._parts_by_recipe().items()
        return [
            recipe
            for recipe, parts in recipes
            if self._contains_summaries(recipe, parts, summary_recipe)
        ]

    def _contains_summaries(self, recipe: str, parts: Sequence[str], summary_recipe: str) -> bool:
        # Recipes are nested fingerprints: all documents of a recipe have the same summary recipe.
        for name in parts:
            summary_recipes = self._table(recipe).read_first_group(name, "summary_recipe")
            if summary_recipes:
                return bool(summary_recipes[0] == summary_recipe)
        return False


def _is_degraded(table: pa.Table) -> Any:
    return pc.fill_null(pc.not_equal(table["degraded"], ""), False)


def _exclude_degraded(table: pa.Table) -> pa.Table:
    """Leave out fallback summaries: the model may succeed the next time."""
    return table.filter(pc.invert(_is_degraded(table)))


def _iterate_versions(table: pa.Table) -> Iterator[Version]:
    return zip(table["book_id"].to_pylist(), table["etag"].to_pylist(), strict=True)


def _latest_versions(table: pa.Table) -> pa.Table:
    return latest_rows(table, ["book_id", "etag"], _ORDER)


def _read_from_compacted(table: ParquetTable, book_ids: Sequence[str]) -> pa.Table:
    """Return documents whose part was compacted, from the compacted parts, newest first."""
    tables = [table.schema.columns.empty_table()]
    missing = set(book_ids)
    for name in reversed(table.compacted_part_names()):
        rows = table.read_matching(name, "book_id", sorted(missing)) if missing else None
        if rows is not None:
            tables.append(rows)
            missing -= set(rows["book_id"].to_pylist())
    return pa.concat_tables(tables)
