"""A run makes its index after everything else was checked, and deletes an unused index again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import Index, IndexAlias, IndexConfig, IndexRef, IndexSpec
from raypipe.run.target import IndexTarget
from raypipe.summarizers.lead import LeadSummarizer
from tests.unit.run.local_jobs import local_job, run_job, write_books


@dataclass(frozen=True)
class RecordingTarget(IndexTarget):
    """Records when the index is opened; there is no server."""

    events: list[str] = field(default_factory=list)

    def open_existing(self, spec: IndexSpec) -> Index | None:
        self.events.append("look")
        return None

    def open(self, spec: IndexSpec) -> Index | None:
        self.events.append("make")
        return None


class Refusing(LeadSummarizer):
    def check(self) -> None:
        raise SetupError("no such model")


@pytest.mark.parametrize(("books", "summarizer"), [(0, LeadSummarizer()), (2, Refusing())])
def test_a_run_that_cannot_start_makes_no_index(
    tmp_path: Path, books: int, summarizer: LeadSummarizer
) -> None:
    write_books(tmp_path / "books", books)
    target = RecordingTarget(None)
    job = replace(local_job(tmp_path, summarizer), target=target)
    with pytest.raises(SetupError, match=r"no books found|no such model"):
        run_job(job)
    assert target.events == ["look"]


def test_a_run_makes_its_index(tmp_path: Path) -> None:
    write_books(tmp_path / "books", 2)
    target = RecordingTarget(None)
    assert run_job(replace(local_job(tmp_path), target=target)).finished == 2
    assert target.events == ["look", "make"]


class FakeIndex(Index):
    """An index with a number of documents."""

    documents = 0

    def refresh(self) -> None:
        """Do nothing."""

    def count(self, query: Any = None) -> int:
        return self.documents


@pytest.fixture
def deleted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(IndexAlias, "delete", lambda _, physical: names.append(physical))
    return names


@pytest.mark.parametrize(
    ("created", "documents", "error", "expected"),
    [
        (True, 0, SetupError("no"), ["b-1"]),
        (True, 0, KeyboardInterrupt(), ["b-1"]),
        (True, 1, SetupError("no"), []),
        (False, 0, SetupError("no"), []),
        (True, 0, None, []),
    ],
)
def test_only_an_empty_index_of_a_failed_run_is_deleted(
    deleted: list[str],
    created: bool,
    documents: int,
    error: BaseException | None,
    expected: list[str],
) -> None:
    config = IndexConfig(Connection("http://127.0.0.1:1"), "b")
    index = FakeIndex(config, IndexRef("b", "b-1", "g", "http://127.0.0.1:1", created=created))
    FakeIndex.documents = documents
    with (
        suppress(SetupError, KeyboardInterrupt),
        IndexTarget(config).discard_if_unused(index),
    ):
        if error is not None:
            raise error
    assert deleted == expected
