"""Show what happened to a book: its document, ledger rows, failures and index entry."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from omegaconf import DictConfig

from raypipe.cli.open_state import open_recorded_state
from raypipe.cli.running_index import find_running_index
from raypipe.config.build import read_options
from raypipe.core.errors import OptionError, SetupError
from raypipe.core.exit_codes import FAILED_BOOKS, OK
from raypipe.core.printable import join_lines, to_json
from raypipe.core.units import format_usd
from raypipe.ledger.book_history import BookHistory, find_books
from raypipe.ledger.facade import Ledger
from raypipe.ledger.failure_log import explain
from raypipe.opensearch.index import IndexAlias
from raypipe.opensearch.index.entry import IndexEntry, read_entry
from raypipe.sources.folder import key_of_name


def main(cfg: DictConfig) -> int:
    """Print the history of a book; return 3 if the book failed. Errors as `carry_out`."""
    options, found = read_options(cfg), carry_out(cfg)
    if options.output == "json":
        books = [
            {"status": book.status, **dataclasses.asdict(book), "index": dataclasses.asdict(entry)}
            for book, entry in found
        ]
        print(to_json({"books": books}))
    else:
        print(join_lines(line for book, entry in found for line in _format_book(book, entry)))
    return FAILED_BOOKS if any(book.status == "failed" for book, _ in found) else OK


def carry_out(cfg: DictConfig) -> list[tuple[BookHistory, IndexEntry]]:
    """Return the books that are meant, mostly one, and what the index has of them.

    No service is started, and an index that cannot be reached is no error.

    Raises:
        OptionError: No book is named, or a setting is wrong.
        SetupError: There is no state, or it has no such book.
    """
    options = read_options(cfg)
    if not options.book:
        raise OptionError("name a book by its key: `raypipe show KEY`")
    state, _ = open_recorded_state(cfg, options)
    books = find_books(Ledger(state), _read_name(options.book))
    return [(book, _read_entry(cfg, book.book_id)) for book in books]


def _read_name(word: str) -> str:
    """Return the name of a book as it was typed; a file name that is not UTF-8 becomes its key."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return key_of_name(word)
    return word


def _read_entry(cfg: DictConfig, book_id: str) -> IndexEntry:
    try:
        index = find_running_index(cfg)
        return read_entry(None if index is None else IndexAlias(index), book_id)
    except SetupError as error:
        return IndexEntry(problem=str(error))


def _format_book(book: BookHistory, entry: IndexEntry) -> list[str]:
    lines = [f"book      {book.key or book.book_id}: {book.status}", f"id        {book.book_id}"]
    for number, document in enumerate(reversed(book.documents)):
        lines += _format_document(document, is_newest=number == 0)
    for row in book.processed:
        did = f"indexed in {row['index']}" if row["recipe"] else f"deleted from {row['index']}"
        lines.append(f"run {row['run_seq']:<5} {did}, {_moment(row['processed_at'])}")
    for row in book.failures:
        lines.append(
            f"run {row['run_seq']:<5} failed, attempt {row['attempts']}, "
            f"{_moment(row['failed_at'])}: {row['stage']}, {row['kind']}: {row['message']}"
        )
    if book.status == "failed":
        lines.append(f"way out   {explain(book.failures[-1]['kind'])}")
    for row in book.deletions:
        did = "deleted from the source" if row["removed"] else "at the source again"
        lines.append(f"run {row['run_seq']:<5} {did}, {_moment(row['removed_at'])}")
    return [*lines, f"in index  {_format_entry(entry)}"]


def _format_document(document: dict[str, Any], *, is_newest: bool) -> list[str]:
    made = (
        f"run {document['run_seq']:<5} finished, {_moment(document['finished_at'])}: recipe "
        f"{document['document_recipe']} ({document['summarizer']}, {document['embedder']})"
    )
    if not is_newest:
        return [made]
    lines = [
        made,
        f"title     {document['title']} / {document['author'] or 'no author'}",
        f"text      {document['words']:,} words, {document['language']}, {document['encoding']}, "
        f"{document['size']:,} bytes{', '.join(['', *(document['flags'] or ())])}",
        f"summary   {document['summary']}",
    ]
    if document["model_calls"]:
        lines.append(
            f"cost      {document['model_calls']:,} calls, {document['input_tokens']:,} tokens in, "
            f"{document['output_tokens']:,} out, {format_usd(document['usd'])}"
        )
    if document["degraded"]:
        lines.append(f"fallback  {document['degraded']}; `raypipe retry` calls the model again")
    return lines


def _format_entry(entry: IndexEntry) -> str:
    if entry.problem:
        return f"not checked: {entry.problem}"
    if entry.document is None:
        return f"no: {entry.index} lacks it; `raypipe run` or `raypipe index` indexes it"
    return f"yes: {entry.index}, written by run {entry.document.get('run_seq', '?')}"


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
