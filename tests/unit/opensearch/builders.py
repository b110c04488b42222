"""Build documents, indices and bulk writers for tests."""

from __future__ import annotations

from typing import Any

from raypipe.core.book import Document
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.opensearch.bulk.limiter import Limiter
from raypipe.opensearch.bulk.results import Result
from raypipe.opensearch.bulk.writer import BulkWriter
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import Index, IndexConfig, IndexRef, IndexSpec
from tests.unit.opensearch.stub import PHYSICAL

DIMENSION = 4


def document(book_id: str, **fields: Any) -> Document:
    values: dict[str, Any] = {
        "book_id": book_id,
        "key": f"shelf/{book_id}.txt",
        "etag": "etag-1",
        "source": "s3://books",
        "size": 1000,
        "modified": 1_700_000_000.25,
        "title": f"Title {book_id}",
        "author": "An Author",
        "language": "en",
        "words": 180,
        "encoding": "utf-8",
        "flags": ("gutenberg",),
        "text_sha256": "0" * 64,
        "text_recipe": "text-1",
        "summary_recipe": "summary-1",
        "document_recipe": "document-1",
        "summarizer": "extractive",
        "embedder": "hash",
        "summary": "Two keepers quarrel over a lamp.",
        "keywords": ("lighthouse", "quarrel"),
        "model_calls": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "run_seq": 1,
        "finished_at": 1_700_000_001.5,
        "node_id": "node-1",
        "summary_vector": (0.5, 0.5, 0.5, 0.5),
    }
    return Document(**{**values, **fields})


def documents(number: int) -> list[Document]:
    return [document(f"b{i:04d}") for i in range(number)]


def config_at(url: str, **settings: Any) -> IndexConfig:
    keys = ("timeout_s", "compress", "username", "password_env")
    connection = {name: settings.pop(name) for name in keys if name in settings}
    return IndexConfig(Connection(url, **connection), index="books", **settings)


def ref_at(url: str, **fields: Any) -> IndexRef:
    values = {"alias": "books", "physical": PHYSICAL, "generation": "g1", "endpoint": url}
    return IndexRef(**{**values, "content": IndexSpec(DIMENSION), **fields})


def index_at(url: str, **settings: Any) -> Index:
    return Index(config_at(url, **settings), ref_at(url))


class Clock:
    """Time that passes only by sleeping, and by `tick` seconds at each reading."""

    def __init__(self, tick: float = 0.0) -> None:
        self.now = 1000.0
        self.tick = tick
        self.slept: list[float] = []

    def __call__(self) -> float:
        self.now += self.tick
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def writer_at(
    url: str,
    *,
    clock: Clock | None = None,
    run_seq: int = 7,
    limiter: Limiter | None = None,
    stop_check: StopCheck = never_stopped,
    **settings: Any,
) -> BulkWriter[Document]:
    clock = clock or Clock()
    index = index_at(url, **settings)
    return BulkWriter(
        index.bulk_target(),
        index.write_strategy(run_seq),
        limiter=limiter,
        stop_check=stop_check,
        sleep=clock.sleep,
        jitter=lambda attempt: float(attempt),
        clock=clock,
    )


def results_by_id(batches: list[list[Result]]) -> dict[str, Result]:
    return {result.doc_id: result for batch in batches for result in batch}
