"""A model server of one's own, books cut to measure, and whole runs against them."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from processes import environment
from synthetic_books import _english, _invented

from raypipe.core.book import DOCUMENT_SCHEMA
from raypipe.state.local import LocalState
from raypipe.state.table_schema import TableSchema
from raypipe.summarizers.llm.probe import probe_book

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "simulated",
    "AWS_SECRET_ACCESS_KEY": "simulated",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "OPENAI_API_KEY": "simulated",
}


@dataclass(frozen=True)
class Server:
    """A model server that runs."""

    url: str

    def stats(self) -> dict[str, Any]:
        """Return what it saw."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def control(self, **wanted: Mapping[str, Any]) -> None:
        """Change its options."""
        self._post("/control", json.dumps(wanted).encode())

    def reset(self) -> None:
        """Let it forget every call."""
        self._post("/reset", b"")

    def environment(self, **more: str) -> dict[str, str]:
        """Return an environment in which boto3 and openai find it."""
        return environment(
            **CREDENTIALS,
            AWS_ENDPOINT_URL_BEDROCK_RUNTIME=self.url,
            OPENAI_BASE_URL=f"{self.url}/v1",
            **more,
        )

    def _post(self, path: str, body: bytes) -> None:
        asked = urllib.request.Request(f"{self.url}{path}", data=body, method="POST")
        with urllib.request.urlopen(asked, timeout=60):
            pass


@contextmanager
def server(*options: str) -> Iterator[Server]:
    """Start a model server with options of `raypipe simulate`; it ends with the block."""
    command = [sys.executable, "-m", "raypipe", "simulate", "port=0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(process.stdout.readline().split()[2])
        finally:
            process.terminate()


def log_of(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a server's call log."""
    return [json.loads(line) for line in path.read_text().splitlines()]


_SENTENCE_WORDS = 14


def book(number: int, chunks: int, chunk_bytes: int, seed: int = 1) -> str:
    """Return a book of so many chapters, each its own text and as long as a chunk.

    Args:
        number: Which; no two have a sentence in common.
        chunks: Chapters.
        chunk_bytes: Bytes of each, about.
        seed: Same seed, same book.
    """
    words, rates = _english()
    random = np.random.default_rng([seed, number])
    own = _invented(random, 200)
    most = chunk_bytes // (2 * _SENTENCE_WORDS) + 1  # a word has two characters at least
    parts = []
    for chapter in range(1, chunks + 1):
        picked = random.choice(words, size=(most, _SENTENCE_WORDS), p=rates)  # one by one is slow
        lines, size = [], 0
        for chosen in picked.tolist():
            if size >= chunk_bytes - 60:
                break
            chosen[3] = own[int(random.integers(len(own)))].capitalize()
            lines.append(f"{' '.join(chosen).capitalize()} {number} {chapter}.")
            size += len(lines[-1]) + 1
        parts.append(f"CHAPTER {chapter}\n\n{' '.join(lines)}")
    return "\n\n".join(parts)


def write_books(folder: Path, books: Mapping[str, tuple[int, int, int]], seed: int = 1) -> None:
    """Write books: their names without `.txt`, each with number, chunks and bytes of a chunk."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (number, chunks, chunk_bytes) in books.items():
        (folder / f"{name}.txt").write_text(book(number, chunks, chunk_bytes, seed))


def options(books: Path, state: Path, *more: str) -> list[str]:
    """Return the options of a run over a folder, against Bedrock, with no index."""
    return [
        "storage=local", f"storage.path={books}", f"state.uri={state}", "summarizer=bedrock",
        "embedder=hash", "opensearch=none", "scale=medium", "ray.dashboard=false",
        "output=json", *more,
    ]  # fmt: skip


def run(here: Path, at: Server, *args: str, command: str = "run") -> dict[str, Any]:
    """Run a command; returns the JSON that it prints.

    Raises:
        RuntimeError: It failed.
    """
    process = start(here, at, *args, command=command)
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"exit {process.returncode}: {out[-2000:]}")
    record: dict[str, Any] = json.loads(out)
    return record


def start(here: Path, at: Server, *args: str, command: str = "run") -> subprocess.Popen[str]:
    """Start a command in a session of its own, which can be killed as a whole."""
    here.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "raypipe", command, *args],
        cwd=here, env=at.environment(), stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


CHECK_TEXT = probe_book(100).text
"""The text of the check before the first book."""


def of_books(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the calls that are about books: chat, the check of a run left out."""
    return [
        call
        for call in calls
        if call["operation"] in ("converse", "chat") and not CHECK_TEXT.startswith(call["text"])
    ]


def answered_twice(log: Path) -> set[str]:
    """Return the prompts that were answered again after an answer that could be kept."""
    sound: set[str] = set()
    twice: set[str] = set()
    for call in sorted(of_books(log_of(log)), key=lambda one: one["sent_at"]):
        if call["status"] == 200 and call["fault"] in ("", "hang"):
            (twice if call["prompt"] in sound else sound).add(call["prompt"])
    return twice


def documents(state: Path) -> dict[str, dict[str, Any]]:
    """Return each finished document by its key, without what tells when and where it was made."""
    apart = ("run_seq", "finished_at", "node_id", "model_calls", "input_tokens", "output_tokens")
    kept, form = LocalState(str(state)), TableSchema(DOCUMENT_SCHEMA, kind="documents", version=3)
    found: dict[str, dict[str, Any]] = {}
    for name in kept.list("documents/"):
        file = kept.open(name)
        assert file is not None
        with file:
            for row in form.read(file).to_pylist():
                found[row["key"]] = {key: one for key, one in row.items() if key not in apart}
    return found
