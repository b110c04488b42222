"""Every format of the default configuration: its class, its entry in YAML, and what it refuses."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from raypipe.config.paths import conf_dir
from raypipe.core.child_process import ChildProcess
from raypipe.core.errors import BookError
from raypipe.ledger.failure_log import KINDS
from raypipe.text import TextCleaner, isolation
from raypipe.text.child_tasks import make_format
from raypipe.text.formats import Format
from tests.unit.text.formats.books import (
    PARAGRAPH,
    make_docx,
    make_epub,
    make_pdf,
    paragraph,
    run,
)

SETTINGS = yaml.safe_load((conf_dir() / "text" / "default.yaml").read_text(encoding="utf-8"))
FORMATS: Mapping[str, Format] = {
    name: make_format(":".join(part["_target_"].rsplit(".", 1)), {})
    for name, part in SETTINGS["formats"].items()
}
BODY = f"<p>{PARAGRAPH}</p>" * 20
BOOKS = {
    "epub": make_epub(),
    "html": f"<!DOCTYPE html><html><body>{BODY}</body></html>".encode(),
    "docx": make_docx(*([paragraph(run(PARAGRAPH))] * 20)),
    "pdf": make_pdf([[(72, 700 - 14 * row, PARAGRAPH) for row in range(40)]] * 3),
    "markdown": "\n\n".join(["# Heading", *[PARAGRAPH] * 20]).encode(),
}


@pytest.fixture(scope="module")
def cleaner() -> TextCleaner:
    return TextCleaner(formats=FORMATS)


def outcome(cleaner: TextCleaner, data: bytes, name: str) -> str:
    try:
        return "book" if cleaner.clean(data, name).text else "nothing"
    except BookError as error:
        is_known = error.kind in KINDS and not error.retryable
        return error.kind if is_known else f"unexpected: {error.kind}: {error.message}"


def test_each_format_has_a_book_here() -> None:
    assert set(FORMATS) == set(BOOKS)


@pytest.mark.parametrize("name", BOOKS)
def test_a_format_is_made_again_in_the_child(name: str) -> None:
    form = FORMATS[name]
    settings = dataclasses.asdict(form)  # type: ignore[call-overload]
    path = f"{type(form).__module__}:{type(form).__qualname__}"
    assert make_format(path, settings) == form


@pytest.mark.parametrize("name", BOOKS)
def test_content_decides_before_the_name(cleaner: TextCleaner, name: str) -> None:
    recognized = [key for key, form in FORMATS.items() if form.recognizes(BOOKS[name])]
    assert recognized == ([] if name == "markdown" else [name])
    for ending in ("txt", "epub", "HTML", "md", "unknown"):
        book = cleaner.clean(BOOKS[name], f"a.{ending}")
        assert PARAGRAPH in book.text


@pytest.mark.parametrize("name", BOOKS)
def test_a_damaged_file_is_a_book_or_a_failure(cleaner: TextCleaner, name: str) -> None:
    rng = random.Random(name)
    data, found = BOOKS[name], set()
    for _ in range(40):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 5, 50))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        if rng.random() < 0.5:
            del damaged[rng.randrange(len(damaged)) :]
        found.add(outcome(cleaner, bytes(damaged), f"a.{name}"))
    assert not [kind for kind in found if kind.startswith(("unexpected", "nothing"))]
    assert len(found) > 1 or name == "markdown"


OWN_FORMAT = """
from dataclasses import dataclass
from raypipe.text.formats import BookMetadata, ExtractedText

@dataclass(frozen=True)
class ShoutFormat:
    suffix: str = "!"
    endings: tuple[str, ...] = (".shout",)

    def recognizes(self, data):
        return data.startswith(b"SHOUT")

    def read(self, data, name, max_text_bytes):
        text = data.removeprefix(b"SHOUT").decode().upper() + self.suffix
        return ExtractedText(text, BookMetadata(title="Loud"))
"""


def test_a_format_outside_of_raypipe_is_read_in_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shout_format.py").write_text(OWN_FORMAT)
    monkeypatch.syspath_prepend(str(tmp_path))
    child = ChildProcess("raypipe.text.child_tasks")
    monkeypatch.setattr(isolation, "_child", child)
    form = make_format("shout_format:ShoutFormat", {"suffix": "?"})
    book = TextCleaner(formats={"shout": form}).clean(b"SHOUT" + BOOKS["markdown"], "a.txt")
    child.close()
    assert (book.title, book.text[-2:]) == ("Loud", ".?")
    assert PARAGRAPH.upper() in book.text
