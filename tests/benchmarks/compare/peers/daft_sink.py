"""Daft: an anti-join with the index, UDFs for summary and vector, and a `DataSink`."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import daft
from daft import DataType, Series, col
from daft.io.sink import DataSink, WriteResult
from daft.recordbatch import MicroPartition
from daft.schema import Schema
from opensearchpy import OpenSearch
from opensearchpy.helpers import parallel_bulk, scan
from shared import (
    MAX_CHARS,
    MAX_RETRIES,
    MAX_TOKENS,
    MODEL,
    PROMPT,
    embed,
    make_index_body,
    parse_options,
    split_url,
    take_first_words,
)

BATCH = 64
"""Books that pass through the pipeline together: no more are lost by a kill."""


class OpenSearchSink(DataSink[int]):
    """Writes the columns path, summary and vector to an index."""

    def __init__(self, url: str, index: str) -> None:
        self._url = url
        self._index = index

    def name(self) -> str:
        return "OpenSearch"

    def schema(self) -> Schema:
        return Schema._from_field_name_and_types([("written", DataType.int64())])

    def write(self, micropartitions: Iterator[MicroPartition]) -> Iterator[WriteResult[int]]:
        client = connect(self._url)
        for part in micropartitions:
            actions = (self._make_action(row) for row in part.to_pylist())
            written = sum(1 for _ in parallel_bulk(client, actions, thread_count=2))
            yield WriteResult(result=written, bytes_written=0, rows_written=written)

    def finalize(self, write_results: list[WriteResult[int]]) -> MicroPartition:
        return MicroPartition.from_pydict({"written": [sum(each.result for each in write_results)]})

    def _make_action(self, row: dict[str, Any]) -> dict[str, Any]:
        return {
            "_index": self._index,
            "_id": hashlib.sha256(row["path"].encode()).hexdigest(),
            "title": Path(row["path"]).stem,
            **row,
        }


def main() -> None:
    options = parse_options()
    client = connect(options.opensearch)
    if not client.indices.exists(index=options.index):
        client.indices.create(index=options.index, body=make_index_body())
    hits = scan(client, index=options.index, query={"_source": ["path"]}, size=5_000)
    done = [hit["_source"]["path"] for hit in hits]

    books = daft.from_glob_path(f"{options.books}/*.txt").select("path")
    if done:
        books = books.join(daft.from_pydict({"path": done}), on="path", how="anti")
    books = books.into_batches(BATCH)
    summarizer = Summarizer(options.models, options.in_flight, options.handle_errors)
    summarize = summarizer.take_words if options.first_words else summarizer.ask_model
    books = books.with_column("summary", summarize(col("path")))
    books = books.where(col("summary").not_null())
    books = books.with_column("vector", make_vectors(col("summary")))
    print(books.write_sink(OpenSearchSink(options.opensearch, options.index)).to_pydict())


def connect(url: str) -> OpenSearch:
    return OpenSearch([split_url(url)], timeout=60, pool_maxsize=8)


@daft.func.batch(return_dtype=DataType.list(DataType.float32()), batch_size=BATCH)
def make_vectors(summaries: Series) -> list[list[float]]:
    return embed(summaries.to_pylist())


@daft.cls
class Summarizer:
    """Makes the summary of a file; null for a book that fails.

    `on_error` of Daft would make all summaries of a batch null, and `max_concurrency` counts
    batches, so that both are done here.
    """

    def __init__(self, models: str, in_flight: int, handle_errors: bool) -> None:
        self._client: Any = None
        self._models = models
        self._slots = asyncio.Semaphore(in_flight)
        self._handle_errors = handle_errors

    @daft.method
    def take_words(self, url: str) -> str | None:
        try:
            return take_first_words(read_text(url))
        except UnicodeDecodeError as error:
            return self._fail(url, error)

    @daft.method
    async def ask_model(self, url: str) -> str | None:
        async with self._slots:
            try:
                return await self._ask(read_text(url))
            except Exception as error:
                return self._fail(url, error)

    async def _ask(self, text: str) -> str:
        if self._client is None:
            from openai import AsyncOpenAI

            self._client = AsyncOpenAI(base_url=self._models, max_retries=MAX_RETRIES)
        answer = await self._client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": PROMPT.format(text=text[:MAX_CHARS])}],
            max_tokens=MAX_TOKENS,
            temperature=0,
        )
        return str(answer.choices[0].message.content)

    def _fail(self, url: str, error: Exception) -> None:
        if not self._handle_errors:
            raise error
        print(f"{url}: {error}", file=sys.stderr)


def read_text(url: str) -> str:
    return Path(url.removeprefix("file://")).read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
