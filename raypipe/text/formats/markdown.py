"""Markdown: the text without its marks, and the fields of a YAML, TOML or Pandoc header."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import yaml

from raypipe.text.decode import decode
from raypipe.text.formats.protocol import BookMetadata, ExtractedText

_FRONT_MATTER = re.compile(r"\ufeff?(---|\+\+\+)[ \t]*\n(.{0,20000}?)\n(?:\1|\.\.\.)[ \t]*\n", re.S)
_FIELD = re.compile(r"^(\w+)[ \t]*:[ \t]*(\S.*)$", re.M)
_TITLE_BLOCK = re.compile(r"\ufeff?% ?(.*)\n(?:% ?(.*)\n)?(?:% ?(.*)\n)?")
_FENCE = re.compile(r"^[ \t]{0,3}(?:```|~~~).*$", re.M)
_HEADING = re.compile(r"^[ \t]{0,3}(#{1,6})[ \t]+(.+?)(?:[ \t]+#+)?[ \t]*(?:\{[^}\n]*\})?$", re.M)
_UNDERLINED = re.compile(r"^(?=.*\w)(.{1,200})\n[ \t]{0,3}(?:={3,}|-{3,})[ \t]*$", re.M)
_QUOTE = re.compile(r"^[ \t]{0,3}>[ \t]?", re.M)
_RULE = re.compile(r"^[ \t]{0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$", re.M)
_NOTE = re.compile(r"^\[\^[^\]\n]+\]:.*(?:\n[ \t]{2,}\S.*)*", re.M)
_NOTE_MARK = re.compile(r"\[\^[^\]\n]{1,80}\]")
_DEFINITION = re.compile(r"^[ \t]{0,3}\[[^\]\n]+\]:[ \t]*\S+.*$", re.M)
_IMAGE = re.compile(r"!\[([^\]\n]{0,300})\](?:\([^()\n]{0,500}\)|\[[^\]\n]{0,100}\])")
_LINK = re.compile(r"\[([^\]\n]{1,300})\](?:\([^()\n]{0,500}\)|\[[^\]\n]{0,100}\])")
_AUTOLINK = re.compile(r"<(https?://[^<>\s]+)>")
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]{0,300}>|<!--.{0,2000}?-->", re.S)
_EMPHASIS = re.compile(r"(?<![\w*\\])(\*{1,3})(?=\S)([^*\n]{1,500}?)(?<=\S)\1(?![\w*])")
_UNDERSCORES = re.compile(r"(?<![\w_\\])(_{1,3})(?=\S)([^_\n]{1,500}?)(?<=\S)\1(?![\w_])")
_CODE = re.compile(r"`([^`\n]{1,300})`")
_HARD_BREAK = re.compile(r"(?:\\|[ ]{2,})\n|<br[ \t]*/?>\n?", re.I)
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+.!>~|-])")


@dataclass(frozen=True)
class MarkdownFormat:
    """Read Markdown files, which are plain text: only their names tell what they are."""

    @property
    def endings(self) -> tuple[str, ...]:
        """Return the endings of Markdown files."""
        return (".md", ".markdown")

    def recognizes(self, data: bytes) -> bool:
        """Return False: stars and number signs are in other texts, too."""
        return False

    def read(self, data: bytes, name: str, max_text_bytes: int) -> ExtractedText:
        """Return the text of a file.

        Raises:
            BookError: `binary` or `undecodable`.
        """
        decoded = decode(data)
        text = decoded.text.replace("\r\n", "\n").replace("\r", "\n")
        metadata, end = _read_header(text)
        text, headings = _remove_marks(text[end:])
        return ExtractedText(
            text, metadata, decoded.encoding, headings, is_wrapped=True, flags=decoded.flags
        )


def _read_header(text: str) -> tuple[BookMetadata, int]:
    """Return what the header states, and where it ends; 0 if there is none."""
    front = _FRONT_MATTER.match(text)
    if front and (fields := _parse(front[2], is_toml=front[1] == "+++")):
        return _metadata(fields), front.end()
    if block := _TITLE_BLOCK.match(text):
        authors = [name.strip() for name in (block[2] or "").split(";")]
        fields = {"title": block[1], "author": authors, "date": block[3]}
        return _metadata(fields), block.end()
    return BookMetadata(), 0


def _parse(header: str, *, is_toml: bool) -> Mapping[str, Any]:
    """Return the fields of a header; those on a line each if it is damaged; none for a text."""
    try:
        fields = tomllib.loads(header) if is_toml else yaml.safe_load(header)
    except (ValueError, RecursionError, yaml.YAMLError):
        fields = dict(_FIELD.findall(header))
    return fields if isinstance(fields, dict) else {}


def _metadata(fields: Mapping[str, Any]) -> BookMetadata:
    def find(*names: str) -> tuple[str, ...]:
        return next((found for name in names if (found := _texts(fields.get(name)))), ())

    return BookMetadata(
        title=next(iter(find("title")), ""),
        authors=find("author", "authors", "creator"),
        language=next(iter(find("lang", "language")), ""),
        date=next(iter(find("date")), ""),
        subjects=find("tags", "keywords", "subjects"),
    )


def _texts(value: object) -> tuple[str, ...]:
    """Return the texts of a field: a value, a list, or mappings with a name or a text."""
    values = value if isinstance(value, list) else [value]
    plain = [
        each.get("name") or each.get("text") if isinstance(each, dict) else each for each in values
    ]
    return tuple(
        text
        for each in plain
        if isinstance(each, str | int | date) and (text := " ".join(str(each).split()))
    )


def _remove_marks(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a text without its marks, and its headings."""
    text = _FENCE.sub("", _NOTE.sub("", text))
    text = _DEFINITION.sub("", _NOTE_MARK.sub("", text))
    text = _UNDERLINED.sub(r"# \1", text)
    text = _QUOTE.sub("", _RULE.sub("", text))
    text = _LINK.sub(r"\1", _IMAGE.sub("", text))
    text = _HARD_BREAK.sub("\n", text)
    text = _TAG.sub("", _AUTOLINK.sub(r"\1", text))
    text = _UNDERSCORES.sub(r"\2", _EMPHASIS.sub(r"\2", text))
    text = _ESCAPED.sub(r"\1", _CODE.sub(r"\1", text))
    headings = tuple(match[2].strip() for match in _HEADING.finditer(text) if len(match[1]) <= 3)
    return _HEADING.sub(r"\n\2\n", text), headings
