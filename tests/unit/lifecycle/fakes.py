"""An index and an alias in memory, which record the order of what is done to them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

from raypipe.core.errors import SetupError
from raypipe.core.options import IndexOptions
from raypipe.ledger.checkpoint import Processed
from raypipe.ledger.facade import Ledger
from raypipe.lifecycle.promote import Promoter
from raypipe.opensearch.index import Index, IndexAlias, IndexRef, IndexSpec
from raypipe.opensearch.index.alias import UnusedIndices, select_unused
from raypipe.opensearch.index.reads import IndexedBook

RUN = 9


class FakeIndex:
    """A physical index; its generation is `g-` and its name.

    Args:
        name: Name of the index.
        etags: Versions of its books, by book id.
        recipe: Document recipe of its content.
        log: Receives a line for each change.
        last_served: When it was served last, see `IndexRef`.
        closed: Whether it is closed.
    """

    def __init__(
        self,
        name: str,
        etags: dict[str, str] | None = None,
        recipe: str = "document-1",
        log: list[str] | None = None,
        last_served: int = 0,
        closed: bool = False,
    ) -> None:
        content = IndexSpec(4, recipe=recipe)
        self.ref = IndexRef(
            "books",
            name,
            f"g-{name}",
            "http://nowhere",
            content=content,
            last_served=last_served,
            closed=closed,
        )
        self.etags = dict(etags or {})
        self.refuses_deletes = False
        self.log = [] if log is None else log

    @property
    def index(self) -> Index:
        return cast(Index, self)

    def restore_settings(self) -> None:
        """Do nothing: no load changed them."""

    def refresh(self) -> None:
        """Do nothing: every write is visible."""

    def visibility_polls(self) -> Iterator[bool]:
        yield True

    def scan(self) -> Iterator[IndexedBook]:
        for book_id, etag in self.etags.items():
            yield IndexedBook(book_id, etag, self.ref.content.recipe, 1)

    def mget(self, book_ids: Collection[str], fields: Collection[str]) -> dict[str, Any]:
        return dict.fromkeys(book_ids)

    def delete_books(self, book_ids: Sequence[str], run_seq: int) -> None:
        if self.refuses_deletes:
            raise SetupError("the index refuses deletes")
        self.log.append(f"delete {', '.join(book_ids)} from {self.ref.physical}")
        for book_id in book_ids:
            self.etags.pop(book_id, None)


class FakeAlias:
    """An alias and its physical indices, oldest first.

    Args:
        indices: The indices.
        served: The index that the alias points at.
        build: The index that is being built.
        log: Receives a line for each change.
    """

    def __init__(
        self,
        indices: Sequence[FakeIndex],
        served: FakeIndex | None = None,
        build: FakeIndex | None = None,
        log: list[str] | None = None,
    ) -> None:
        self.config = SimpleNamespace(index="books")
        self.indices = {index.ref.physical: index for index in indices}
        self.served, self.build = served, build
        self.log = [] if log is None else log

    def check_options(self, options: IndexOptions) -> None:
        """Accept all options."""

    def find(self) -> FakeIndex | None:
        return self.served

    def find_build(self) -> FakeIndex | None:
        return self.build

    def bind(self, ref: IndexRef) -> FakeIndex:
        return self.indices[ref.physical]

    def list_indices(self, state: str) -> list[IndexRef]:
        refs = [index.ref for index in reversed(self.indices.values())]
        return sorted(refs, key=lambda ref: -ref.last_served)

    def list_unused(self, state: str, keep: int) -> UnusedIndices:
        indices = (self.served, self.build)
        used = [index.ref.physical for index in indices if index is not None]
        return select_unused(self.list_indices(state), used, keep)

    def switch_to(self, physical: str) -> str:
        self.log.append(f"switch to {physical}")
        previous, self.served = self.served, self.indices[physical]
        return previous.ref.physical if previous else ""

    def prune(self, state: str, keep: int) -> list[str]:
        return []


def promoter_of(alias: FakeAlias, ledger: Ledger, *, keep: int = 1) -> Promoter:
    return Promoter(cast(IndexAlias, alias), ledger, IndexOptions(keep=keep), RUN)


def record_processed(ledger: Ledger, index: FakeIndex, run_seq: int = 1) -> None:
    """Record in the ledger that the index has acknowledged its books."""
    physical, generation = index.ref.physical, index.ref.generation
    recipe = index.ref.content.recipe
    rows = [
        Processed(book_id, etag, recipe, physical, generation, run_seq, 1.0)
        for book_id, etag in index.etags.items()
    ]
    ledger.checkpoint.append(rows, run_seq, 0, 0)
