"""Share of books that are decoded right, in each language and each encoding it was written in.

    python tests/benchmarks/bench_encodings.py

Each text of `encoding_texts` in each of its encodings, in three layouts: a paragraph, a page of
paragraphs on one line each, and lines of 70 characters. A book is right if it has the text that was
encoded and no flag, flagged if it has a flag or fails, and garbled otherwise. The last line is one
JSON object.
"""

from __future__ import annotations

import sys
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from encoding_texts import ENCODINGS, TEXTS, encode_text  # noqa: E402
from report import Report, say  # noqa: E402

from raypipe.core.errors import BookError  # noqa: E402
from raypipe.text.decode import decode  # noqa: E402

MIN_RIGHT, MAX_FLAGGED, MIN_PAIRS = 0.95, 0.05, 25
UTF_8 = ("utf-8", "utf-8-sig")


def main() -> None:
    """Decode all books, and print the shares."""
    outcomes: Counter[str] = Counter()
    flags_on_utf8 = pairs = 0
    for language, encodings in ENCODINGS.items():
        for encoding in encodings:
            pairs += 1
            for layout in layouts(TEXTS[language]):
                outcome = judge(*encode_text(layout, encoding))
                outcomes[outcome] += 1
                flags_on_utf8 += outcome == "flagged" and encoding in UTF_8
                if outcome != "right":
                    say(f"{language} in {encoding}: {outcome}")
    total = outcomes.total()
    report = Report("encodings")
    report.at_least("right", outcomes["right"] / total, MIN_RIGHT)
    report.at_most("flagged", outcomes["flagged"] / total, MAX_FLAGGED)
    report.at_most("garbled_without_flag", outcomes["garbled"], 0)
    report.at_most("flags_on_clean_utf8", flags_on_utf8, 0)
    report.at_least("languages_and_encodings", pairs, MIN_PAIRS)
    report.note("books", total)
    report.finish()


def layouts(text: str) -> Iterator[str]:
    """Yield the text as a short file, as long lines and as wrapped lines."""
    yield text
    yield f"{text}\n\n" * 9
    yield "\n\n".join([textwrap.fill(text, 70)] * 9)


def judge(text: str, data: bytes) -> str:
    """Return `right`, `flagged` or `garbled` for the bytes of a text."""
    try:
        decoded = decode(data)
    except BookError:
        return "flagged"
    if decoded.flags:
        return "flagged"
    return "right" if unicodedata.normalize("NFC", decoded.text) == text else "garbled"


if __name__ == "__main__":
    main()
