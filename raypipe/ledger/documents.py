"""Finished documents, vectors included: what was worked out once is never worked out again.

Tombstones of removed books have a folder of their own (`raypipe.ledger.tombstones`), so that the
columns of a document need not mention them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.book import DOCUMENT_SCHEMA, Document, document_from, documents_table
from raypipe.state.parquet_table import ParquetTable, latest_rows
from raypipe.state.store import State
from raypipe.state.table_schema import TableSchema
from raypipe.state.version_index import TextIndex, VersionIndex

FOLDER = "documents"
_ORDER = ("run_seq", "finished_at")
# Workers take few documents of a large part: they read the row groups that hold them.
_FORM = TableSchema(DOCUMENT_SCHEMA, kind=FOLDER, version=2, row_group=1_000)
_MAX_ROWS = 50_000
_COLUMNS = ("book_id", "etag", "text_sha256", "degraded", "run_seq", "finished_at")


@dataclass(frozen=True)
class Kept:
    """How many books are finished by a document recipe, and what made it."""

    recipe: str
    summarizer: str
    embedder: str
    books: int


@dataclass(frozen=True)
class DocumentStore:
    """Documents by their document recipe, a folder each.

    A part is named `<document recipe>/part-….parquet`, here and in `Book.part`.

    Args:
        state: Where.
    """

    state: State

    def append(self, documents: Iterable[Document], run_seq: int, task: int | str, seq: int) -> str:
        """Add documents of one recipe.

        Args:
            documents: Finished documents, all of one document recipe.
            run_seq: The run's number.
            task: The write task in that run.
            seq: Counts the parts of a task.

        Returns:
            The part's name, or an empty string if there were no documents.

        Raises:
            ValueError: The documents have more than one recipe, or none.
            SetupError: The state cannot be written.
        """
        # A run that only embeds anew, or re-uses a summary, finishes the document all the same.
        table = documents_table(replace(one, run_seq=run_seq) for one in documents)
        if not len(table):
            return ""
        recipes = table["document_recipe"].unique().to_pylist()
        if len(recipes) != 1 or not recipes[0]:
            raise ValueError(f"documents of one recipe, please, not of {recipes}")
        name = self._parts(recipes[0]).write(table, run_seq, task, seq)
        return f"{recipes[0]}/{name}"

    def finished(self, document_recipe: str) -> VersionIndex:
        """Return the part of each (book id, ETag) that is finished, read without the vectors."""
        return VersionIndex(_last_versions(self._heads([document_recipe])))

    def summarized(self, summary_recipe: str, besides: Collection[str] = ()) -> VersionIndex:
        """Return the part of each (book id, ETag) that has a summary, the newest one.

        Args:
            summary_recipe: The recipe of the summaries.
            besides: Document recipes to leave out, usually the one of this run.
        """
        recipes = [one for one in self._recipes(summary_recipe) if one not in besides]
        return VersionIndex(_last_versions(_undegraded(self._heads(recipes))))

    def newest(self, document_recipe: str) -> pa.Table:
        """Return the newest finished version of each book: the columns that make a `Book`."""
        columns = ["book_id", "key", "etag", "size", "modified"]
        # Two versions of a book may be finished in one run: the later one counts.
        rows = self._parts(document_recipe).read([*columns, *_ORDER])
        return latest_rows(rows, ["book_id"], _ORDER).select(columns)

    def newest_of_all(self) -> pa.Table:
        """Return key, title, author and summary of each book's newest document of any recipe."""
        return self._newest(["book_id", "key", "title", "author", "summary"])

    def places(self, source: str) -> pa.Table:
        """Return `book_id`, `key` and `etag` of each finished book of a source, whatever recipe."""
        return self._newest(["book_id", "key", "etag"], {"source": source})

    def has(self, document_recipe: str) -> bool:
        """Whether any document of a recipe is finished, told by the names of the parts alone."""
        return bool(self._parts(document_recipe).names())

    def kept(self) -> list[Kept]:
        """Return what is finished of each document recipe, most books first."""
        kept = []
        for recipe in self._by_recipe():
            table = self._parts(recipe).read(["book_id", "summarizer", "embedder"])
            if len(table):
                last = table.slice(len(table) - 1).to_pylist()[0]
                books = pc.count_distinct(table["book_id"]).as_py()
                kept.append(Kept(recipe, last["summarizer"], last["embedder"], books))
        return sorted(kept, key=lambda one: -one.books)

    def by_text(self, summary_recipe: str) -> TextIndex:
        """Return the part and the book id that hold the document of each text, the newest one.

        This is how a renamed, touched or re-uploaded book is recognized.

        Returns:
            A mapping of `text_sha256` to (part, book id).
        """
        table = _undegraded(self._heads(self._recipes(summary_recipe)))
        return TextIndex(latest_rows(table, ["text_sha256"], _ORDER))

    def newest_recipe(self) -> str:
        """Return the recipe of the documents that were finished last; empty = there are none."""
        last = {recipe: max(names) for recipe, names in self._by_recipe().items() if names}
        return max(last, key=lambda recipe: last[recipe], default="")

    def drop(self, document_recipe: str) -> None:
        """Delete all documents of a recipe."""
        folder = f"{FOLDER}/{document_recipe}/"
        self.state.delete(self.state.list(folder))

    def read(
        self, part: str, book_ids: Sequence[str], etags: Sequence[str] | None = None
    ) -> list[Document]:
        """Return the documents of some books, in the order asked for.

        A part that was compacted since it was named is looked for in its folder.

        Args:
            part: `<document recipe>/part-….parquet`.
            book_ids: The books.
            etags: The version of each book; None = the newest in the part.

        Returns:
            At most one document a book; those that are not there are missing.
        """
        recipe, _, name = part.partition("/")
        parts = self._parts(recipe)
        table = parts.pick(name, "book_id", book_ids)
        if table is None:
            table = _moved(parts, book_ids)
        keys = ["book_id"] if etags is None else ["book_id", "etag"]
        found = {
            tuple(cell[key] for key in keys): document_from(cell)
            for cell in latest_rows(table, keys, _ORDER).to_pylist()
        }
        asked = zip(book_ids) if etags is None else zip(book_ids, etags, strict=True)
        return [found[one] for one in asked if one in found]

    def of_run(self, document_recipe: str, run_seq: int) -> pa.Table:
        """Return the versions that a run finished: columns `book_id`, `etag` and `run_seq`."""
        parts = self._parts(document_recipe)
        return parts.read(["book_id", "etag", "run_seq"], {"run_seq": run_seq})

    def versions(self) -> set[tuple[str, str]]:
        """Return (book id, ETag) of all that has a finished document of any recipe."""
        tables = [self._parts(one).read(["book_id", "etag"]) for one in self._by_recipe()]
        return {version for table in tables for version in _versions(table)}

    def degraded(self, document_recipe: str) -> set[str]:
        """Return the books whose newest document has a fallback's summary, not the model's."""
        rows = self._parts(document_recipe).read(["book_id", "degraded", *_ORDER])
        newest = latest_rows(rows, ["book_id"], _ORDER)
        return set(newest.filter(_is_degraded(newest))["book_id"].to_pylist())

    def compact(self, document_recipe: str, threshold: int = 500) -> int:
        """Merge parts of a recipe if there are too many; see `ParquetTable.compact`."""
        return self._parts(document_recipe).compact(threshold)

    def _newest(self, columns: Sequence[str], where: Mapping[str, Any] | None = None) -> pa.Table:
        """Return columns of each book's newest document of any recipe."""
        wanted = [*columns, *_ORDER]
        tables = [self._parts(one).read(wanted, where) for one in self._by_recipe()]
        if not tables:
            return pa.schema([DOCUMENT_SCHEMA.field(name) for name in columns]).empty_table()
        return latest_rows(pa.concat_tables(tables), ["book_id"], _ORDER).select(columns)

    def _parts(self, recipe: str) -> ParquetTable:
        folder = f"{FOLDER}/{recipe}"
        # One version of a book in a part, so that a part and a book id name one document.
        return ParquetTable(self.state, folder, _FORM, ("book_id",), _ORDER, max_rows=_MAX_ROWS)

    def _heads(self, recipes: Iterable[str]) -> pa.Table:
        """Return the small columns of all documents of some recipes, and their `part`."""
        schema = pa.schema([DOCUMENT_SCHEMA.field(name) for name in _COLUMNS])
        tables = [schema.append(pa.field("part", pa.string())).empty_table()]
        for recipe in recipes:
            table = self._parts(recipe).read(_COLUMNS, part_column=True)
            parts = pc.binary_join_element_wise(recipe, table["part"], "/")
            tables.append(table.set_column(len(_COLUMNS), "part", parts))
        return pa.concat_tables(tables)

    def _by_recipe(self) -> dict[str, list[str]]:
        """Return the names of the parts of each document recipe."""
        names: dict[str, list[str]] = {}
        for name in self.state.list(f"{FOLDER}/"):
            recipe, _, part = name.removeprefix(f"{FOLDER}/").partition("/")
            names.setdefault(recipe, []).append(part)
        return names

    def _recipes(self, summary_recipe: str) -> list[str]:
        """Return the document recipes that contain a summary recipe."""
        samples = self._by_recipe()
        return [one for one in samples if self._contains(one, samples[one], summary_recipe)]

    def _contains(self, recipe: str, names: Sequence[str], summary_recipe: str) -> bool:
        # Recipes are nested fingerprints: one document speaks for all of its recipe.
        for name in names:
            recipes = self._parts(recipe).head(name, "summary_recipe")
            if recipes:
                return bool(recipes[0] == summary_recipe)
        return False


def _is_degraded(table: pa.Table) -> Any:
    return pc.fill_null(pc.not_equal(table["degraded"], ""), False)


def _undegraded(heads: pa.Table) -> pa.Table:
    """Leave out what a fallback made: a model may do better the next time."""
    return heads.filter(pc.invert(_is_degraded(heads)))


def _versions(table: pa.Table) -> Iterator[tuple[str, str]]:
    return zip(table["book_id"].to_pylist(), table["etag"].to_pylist(), strict=True)


def _last_versions(heads: pa.Table) -> pa.Table:
    return latest_rows(heads, ["book_id", "etag"], _ORDER)


def _moved(parts: ParquetTable, book_ids: Sequence[str]) -> pa.Table:
    """Return documents whose part was compacted: the newest compacted parts come first."""
    found = [parts.form.schema.empty_table()]
    missing = set(book_ids)
    for name in reversed(parts.compacted()):
        table = parts.pick(name, "book_id", sorted(missing)) if missing else None
        if table is not None:
            found.append(table)
            missing -= set(table["book_id"].to_pylist())
    return pa.concat_tables(found)
