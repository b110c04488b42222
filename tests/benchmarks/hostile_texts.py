"""Crafted texts that once cost hours: each kind repeats what a cleaning step looks for.

The texts are not random: the same kind and size always give the same bytes.
"""

from __future__ import annotations

import base64
import codecs
import random
from collections.abc import Callable, Iterator
from functools import partial

PROSE = (
    "The lighthouse keeper counted the ships that came in with the evening tide, and wrote their "
    "names into a book that nobody else was allowed to read. "
)
_MARKER = "*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n\n"


def _repeat(unit: str) -> Callable[[int], bytes]:
    """Return a function that repeats a unit up to a number of bytes."""

    def make(size: int) -> bytes:
        data = unit.encode("utf-8", "surrogatepass")
        return data * max(size // len(data), 1)

    return make


def _between(head: str, unit: str, tail: str = "") -> Callable[[int], bytes]:
    """Return a function that puts a repeated unit between a head and a tail."""

    def make(size: int) -> bytes:
        first, last = head.encode(), tail.encode()
        return first + _repeat(unit)(max(size - len(first) - len(last), 1)) + last

    return make


def _numbered(form: str) -> Callable[[int], bytes]:
    """Return a function that fills in a number, its Roman form and a word made of it."""

    def make(size: int) -> bytes:
        parts: list[str] = []
        length = number = 0
        while length < size:
            number += 1
            part = form.format(n=number, roman=_roman(number % 89 + 1), word=_word(number))
            parts.append(part)
            length += len(part.encode())
        return "".join(parts).encode()

    return make


def _word(number: int) -> str:
    letters = "abcdefghijklmnopqrst"
    word = ""
    while number:
        number, digit = divmod(number, len(letters))
        word += letters[digit]
    return word


def _roman(number: int) -> str:
    values = ((50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))
    text = ""
    for value, letters in values:
        count, number = divmod(number, value)
        text += letters * count
    return text


def _mojibake(size: int) -> bytes:
    """Return text that was decoded wrongly three times."""
    text = "Das schöne Café – “über” die Straße, déjà vu … "
    for _ in range(3):
        text = text.encode().decode("cp1252", "replace").replace("\ufffd", "Ã")
    return _repeat(text)(size)


def _marks(size: int) -> bytes:
    """Return one letter with combining marks in descending order of their class."""
    return ("a" + "\u0301\u0327\u0328\u0316" * (size // 8)).encode()


def _mixed(pieces: tuple[str, ...], seed: int) -> Callable[[int], bytes]:
    """Return a function that joins pieces in a random order."""

    def make(size: int) -> bytes:
        chance = random.Random(seed)
        parts: list[str] = []
        length = 0
        while length < size:
            parts.append(chance.choice(pieces))
            length += len(parts[-1].encode())
        return "".join(parts).encode()

    return make


def _base64(size: int) -> bytes:
    return base64.b64encode(random.Random(1).randbytes(size * 3 // 4))


def _random_words(size: int) -> bytes:
    """Return distinct words in sentences: the largest vocabulary."""
    chance = random.Random(2)
    words = (_word(chance.randrange(20**4, 20**7)) for _ in range(size // 8))
    return " ".join(word + "." * (chance.random() < 0.1) for word in words).encode()


KINDS: dict[str, Callable[[int], bytes]] = {
    # headings, contents and notes
    "contents": _repeat("CONTENTS\n\n"),
    "contents, lines": _repeat("CONTENTS\n"),
    "contents of entries": _numbered("CONTENTS\n\n{word}\n{word} the second\n\n\n\n\n"),
    "contents, headings again": _numbered("CONTENTS\n\n{word}\n\n"),
    "contents with pages": _numbered("CONTENTS\n\nThe {word} . . . . {n}\n\n"),
    "contents, one table": _between("CONTENTS\n\n", "I. The Storm ..... 7\n"),
    "contents, titles only": _between(
        "CONTENTS\n\nOne\nTwo\nThree\n\n\n\n\n", "One\n\nTwo\n\nThree\n\n"
    ),
    "illustrations": _repeat("LIST OF ILLUSTRATIONS\n\nA ship facing 3\nA storm 4\n\n"),
    "spaces before contents": _repeat(" \t_*=" * 400 + "contents x\n"),
    "transcriber's notes": _repeat("Transcriber's Notes\n\n"),
    "transcriber's notes, begun": _repeat("Transcriber's Note: spelling\n\n"),
    "transcriber's notes, worded": _repeat("Transcriber's Note\n\nThe spelling was retained.\n\n"),
    "transcriber's notes, far": _repeat("Transcriber's Note\n\nA boat.\n\n\n\n\nA spelling.\n\n"),
    "transcriber's notes, rules": _repeat("Transcriber's Note\n\n* * * * *\n\nspelling\n\n"),
    "transcriber's notes, open": _repeat("[Transcriber's Note: a spelling "),
    "transcriber's notes, nested": _repeat("[tn: [x] [y] "),
    "transcribed line": _between("Transcriber\n", "notes of the the "),
    "errata": _repeat("ERRATA\n\n"),
    "errata with corrections": _repeat("ERRATA\n\nPage 3, line 4, for her read his\n\n"),
    "errata, for": _between("ERRATA\n\n", "for "),
    "for without read": _between("Transcriber's Note\n\n", "for "),
    "illustration tags": _repeat("[Illustration: a ship]\n\n"),
    "illustration tags, open": _repeat("[Illustration: "),
    "illustration tags, nested": _repeat("[Illustration: [a"),
    "start markers": _repeat("*** START OF THIS PROJECT GUTENBERG EBOOK"),
    "start marker without an end": _between("*** START OF THE PROJECT GUTENBERG", " a"),
    "end lines": _repeat("End of the Project Gutenberg EBook\n"),
    "stars": _between(_MARKER, "*"),
    "stars and spaces": _between(_MARKER, "* "),
    "credits": _between(_MARKER, "Produced by the Distributed Proofreaders\n\n"),
    "credit of spaces": _between(_MARKER + "Produced by", "\n \t "),
    "chapters": _numbered("CHAPTER {roman}\n\n"),
    "chapters in a row": _numbered("CHAPTER {n}\n\n" + PROSE + "\n\n"),
    "chapters of one number": _repeat("CHAPTER I\n\n" + PROSE + "\n\n"),
    "named headings": _repeat("PREFACE\n\nINTRODUCTION\n\n"),
    "roman numerals": _numbered("{roman}\n\n"),
    "roman letters": _repeat("mdclxvi"),
    "page numbers": _numbered("\n\n{n}\n\n" + PROSE),
    "running heads": _numbered(PROSE + "\n{n} THE LIGHTHOUSE\n"),
    "titles": _numbered("THE {roman} OF THE {word}\n\n"),
    "uppercase lines": _repeat("THE LIGHTHOUSE KEEPER COUNTED THE SHIPS\n\n"),
    "header fields": _repeat("Title: A\n  B\n"),
    "header titles": _between("Title: A", "\n  b"),
    "gutenberg lines": _repeat("The Project Gutenberg eBook of "),
    # punctuation
    "opening quotes": _repeat("“"),
    "opening quotes and words": _repeat("“so "),
    "straight quotes": _repeat('"'),
    "quotes and dots": _repeat('."'),
    "closing quotes after dots": _repeat("." + "”" * 500),
    "apostrophes": _repeat("'"),
    "apostrophes in words": _repeat("a'b’"),
    "dots": _repeat("."),
    "dots and spaces": _repeat(". "),
    "ellipses": _repeat("… "),
    "question marks": _repeat("?!"),
    "commas": _repeat(", "),
    "dashes": _repeat("--"),
    "em dashes": _repeat("—"),
    "hyphens at line ends": _repeat("light-\nhouse "),
    "hyphens": _repeat("a-"),
    "underscores": _repeat("_"),
    "emphasis": _repeat("_a_ "),
    "emphasis, open": _repeat(" _a"),
    "bold, open": _repeat(" =a"),
    "equals signs": _repeat("="),
    "nested brackets": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "opening brackets": _repeat("["),
    "nested parentheses": lambda size: b"(" * (size // 2) + b")" * (size // 2),
    "footnotes": _numbered("A word[{n}] more.\n\n[Footnote {n}: a note on it.]\n\n"),
    "abbreviations": _repeat("Mr. J. R. Smith, Esq. e.g. i.e. Dr. "),
    "initials": _repeat("A. B. C. "),
    "numbers with dots": _numbered("{n}.{n}.{n} "),
    # lines and white space
    "newlines": _between("word", "\n", "word"),
    "newlines and spaces": _between("word", "\n ", "word"),
    "spaces": _between("word", " ", "word"),
    "spaces at line ends": _repeat("word" + " " * 2_000 + "\n"),
    "tabs": _between("word", "\t", "word"),
    "tabs and words": _repeat("a\t"),
    "carriage returns": _repeat("a\r\r\n"),
    "mixed line ends": _mixed(("a word\r\n", "b word\n", "c word\r", "d\x85", "\u2028", "\f"), 3),
    "form feeds": _repeat("a\f"),
    "one line": _repeat(PROSE),
    "one word": _repeat("a"),
    "one word per line": _repeat("a\n"),
    "one letter per paragraph": _repeat("a\n\n"),
    "verse": _repeat("The sea is calm tonight,\nThe tide is full\n"),
    "dialogue": _repeat("“Yes,” he said.\n\n“No!” said she.\n\n"),
    "refrain": _repeat("Never more.\n\n"),
    "long paragraph lines": _repeat(PROSE.strip() + "\n"),
    "plays": _repeat("HAMLET. To be.\n\nHORATIO. My lord!\n\n"),
    # characters
    "combining marks": _marks,
    "combining marks, sorted": _repeat("\u0301"),
    "combining marks in words": _repeat("e\u0327\u0301" * 5 + " "),
    "zero-width characters": _repeat("a\u200b\u200d\ufeff"),
    "soft hyphens": _repeat("a\u00ad\n"),
    "right-to-left marks": _repeat("\u202ea\u200f\u202c "),
    "surrogates": _repeat("a\ud800 "),
    "NULs": _between(PROSE * 200, "a" * 150 + "\x00"),
    "controls": _repeat("a" * 120 + "\x01"),
    "replacement characters": _repeat("a" * 5_000 + "\ufffd"),
    "emoji": _repeat("👩‍👩‍👧‍👦🏳️‍🌈"),
    "Chinese": _repeat("天地玄黃宇宙洪荒"),
    "Chinese sentences": _repeat("天地玄黃。宇宙洪荒！"),
    "Japanese": _repeat("吾輩は猫である。名前はまだ無い。\n"),
    "Thai": _repeat("กาลครั้งหนึ่ง"),
    "Hangul letters": _repeat("\u1112\u1161\u11ab"),
    "Arabic": _repeat("كان يا ما كان، في قديم الزمان. "),
    "Hindi": _repeat("एक समय की बात है। "),
    "Russian": lambda size: "Жили-были старик со старухой. ".encode("cp1251") * (size // 30),
    "Polish": lambda size: "Dawno temu żył sobie król łódź. ".encode("cp1250") * (size // 32),
    "German abbreviations": _repeat("Es war einmal ein König, z. B. der Hr. Dr. Müller. "),
    "French": _repeat("Il était une fois « un roi » ; M. de Sainte-Beuve l’aimait. "),
    "Latin-1 letters": lambda size: bytes(range(0xC0, 0x100)) * (size // 64),
    "high bytes": lambda size: random.Random(4).randbytes(size).translate(
        bytes([*range(128, 256), *range(128, 256)])
    ),
    "UTF-16": lambda size: (PROSE * (size // len(PROSE) // 2)).encode("utf-16"),
    "mojibake": _mojibake,
    "mojibake, pairs": _repeat("Ã©"),
    "mojibake, one line": _repeat("Itâ€™s a cafÃ© "),
    "mojibake, A": _repeat("Ã Â Ã‚ "),
    "mojibake, quotes": _repeat("ðŸ˜€ â€œ"),
    "bytes of no encoding": lambda size: b"\x81\x8d\x90 and \x9d so on. " * (size // 18),
    "UTF-8 and Latin-1": lambda size: b"the caf\xc3\xa9 is\na caf\xe9\n" * (size // 20),
    "zeros between words": lambda size: b"the sea\x00\x00\x00" * (size // 10),
    # pages
    "page numbers inside sentences": _numbered("and the boat went on with the\n\n{n}\n\ntide\n"),
    "heads and form feeds": _numbered("the boat went on\n\n\f{n}  THE {word} FLOOD\n\nand on\n"),
    "lines of a scanner": _repeat("Digitized by Google\n\n"),
    "double spacing": _repeat("and the boat went on with the tide\n\n"),
    "indented lines": _repeat("    The boat went on with the tide and with\nthe wind\n"),
    # frames
    "markers in pairs": _between(
        _MARKER, f"word\n*** END OF THIS PROJECT GUTENBERG EBOOK X ***\n{_MARKER}"
    ),
    "words of a header": _repeat("Project Gutenberg Etext\n\n"),
    "notes of Aozora": _repeat("※［＃「［＃《｜"),
    "colophons": _repeat("About this digital edition Wikisource\n\nColophon\n\n"),
    # data of other kinds
    "URLs": _numbered("https://example.org/{n}/{word}?q={word}&r=%20 "),
    "addresses": _repeat("a.b@c.d"),
    "base64": _base64,
    "tables": _numbered("| {n} | {word} | {roman} |\n|---|---|---|\n"),
    "columns": _numbered("{word}    {n}    {roman}\n"),
    "HTML": _repeat("<div><p class='a'>word</p>&nbsp;</div>\n"),
    "HTML, open": _repeat("<div>"),
    "XML comments": _repeat("<!-- <![CDATA["),
    "JSON": _numbered('{{"{word}": [{n}, "{roman}"]}},'),
    "source code": _numbered("def {word}(self, x={n}): return [x for x in self.{word}]\n"),
    "digits": _repeat("1234567890"),
    "digits and dots": _repeat("1. "),
    "many words": _random_words,
    "dictionary": _numbered("{word}, n. a thing; see {word}.\n\n"),
    "mixture": _mixed(
        ("CONTENTS\n\n", "[Transcriber's Note: ", "]", "ERRATA\n\n", "“", "\n\n\n\n", "_", "=",
         "CHAPTER I\n\n", "\u0301", "for ", " 7\n", PROSE, "spelling\n\n", "- \n", "."),
        5,
    ),
}  # fmt: skip
"""Each kind's function from a number of bytes to about that many."""

_ANY_LANGUAGE = (
    "opening quotes", "opening quotes and words", "quotes and dots", "closing quotes after dots",
    "apostrophes in words", "dots", "dots and spaces", "ellipses", "question marks", "dashes",
    "abbreviations", "initials", "digits and dots", "one line", "one word", "verse", "many words",
    "nested brackets", "addresses", "base64", "emoji",
)  # fmt: skip


def hostile_texts(size: int) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield the name of each kind and a function that makes its text of about `size` bytes.

    A text begins with enough English words to be taken for a book. Some kinds come a second time
    as a German book, because another library splits its sentences.
    """
    for name, make in KINDS.items():
        yield name, partial(_as_book, make, size, "English")
    for name in _ANY_LANGUAGE:
        yield f"{name}, German", partial(_as_book, KINDS[name], size, "German")


def _as_book(make: Callable[[int], bytes], size: int, language: str) -> bytes:
    head = f"Title: A Hostile Book\nLanguage: {language}\n\n{PROSE * 4}\n\n"
    data = make(size - len(head))
    if data.startswith(codecs.BOM_UTF16) or data[:1] == b"*":
        return data  # these have to begin the file
    return head.encode() + data
