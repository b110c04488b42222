"""Remove legend, ruby, annotations and colophon of Aozora Bunko, the Japanese digital library."""

# ruff: noqa: RUF001 - Japanese punctuation is intended
from __future__ import annotations

import re

_LEGEND = re.compile(r"^[-－─]{20,}\n(?:[^\n]*\n){0,80}?[-－─]{20,}\n", re.M)
_LEGEND_WORDS = re.compile(r"記号について|ルビ|入力者注")
_COLOPHON = re.compile(r"^[ \t　]*(?:底本(?:の親本)?[：:]|青空文庫作成ファイル)", re.M)
_RUBY = re.compile(r"《[^《》\n]{1,80}》")
_RUBY_START = re.compile(r"｜(?=[^｜《》\n]{1,40}《)")
_NOTE = re.compile(r"(※?)［＃((?:[^［］\n]|［[^［］\n]{0,100}］){0,300})］")
_CELL = re.compile(r"(?<![\d-])([12])-(\d{1,2})-(\d{1,2})(?![\d-])")
_CODE_POINT = re.compile(r"U\+([0-9A-F]{4,5})")
_MIN_NOTES = 3
_MIN_KEPT = 0.5
"""A colophon in the first half of the text belongs to a work inside it."""
_REPEATS = (("／″＼", "〴〵"), ("／＼", "〳〵"))
_UNKNOWN_CHARACTER = "〓"
_TITLE_LINES = 4


def is_aozora(text: str) -> bool:
    """Return whether a text has the marks of Aozora Bunko."""
    if "《" not in text and "［＃" not in text and "青空文庫" not in text:
        return False
    legend = _LEGEND.search(text[:20_000])
    return (
        (legend is not None and _LEGEND_WORDS.search(legend[0]) is not None)
        or text.count("［＃") >= _MIN_NOTES
        or "青空文庫" in text[-4_000:]
    )


def strip_aozora(text: str) -> tuple[str, str]:
    """Return the fields that the first lines give, and the work without the library's marks.

    A character that the encoding lacked is described in a note: it is read from its place in
    JIS X 0213 or its Unicode number, and is 〓 if the note has neither.

    Args:
        text: The whole text with LF line ends.

    Returns:
        Lines with `Title:`, `Author:` and `Language:`, and the work.
    """
    legend = _LEGEND.search(text[:20_000])
    front = text[: legend.start()] if legend else text.split("\n\n", 1)[0]
    body = text[: legend.start()] + text[legend.end() :] if legend else text
    for colophon in _COLOPHON.finditer(body):
        if colophon.start() > _MIN_KEPT * len(body):
            body = body[: colophon.start()]
            break
    return _remove_marks(_fields(front)), _remove_marks(body)


def _fields(front: str) -> str:
    lines = [line.strip(" \t　") for line in front.strip().split("\n\n")[0].split("\n")]
    lines = [line for line in lines if line]
    if not 2 <= len(lines) <= _TITLE_LINES:
        return "Language: ja"
    authors = [line for line in lines[1:] if not line.endswith("訳")] or lines[-1:]
    return f"Title: {lines[0]}\nAuthor: {authors[-1]}\nLanguage: ja"


def _remove_marks(text: str) -> str:
    text = _NOTE.sub(_read_note, text)
    text = _RUBY.sub("", _RUBY_START.sub("", text))
    for mark, repeat in _REPEATS:
        text = text.replace(mark, repeat)
    return text


def _read_note(match: re.Match[str]) -> str:
    """Return the character that a note describes; empty for a note about layout."""
    if not match[1]:
        return ""
    if code := _CODE_POINT.search(match[2]):
        return chr(int(code[1], 16))
    if cell := _CELL.search(match[2]):
        plane, row, column = map(int, cell.groups())
        data = b"\x8f" * (plane - 1) + bytes([0xA0 + row, 0xA0 + column])
        return data.decode("euc_jis_2004", "replace").replace("\ufffd", _UNKNOWN_CHARACTER)
    return _UNKNOWN_CHARACTER
