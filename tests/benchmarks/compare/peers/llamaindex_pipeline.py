"""LlamaIndex: `IngestionPipeline` with a document store, saved after each batch of books."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from llama_index.core import SimpleDirectoryReader
from llama_index.core.async_utils import run_jobs
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.schema import (
    BaseNode,
    Document,
    NodeRelationship,
    TextNode,
    TransformComponent,
)
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.vector_stores.opensearch import OpensearchVectorClient, OpensearchVectorStore
from shared import (
    DIMENSION,
    MAX_CHARS,
    MAX_RETRIES,
    MAX_TOKENS,
    MODEL,
    PROMPT,
    VECTOR_FIELD,
    embed,
    parse_options,
    take_first_words,
)

BATCH = 100


class WordLlama(BaseEmbedding):
    def _get_text_embedding(self, text: str) -> list[float]:
        return embed([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return embed(texts)

    def _get_query_embedding(self, query: str) -> list[float]:
        return embed([query])[0]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return embed(texts)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return embed([query])[0]


class Summarizer(TransformComponent):
    """Replaces each node by its summary."""

    model: Any = None
    in_flight: int = 1
    handle_errors: bool = False

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        return [make_node(node, take_first_words(node.get_content())) for node in nodes]

    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        if self.model is None:
            return self(nodes)
        made = await run_jobs([self._try(node) for node in nodes], workers=self.in_flight)
        return [node for node in made if node is not None]

    async def _try(self, node: BaseNode) -> BaseNode | None:
        try:
            answer = await self.model.acomplete(PROMPT.format(text=node.get_content()[:MAX_CHARS]))
        except Exception as error:
            if not self.handle_errors:
                raise
            print(f"{node.metadata['file_name']}: {error}", file=sys.stderr)
            return None
        return make_node(node, answer.text)


def make_node(source: BaseNode, summary: str) -> TextNode:
    metadata = {"path": source.metadata["file_path"], "title": source.metadata["file_name"]}
    return TextNode(
        text=summary,
        metadata=metadata,
        excluded_embed_metadata_keys=list(metadata),
        relationships={NodeRelationship.SOURCE: source.as_related_node_info()},
    )


def main() -> None:
    options = parse_options()
    client = OpensearchVectorClient(
        options.opensearch,
        options.index,
        DIMENSION,
        engine="lucene",
        space_type="cosinesimil",
        method=VECTOR_FIELD["method"],
        max_chunk_bytes=8 * 1024 * 1024,
    )
    summarizer = Summarizer(
        model=None if options.first_words else make_model(options.models),
        in_flight=options.in_flight,
        handle_errors=options.handle_errors,
    )
    pipeline = IngestionPipeline(
        transformations=[summarizer, WordLlama(embed_batch_size=64)],
        vector_store=OpensearchVectorStore(client),
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.UPSERTS,
        # Its key is a whole batch, which the document store leaves out when it is done.
        disable_cache=True,
    )
    print(asyncio.run(ingest(pipeline, options)), "nodes")


async def ingest(pipeline: IngestionPipeline, options: Namespace) -> int:
    """Run the pipeline for a batch at a time; return the number of nodes."""
    kept = options.state / "pipeline"
    if kept.exists():
        pipeline.load(str(kept))
    reader = SimpleDirectoryReader(str(options.books), filename_as_id=True, required_exts=[".txt"])
    nodes = 0
    batch: list[Document] = []

    async def run_batch() -> int:
        made = await pipeline.arun(documents=batch)
        if made:
            pipeline.persist(str(kept))
        return len(made)

    for documents in reader.iter_data():
        batch.extend(documents)
        if len(batch) >= BATCH:
            nodes += await run_batch()
            batch = []
    return nodes + (await run_batch() if batch else 0)


def make_model(url: str) -> Any:
    from llama_index.llms.openai_like import OpenAILike

    return OpenAILike(
        model=MODEL,
        api_base=url,
        api_key="simulated",
        is_chat_model=True,
        context_window=128_000,
        max_tokens=MAX_TOKENS,
        temperature=0.0,
        max_retries=MAX_RETRIES,
    )


if __name__ == "__main__":
    main()
