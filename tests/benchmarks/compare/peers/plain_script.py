"""A plain script: threads, the `openai` client, `parallel_bulk`, and JSON lines to resume from."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.helpers import parallel_bulk
from shared import (
    embed,
    list_books,
    make_chat,
    make_index_body,
    parse_options,
    split_url,
    take_first_words,
)

EMBEDDED_TOGETHER = 64
BULK_THREADS = 2
READERS = 4


class JsonLines:
    """A file with a JSON line for each entry; the line that a kill cut is left out."""

    def __init__(self, path: Path) -> None:
        self.entries: dict[str, Any] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    self.entries.update([json.loads(line)])
                except ValueError:
                    continue
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def add(self, key: str, value: Any) -> None:
        with self._lock:
            self._file.write(json.dumps([key, value]) + "\n")
            self._file.flush()


def main() -> None:
    options = parse_options()
    client = OpenSearch([split_url(options.opensearch)], timeout=60, pool_maxsize=8)
    if not client.indices.exists(index=options.index):
        client.indices.create(index=options.index, body=make_index_body())
    done = JsonLines(options.state / "done.jsonl")
    answers = JsonLines(options.state / "answers.jsonl")
    books = [path for path in list_books(options.books) if str(path) not in done.entries]
    failed: list[Path] = []

    if options.first_words or not books:
        summarize, threads = take_first_words, READERS
    else:
        summarize, threads = make_chat(options.models), options.in_flight

    def process(path: Path) -> str:
        if str(path) in answers.entries:
            return str(answers.entries[str(path)])
        summary = summarize(path.read_text(encoding="utf-8"))
        if not options.first_words:
            answers.add(str(path), summary)
        return summary

    results = parallel_bulk(
        client,
        make_actions(options.index, summarize_all(books, process, threads, failed)),
        thread_count=BULK_THREADS,
        chunk_size=500 if options.first_words else 100,
        raise_on_error=False,
    )
    paths = {make_id(path): str(path) for path in books}
    indexed = 0
    for is_indexed, item in results:
        if is_indexed:
            done.add(paths[item["index"]["_id"]], True)
            indexed += 1
        else:
            print(f"not indexed: {item}", file=sys.stderr)
    print(f"{len(done.entries)} done before, {indexed} indexed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


def summarize_all(
    books: list[Path], process: Callable[[Path], str], threads: int, failed: list[Path]
) -> Iterator[tuple[Path, str]]:
    """Yield each book with its summary as soon as it is there; add books that fail to `failed`."""
    waiting = iter(books)
    with ThreadPoolExecutor(threads) as pool:
        running: dict[Future[str], Path] = {}
        while True:
            for path in islice(waiting, threads * 4 - len(running)):
                running[pool.submit(process, path)] = path
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                path = running.pop(future)
                try:
                    yield path, future.result()
                except Exception as error:
                    failed.append(path)
                    print(f"{path.name}: {error}", file=sys.stderr)


def make_actions(index: str, books: Iterator[tuple[Path, str]]) -> Iterator[dict[str, Any]]:
    """Yield an action of a bulk request for each book; vectors are made for many at a time."""
    while batch := list(islice(books, EMBEDDED_TOGETHER)):
        vectors = embed(summary for _, summary in batch)
        for (path, summary), vector in zip(batch, vectors, strict=True):
            yield {
                "_index": index, "_id": make_id(path), "path": str(path), "title": path.stem,
                "summary": summary, "vector": vector,
            }  # fmt: skip


def make_id(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()


if __name__ == "__main__":
    main()
