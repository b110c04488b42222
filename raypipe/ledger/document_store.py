"""Finished documents with their vectors, kept so that nothing is computed twice.

Tombstones of deleted books have their own folder, see `raypipe.ledger.tombstones`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.book import DOCUMENT_SCHEMA, Document, document_from, documents_table
from raypipe.ledger.document_rows import (
    ORDER,
    exclude_degraded,
    is_degraded,
    latest_versions,
    read_from_compacted,
)
from raypipe.ledger.recipes import FinishedRecipe, Provenance
from raypipe.state.latest_rows import latest_rows
from raypipe.state.parquet_table import ParquetTable
from raypipe.state.store import State
from raypipe.state.table_schema import TableSchema
from raypipe.state.version_index import TextIndex, VersionIndex

FOLDER = "documents"
# Workers read few documents of a large part; small row groups keep them from reading all of it.
_SCHEMA = TableSchema(DOCUMENT_SCHEMA, kind=FOLDER, version=3, row_group_size=1_000)
_MAX_ROWS = 50_000
_INDEX_COLUMNS = ("book_id", "etag", "text_sha256", "degraded", "run_seq", "finished_at")


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
        name = self.table(recipes[0]).write(table, run_seq, task, seq)
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
        parts = self.table(recipe)
        table = parts.read_matching(name, "book_id", book_ids)
        if table is None:
            table = read_from_compacted(parts, book_ids)
        keys = ["book_id"] if etags is None else ["book_id", "etag"]
        documents = {
            tuple(cells[key] for key in keys): document_from(cells)
            for cells in latest_rows(table, keys, ORDER).to_pylist()
        }
        requested = zip(book_ids) if etags is None else zip(book_ids, etags, strict=True)
        return [documents[key] for key in requested if key in documents]

    def finished_versions(self, document_recipes: Iterable[str]) -> VersionIndex:
        """Return the newest part of each (book id, ETag) with a document of these recipes.

        Vectors are not read.
        """
        return VersionIndex(latest_versions(self._read_index(document_recipes)))

    def summarized_versions(
        self, summary_recipe: str, exclude: Collection[str] = ()
    ) -> VersionIndex:
        """Return the newest part of each (book id, ETag) that has a summary.

        Args:
            summary_recipe: Recipe of the summaries.
            exclude: Document recipes to leave out, usually the recipe of this run.
        """
        recipes = [recipe for recipe in self._find_recipes(summary_recipe) if recipe not in exclude]
        return VersionIndex(latest_versions(exclude_degraded(self._read_index(recipes))))

    def text_index(self, summary_recipes: Iterable[str]) -> TextIndex:
        """Return (part, book id) of the newest document of each text, by `text_sha256`.

        It identifies a book that was renamed, or uploaded again without a change.
        """
        recipes = {name for recipe in summary_recipes for name in self._find_recipes(recipe)}
        table = exclude_degraded(self._read_index(sorted(recipes)))
        return TextIndex(latest_rows(table, ["text_sha256"], ORDER))

    def all_versions(self) -> pa.Table:
        """Return columns `book_id` and `etag` of all finished documents, of any recipe."""
        return self._read_all(["book_id", "etag"])

    def read_newest_books(self, document_recipes: Iterable[str]) -> pa.Table:
        """Return the newest finished version of each book, of any of these recipes.

        Returns:
            Columns `book_id`, `key`, `etag`, `size`, `modified`: the fields of `Book`.
        """
        columns = ["book_id", "key", "etag", "size", "modified"]
        # A run may finish two versions of a book; the later version counts.
        rows = self._read_all([*columns, *ORDER], recipes=document_recipes)
        return latest_rows(rows, ["book_id"], ORDER).select(columns)

    def read_newest_summaries(self) -> pa.Table:
        """Return the newest document of each book, of any recipe.

        Returns:
            Columns `book_id`, `key`, `title`, `author`, `summary`.
        """
        return self.read_newest(["book_id", "key", "title", "author", "summary"])

    def read_books_of_source(self, source: str) -> pa.Table:
        """Return the finished books of a source, of any recipe.

        Args:
            source: Identity of the source.

        Returns:
            Columns `book_id`, `key`, `etag`, `size`, and `first_run`, the number of the first run
            that finished the book; each book once.
        """
        rows = self._read_all(["book_id", "key", "etag", "size", *ORDER], {"source": source})
        newest = latest_rows(rows, ["book_id"], ORDER)
        columns = ["book_id", "key", "etag", "size"]
        if len(newest) == len(rows):  # each book was finished once
            return newest.select([*columns, "run_seq"]).rename_columns([*columns, "first_run"])
        first_runs = rows.group_by("book_id").aggregate([("run_seq", "min")])
        newest = newest.select(columns)
        positions = pc.index_in(newest["book_id"], value_set=first_runs["book_id"])
        return newest.append_column("first_run", first_runs["run_seq_min"].take(positions))

    def read_run(self, document_recipes: Iterable[str], run_seq: int) -> pa.Table:
        """Return the versions that a run finished: columns `book_id`, `etag`, `run_seq`."""
        columns = ["book_id", "etag", "run_seq"]
        return self._read_all(columns, {"run_seq": run_seq}, document_recipes)

    def degraded_books(self, document_recipes: Iterable[str]) -> set[str]:
        """Return the ids of books whose newest document has a fallback's summary."""
        rows = self._read_all(["book_id", "degraded", *ORDER], recipes=document_recipes)
        newest = latest_rows(rows, ["book_id"], ORDER)
        return set(newest.filter(is_degraded(newest))["book_id"].to_pylist())

    def recipe_names(self) -> list[str]:
        """Return the document recipes with finished documents; only names of parts are read."""
        return sorted(self._parts_by_recipe())

    def read_provenance(self, document_recipe: str) -> Provenance:
        """Return what the documents of a recipe say about it; empty without a document."""
        columns = [field.name for field in fields(Provenance)]
        table = self.table(document_recipe)
        for name in table.part_names():
            values = [table.read_first_group(name, column) for column in columns]
            if all(values):
                return Provenance(*(str((rows or [""])[0] or "") for rows in values))
        return Provenance()

    def list_recipes(self) -> list[FinishedRecipe]:
        """Return the document recipes with finished documents, most books first."""
        finished = []
        for recipe in self._parts_by_recipe():
            table = self.table(recipe).read(["book_id", "summarizer", "embedder"])
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
        return self.table(document_recipe).compact(threshold)

    def table(self, recipe: str) -> ParquetTable:
        """Return the parts of a document recipe."""
        folder = f"{FOLDER}/{recipe}"
        # With book_id as the key, a compacted part has a single version of a book, so that part
        # and book id identify a document.
        return ParquetTable(self.state, folder, _SCHEMA, ("book_id",), ORDER, max_rows=_MAX_ROWS)

    def read_where(self, column: str, value: str, columns: Sequence[str]) -> pa.Table:
        """Return columns of all documents of the books with a `book_id` or a `key`."""
        return self._read_all(columns, {column: value})

    def read_newest(self, columns: Sequence[str]) -> pa.Table:
        """Return columns of the newest document of each book, of any recipe."""
        rows = self._read_all(list(dict.fromkeys([*columns, *ORDER])))
        return latest_rows(rows, ["book_id"], ORDER).select(columns)

    def _read_all(
        self,
        columns: Sequence[str],
        where: Mapping[str, Any] | None = None,
        recipes: Iterable[str] | None = None,
    ) -> pa.Table:
        """Return columns of all documents of these recipes; None for any recipe."""
        recipes = self._parts_by_recipe() if recipes is None else recipes
        tables = [self.table(recipe).read(columns, where) for recipe in recipes]
        empty = pa.schema([DOCUMENT_SCHEMA.field(name) for name in columns]).empty_table()
        return pa.concat_tables([empty, *tables])

    def _read_index(self, recipes: Iterable[str]) -> pa.Table:
        """Return the small columns of all documents of these recipes, and the column `part`."""
        schema = pa.schema([DOCUMENT_SCHEMA.field(name) for name in _INDEX_COLUMNS])
        tables = [schema.append(pa.field("part", pa.string())).empty_table()]
        for recipe in recipes:
            table = self.table(recipe).read(_INDEX_COLUMNS, part_column=True)
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
            summary_recipes = self.table(recipe).read_first_group(name, "summary_recipe")
            if summary_recipes:
                return bool(summary_recipes[0] == summary_recipe)
        return False
