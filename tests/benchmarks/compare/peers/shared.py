"""What the programs of all peers share: options, prompt, embedder and mapping of the index."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

DIMENSION = 256
MODEL = "simulated"
MAX_TOKENS = 600
MAX_RETRIES = 5
MAX_CHARS = 32_000
"""Characters of a book that are sent to the model."""
PROMPT = """\
<book_text>
{text}
</book_text>

The text above is a whole book. Summarize it in at most 300 words: what happens, who is in it, \
where and when."""
FIRST_WORDS = 200
HNSW = {"ef_construction": 100, "m": 16}
VECTOR_FIELD = {
    "type": "knn_vector",
    "dimension": DIMENSION,
    "method": {
        "name": "hnsw", "engine": "lucene", "space_type": "cosinesimil", "parameters": HNSW,
    },
}  # fmt: skip


def parse_options(**more: Callable[[str], Any]) -> argparse.Namespace:
    """Return the options that every program has.

    Args:
        more: Names of further options with the type of each.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--books", type=Path, required=True, help="folder of the books")
    parser.add_argument("--state", type=Path, required=True, help="folder to keep state in")
    parser.add_argument("--index", required=True)
    parser.add_argument("--opensearch", required=True, help="URL of the node")
    parser.add_argument("--models", required=True, help="URL of the model server, with /v1")
    parser.add_argument("--in-flight", type=int, required=True, help="model calls at a time")
    parser.add_argument("--first-words", action="store_true", help="summarize without a model")
    parser.add_argument("--handle-errors", action="store_true", help="leave out books that fail")
    for name, kind in more.items():
        parser.add_argument(f"--{name}", type=kind, required=True)
    options = parser.parse_args()
    options.state.mkdir(parents=True, exist_ok=True)
    return options


def list_books(folder: Path) -> list[Path]:
    """Return the files of the books."""
    return sorted(folder.rglob("*.txt"))


def take_first_words(text: str) -> str:
    """Return the summary that needs no model."""
    return " ".join(text.split()[:FIRST_WORDS])


def embed(texts: Iterable[str]) -> list[list[float]]:
    """Return a unit vector for each text."""
    return [vector.tolist() for vector in _load_wordllama().embed(list(texts), norm=True)]


@functools.cache
def _load_wordllama() -> Any:
    from wordllama import WordLlama

    found = importlib.util.find_spec("wordllama")
    assert found is not None
    assert found.origin is not None
    return WordLlama.load(cache_dir=Path(found.origin).parent, disable_download=True)


def make_chat(url: str) -> Callable[[str], str]:
    """Return a function that asks the model for the summary of a text with the `openai` client.

    Args:
        url: URL of the model server.
    """
    from openai import OpenAI

    client = OpenAI(base_url=url, max_retries=MAX_RETRIES)

    def summarize(text: str) -> str:
        message = {"role": "user", "content": PROMPT.format(text=text[:MAX_CHARS])}
        answer = client.chat.completions.create(
            model=MODEL, messages=[message], max_tokens=MAX_TOKENS, temperature=0
        )
        return str(answer.choices[0].message.content)

    return summarize


def make_index_body(vector: str = "vector") -> dict[str, Any]:
    """Return settings and mapping of a new index.

    Args:
        vector: Name of the field with the vector.
    """
    return {
        "settings": {"index": {"knn": True, "number_of_shards": 1, "number_of_replicas": 0}},
        "mappings": {
            "properties": {
                "path": {"type": "keyword"},
                "title": {"type": "text"},
                "summary": {"type": "text", "analyzer": "english"},
                vector: VECTOR_FIELD,
            }
        },
    }


def split_url(url: str) -> dict[str, Any]:
    """Return host and port of a URL, as `opensearch-py` takes them."""
    parts = urlsplit(url)
    return {"host": parts.hostname, "port": parts.port}
