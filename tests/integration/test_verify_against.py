"""`verify against=...`: another system's results held against the new ones, book by book."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from raypipe.cli.compare_legacy import compare_with_legacy
from raypipe.core.book import Book
from raypipe.core.errors import SetupError
from raypipe.embedders.hash import HashEmbedder
from raypipe.sources.s3 import S3BookSource
from raypipe.state.local import LocalState
from tests.integration.raypipe_command import Project, run_in_process, write_book
from tests.integration.s3_server import CountingS3Server

BOOKS = 6


def against(books: Project, place: object, code: int = 0) -> dict[str, Any]:
    wanted = ("storage", "+storage", "opensearch", "state", "output", "embedder")
    args = [arg for arg in books.run_options() if arg.startswith(wanted)]
    printed = run_in_process("verify", [*args, f"against={place}"], code)
    found: dict[str, Any] = json.loads(printed)["against"]
    return found


def test_old_summaries_and_processed_keys(project: Project, tmp_path: Path) -> None:
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number:02d}")
    project.run()
    old = tmp_path / "old"
    old.mkdir()
    for document in project.documents().values():
        result = {"title": document["title"], "combined_summary": document["summary"][:300]}
        name = Path(document["key"]).stem
        (old / f"{name}_summary.json").write_text(json.dumps(result))
    found = against(project, old)
    assert (found["good"], found["new"], found["exit_code"]) == (BOOKS, 0, 0)

    write_book(project.books, "Book_77")  # listed, summarized by the old system, not by the new
    (old / "Book_77__by__Author_Book_77.json").write_text('{"title": "Book 77"}')
    (old / "broken.json").write_text("{")
    found = against(project, old, code=1)
    assert found["lacking"] == ["Book_77__by__Author_Book_77.txt"]
    assert found["unreadable"][0].startswith("broken.json: not JSON")

    processed = tmp_path / "processed_books.pkl"
    keys = {f"Book_{number:02d}__by__Author_Book_{number:02d}.txt" for number in range(3)}
    processed.write_bytes(pickle.dumps(keys))
    found = against(project, processed, code=4)  # the book that is listed and not processed
    assert (found["good"], found["new"]) == (3, BOOKS - 3)
    with pytest.raises(SetupError, match=r"against=.*nowhere does not exist"):
        against(project, tmp_path / "nowhere")


def test_old_summaries_in_a_bucket(s3: CountingS3Server, tmp_path: Path) -> None:
    s3.create_bucket("old-results")
    for number in range(3):
        body = json.dumps({"title": f"Book {number}", "s3_key": f"{number}.txt"}).encode()
        s3.put_object("old-results", f"summaries/{number}.json", body)
    s3.put_object("old-results", "elsewhere/9.json", b"{}")
    store = S3BookSource("books", endpoint_url=s3.url, anonymous=True)
    listing = [Book(str(number), f"{number}.txt", "e", 1, 0.0) for number in range(2)]
    state = LocalState(str(tmp_path))
    place, embedder = "s3://old-results/summaries/", HashEmbedder()
    found = compare_with_legacy(place, listing, store, state, embedder, 0.1)
    assert (found.lacking, found.unlisted) == (["0.txt", "1.txt"], ["Book 2"])
    with pytest.raises(SetupError, match="has no results"):
        compare_with_legacy("s3://old-results/nothing/", listing, store, state, HashEmbedder(), 0.1)
