"""UTF-8 that somebody once read as Windows-1252 and saved again: â€™ for an apostrophe."""

# ruff: noqa: RUF001 - broken characters are the subject
from __future__ import annotations

import re
from importlib.metadata import version
from itertools import islice

_CP1252_EXTRAS = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_SECOND = f"[\x80-\xbf{_CP1252_EXTRAS}\ufffd]"
_BROKEN = re.compile(f"[Â-ß]{_SECOND}|[à-ï]{_SECOND}{{2}}|ð{_SECOND}{{3}}")
_SEEN_OFTEN_ENOUGH = 3
"""One may be meant: a capital É before a quotation mark looks the same."""


def repair_mojibake(text: str) -> tuple[str, bool]:
    """Return the text with its mojibake repaired, and whether there was any.

    Nothing is asked of ftfy but the lines with suspicious characters of a text that has some;
    so its opinions cannot touch a book that is in order.

    Args:
        text: Characters as decoded, before anything is dropped: the controls between U+0080
            and U+009F are part of what is broken.
    """
    if text.isascii() or sum(1 for _ in islice(_BROKEN.finditer(text), 3)) < _SEEN_OFTEN_ENOUGH:
        return text, False
    from ftfy import fix_encoding

    lines = [fix_encoding(line) if _BROKEN.search(line) else line for line in text.split("\n")]
    repaired = "\n".join(lines)
    return repaired, repaired != text


def repairer() -> str:
    """Return what repairs, with its version: another one may give another text."""
    return f"ftfy {version('ftfy')}"
