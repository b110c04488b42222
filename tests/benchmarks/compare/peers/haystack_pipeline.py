"""Haystack: a pipeline from `CacheChecker` to `DocumentWriter`, for a batch of books at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from haystack import Document, Pipeline, component
from haystack.components.caching import CacheChecker
from haystack.components.converters import TextFileToDocument
from haystack.components.writers import DocumentWriter
from haystack.document_stores.types import DuplicatePolicy
from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore
from shared import (
    DIMENSION,
    MAX_CHARS,
    MAX_RETRIES,
    MAX_TOKENS,
    MODEL,
    PROMPT,
    VECTOR_FIELD,
    embed,
    list_books,
    parse_options,
    take_first_words,
)

BATCH = 100


@component
class Summarizer:
    """Summarizes documents in threads."""

    def __init__(self, summarize: Callable[[str], str], threads: int, handle_errors: bool) -> None:
        self._summarize = summarize
        self._threads = threads
        self._handle_errors = handle_errors

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        with ThreadPoolExecutor(self._threads) as pool:
            summaries = pool.map(self._try, documents)
            return {"documents": [summary for summary in summaries if summary is not None]}

    def _try(self, document: Document) -> Document | None:
        try:
            summary = self._summarize(document.content or "")
        except Exception as error:
            if not self._handle_errors:
                raise
            print(f"{document.meta['file_path']}: {error}", file=sys.stderr)
            return None
        return Document(content=summary, meta=document.meta)


@component
class WordLlamaEmbedder:
    """Embeds documents."""

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        if documents:
            vectors = embed(document.content or "" for document in documents)
            for document, vector in zip(documents, vectors, strict=True):
                document.embedding = vector
        return {"documents": documents}


def main() -> None:
    options = parse_options()
    store = OpenSearchDocumentStore(
        hosts=options.opensearch,
        index=options.index,
        embedding_dim=DIMENSION,
        method=VECTOR_FIELD["method"],
        settings={"index.knn": True, "number_of_replicas": 0},
        max_chunk_bytes=8 * 1024 * 1024,
        use_ssl=False,
        verify_certs=False,
        timeout=60,
    )
    if options.first_words:
        summarize, threads = take_first_words, 1
    else:
        summarize, threads = make_generator(options.models), options.in_flight
    # The misses of the cache are a list without a type of its elements.
    pipeline = Pipeline(connection_type_validation=False)
    pipeline.add_component("cache", CacheChecker(store, cache_field="file_path"))
    pipeline.add_component("read", TextFileToDocument(store_full_path=True))
    pipeline.add_component("summarize", Summarizer(summarize, threads, options.handle_errors))
    pipeline.add_component("embed", WordLlamaEmbedder())
    pipeline.add_component("write", DocumentWriter(store, policy=DuplicatePolicy.OVERWRITE))
    pipeline.connect("cache.misses", "read.sources")
    pipeline.connect("read", "summarize")
    pipeline.connect("summarize", "embed")
    pipeline.connect("embed", "write")
    books = [str(path) for path in list_books(options.books)]
    written = 0
    for start in range(0, len(books), BATCH):
        result = pipeline.run({"cache": {"items": books[start : start + BATCH]}})
        written += result.get("write", {}).get("documents_written", 0)
    print(f"{written} documents written")


def make_generator(url: str) -> Callable[[str], str]:
    """Return a function that asks Haystack's generator for the summary of a text."""
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.dataclasses import ChatMessage

    generator = OpenAIChatGenerator(
        model=MODEL,
        api_base_url=url,
        max_retries=MAX_RETRIES,
        generation_kwargs={"temperature": 0, "max_tokens": MAX_TOKENS},
    )

    def summarize(text: str) -> str:
        message = ChatMessage.from_user(PROMPT.format(text=text[:MAX_CHARS]))
        return generator.run(messages=[message])["replies"][0].text

    return summarize


if __name__ == "__main__":
    main()
