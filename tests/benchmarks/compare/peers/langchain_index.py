"""LangChain: `chain.batch` with a cache of answers, then `index()` with a record manager."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from langchain_classic.indexes import SQLRecordManager
from langchain_community.vectorstores import OpenSearchVectorSearch
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.indexing import index
from shared import (
    DIMENSION,
    HNSW,
    MAX_CHARS,
    MAX_RETRIES,
    MAX_TOKENS,
    MODEL,
    PROMPT,
    embed,
    list_books,
    parse_options,
    take_first_words,
)

BATCH = 100
LUCENE = {"engine": "lucene", "space_type": "cosinesimil"}

Summarize = Callable[[Sequence[str]], Sequence[str | Exception]]


class WordLlama(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return embed(texts)

    def embed_query(self, text: str) -> list[float]:
        return embed([text])[0]


def main() -> None:
    options = parse_options()
    store = OpenSearchVectorSearch(
        options.opensearch, options.index, WordLlama(), bulk_size=2 * BATCH, timeout=60, **LUCENE
    )
    if not store.client.indices.exists(index=options.index):
        store.create_index(dimension=DIMENSION, index_name=options.index, **HNSW, **LUCENE)
    records = SQLRecordManager(
        f"opensearch/{options.index}", db_url=f"sqlite:///{options.state / 'records.sqlite'}"
    )
    records.create_schema()
    if options.first_words:
        summarize: Summarize = lambda texts: [take_first_words(text) for text in texts]  # noqa: E731
    else:
        summarize = make_summarizer(
            options.models, options.state, options.in_flight, options.handle_errors
        )
    documents = read_documents(list_books(options.books), summarize, options.handle_errors)
    result = index(
        documents,
        records,
        store,
        cleanup="incremental",
        source_id_key="source",
        batch_size=BATCH,
        key_encoder="sha256",
    )
    print(result)


def make_summarizer(url: str, state: Path, in_flight: int, handle_errors: bool) -> Summarize:
    """Return a chain that keeps each answer in SQLite."""
    from langchain_community.cache import SQLiteCache
    from langchain_core.globals import set_llm_cache
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_openai import ChatOpenAI

    set_llm_cache(SQLiteCache(str(state / "answers.sqlite")))
    model = ChatOpenAI(
        model=MODEL, base_url=url, temperature=0, max_tokens=MAX_TOKENS, max_retries=MAX_RETRIES
    )
    chain = ChatPromptTemplate.from_messages([("human", PROMPT)]) | model | StrOutputParser()

    def summarize(texts: Sequence[str]) -> Sequence[str | Exception]:
        return chain.batch(
            [{"text": text[:MAX_CHARS]} for text in texts],
            config={"max_concurrency": in_flight},
            return_exceptions=handle_errors,
        )

    return summarize


def read_documents(
    books: Sequence[Path], summarize: Summarize, handle_errors: bool
) -> Iterator[Document]:
    """Yield a document for each book; a batch of books is summarized at a time."""
    for start in range(0, len(books), BATCH):
        texts: dict[Path, str] = {}
        for path in books[start : start + BATCH]:
            try:
                texts[path] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                if not handle_errors:
                    raise
                print(f"{path.name}: {error}", file=sys.stderr)
        for path, summary in zip(texts, summarize(list(texts.values())), strict=True):
            if isinstance(summary, Exception):
                print(f"{path.name}: {summary}", file=sys.stderr)
            else:
                metadata = {"source": str(path), "title": path.stem}
                yield Document(page_content=summary, metadata=metadata)


if __name__ == "__main__":
    main()
