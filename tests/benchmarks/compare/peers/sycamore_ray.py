"""Sycamore: `map_batch` and `embed` into a reliable `materialize`, then `write.opensearch`."""

from __future__ import annotations

import os
import sys
import tempfile
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sycamore
from shared import (
    VECTOR_FIELD,
    embed,
    make_chat,
    parse_options,
    split_url,
    take_first_words,
)
from sycamore import ExecMode
from sycamore.data import Document
from sycamore.materialize import MaterializeReadReliability
from sycamore.materialize_config import MRRNameGroup
from sycamore.transforms.embed import Embedder

BATCH = 64
WORKERS = 2
"""Processes of Ray that summarize at the same time, on two cores."""


class WordLlama(Embedder):
    def __init__(self) -> None:
        super().__init__("wordllama", batch_size=BATCH, model_batch_size=BATCH, device="cpu")

    def embed_texts(self, text_batch: list[str]) -> list[list[float]]:
        return embed(text_batch)

    def _get_model_batch_size(self) -> int:
        return BATCH

    def __reduce__(self) -> Any:
        return WordLlama, ()


class Summarizer:
    """Decodes and summarizes a batch of documents in threads."""

    def __init__(self, options: Namespace, threads: int) -> None:
        self._options = options
        self._threads = threads

    def __call__(self, documents: list[Document]) -> list[Document]:
        options = self._options
        self._summarize = take_first_words if options.first_words else make_chat(options.models)
        with ThreadPoolExecutor(self._threads) as pool:
            return [document for document in pool.map(self._try, documents) if document is not None]

    def _try(self, document: Document) -> Document | None:
        try:
            text = document.binary_representation.decode("utf-8")
            document.text_representation = self._summarize(text)
        except Exception as error:
            if not self._options.handle_errors:
                raise
            print(f"{document.properties['path']}: {error}", file=sys.stderr)
            return None
        document.binary_representation = None
        document.properties["title"] = Path(document.properties["path"]).stem
        return document


class Reliability(MaterializeReadReliability):
    """Leaves out the files whose documents are stored, and tries again after an error."""

    def clear_console(self) -> None:
        """Do nothing: the original method needs a notebook."""


def main() -> None:
    options = parse_options(mode=lambda name: ExecMode[name.upper()])
    threads = options.in_flight
    batches: dict[str, Any] = {}
    if options.mode == ExecMode.RAY:
        start_ray()
        threads //= WORKERS
        batches = {"batch_size": BATCH}
    context = sycamore.init(exec_mode=options.mode)
    context.rewrite_rules.append(Reliability(max_batch=1_000_000, max_retries=2))
    finished = str(options.state / "documents")
    books = context.read.binary(str(options.books), binary_format="txt")
    summaries = books.map_batch(Summarizer(options, threads), **batches)
    documents = summaries.embed(WordLlama())
    documents.materialize(path={"root": finished, "name": MRRNameGroup}).execute()

    context.rewrite_rules.clear()
    context.read.materialize(path=finished).write.opensearch(
        os_client_args={
            "hosts": [split_url(options.opensearch)],
            "http_auth": ("any", "any"),  # it is required
            "use_ssl": False,
            "verify_certs": False,
            "ssl_assert_hostname": False,
            "ssl_show_warn": False,
            "timeout": 60,
        },
        index_name=options.index,
        index_settings={
            "body": {
                "settings": {"index.knn": True, "number_of_replicas": 0},
                "mappings": {"properties": {"embedding": VECTOR_FIELD}},
            }
        },
        insert_settings={"chunk_size": 500, "thread_count": 2},
    )


def start_ray() -> None:
    """Start Ray here without a dashboard; its workers find the modules of this folder."""
    import ray

    ray.init(
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": os.path.dirname(__file__)}},  # noqa: PTH120
        _temp_dir=str(Path(tempfile.gettempdir()) / "ray"),
    )


if __name__ == "__main__":
    main()
