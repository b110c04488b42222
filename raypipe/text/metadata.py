"""Title, author and declared language of a book, from the best place that has them."""

# ruff: noqa: RUF001 - the quotes and stops of other scripts are meant
from __future__ import annotations

import re
import string
from dataclasses import dataclass
from pathlib import PurePosixPath

_FIELD = re.compile(
    r"^[ \t]*(Title|Author|Language):[ \t]*(\S[^\n]*(?:\n[ \t]{2,}[^\n:]*\S[^\n:]*$)*)", re.M | re.I
)
# "The Project Gutenberg EBook of Dracula, by Bram Stoker", "Project Gutenberg's Emma, by …"
_GUTENBERG_LINE = re.compile(
    r"^[ \t*]*(?:The )?Project Gutenberg(?:['’]s)?(?: e-?(?:book|text))?(?: of|,)?[ \t]+"
    r"((?:[^\n]|\n(?=[^\n])){2,200}?),?\s(?:by|von|par|por)\s"
    r"((?:[^\n*]|\n(?=[^\n#*])){2,100})\**$",
    re.M | re.I,
)
_DATES = re.compile(
    r",? *[(\[]?(?:ca?\. ?|b\. ?)?\d{3,4}\??(?: ?BCE?)? ?[-–] ?(?:\d{3,4}\??)?[)\]]?\s*$"
)
_ALIAS = re.compile(r"\s*[(\[](?:aka|pseud|pen name|psued)[^)\]]*[)\]]", re.I)
_DEGREES = re.compile(r",\s*(?!Jr|Sr|Jun|Sen)(?:(?:[A-Z]{1,3}[a-z]?\.\s*){1,5}|Esq\.?|[A-Z]{2,4})$")
_LAST_STOP = re.compile(r"(?<=\w\w\w)[.,;]+$")  # not that of an initial
_OTHERS_WORK = re.compile(
    r"(?:.*\b)?(?:edit|translat|illustrat|arrang|annotat|select|revis|introduc|print|publish)"
    r"(?:ed|ted|tion|tions|or)?(?: and .*)?$|(?:.*\b)?(?:illustrations|pictures|drawings|notes"
    r"|preface|foreword|sidelights|frontispiece)$",
    re.I,
)
_FOREIGN_BY = re.compile(r"(?:von|par|por|di|door|af|av)\s+(.+)", re.I)
_BY = re.compile(r"(?:(.+?)[,.;:]?\s+)?(?:written )?by[:\s]*(.*)", re.I)
_PERSON = re.compile(r"[^\W\d_][\w.'’ \-]*(?: [\w.'’\-]+){0,6}")
_NOT_A_TITLE = re.compile(
    r"(?:chapter|contents|preface|introduction|foreword|book|part|volume|canto|act|scene|letter"
    r"|produced|copyright|note)\b|[\divxlc]+\.?$",
    re.I,
)
_SMALL = frozenset(
    {"a", "an", "and", "as", "at", "but", "by", "de", "for", "from", "in", "la", "of", "on", "or"}
    | {"the", "to", "van", "von", "with"}
)

_TOP_CHARS = 6_000
_TOP_LINES = 25
_LONGEST_TITLE_WORDS = 14
_LONGEST_LINE_WORDS = 10


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a book says of itself; empty strings for what is not known."""

    title: str = ""
    author: str = ""
    language: str = ""  # as written: a name or a code


def read_metadata(header: str, body: str, key: str) -> Metadata:
    """Return a book's metadata.

    The places are asked in turn, and a later one only fills what is missing: the header's
    fields, the key if it is `Title__by__Author`, the body's first lines, the file's name.

    Args:
        header: What stood before the start marker, may be empty.
        body: The book before its lines are joined.
        key: The object's key or path.
    """
    top = header or body[:_TOP_CHARS]
    places = (from_header(top), from_key(key), from_first_lines(body), from_file_name(key))
    title = author = ""
    for place in places:
        # A name alone in a later place may be another's: the editor's, the translator's.
        if not author and (not title or _same(title, place.title)):
            author = place.author
        title = title or place.title
    return Metadata(title=title, author=author, language=places[0].language)


def from_header(header: str) -> Metadata:
    """Read `Title:`, `Author:` and `Language:` lines, else Gutenberg's first line."""
    fields: dict[str, str] = {}
    for found in _FIELD.finditer(header):
        name = found[1].lower()
        read = person if name == "author" else _joined
        fields.setdefault(name, read(found[2]))
    if "title" not in fields:
        fields.pop("author", None)
        if line := _GUTENBERG_LINE.search(header):
            fields.update(title=" ".join(line[1].split()), author=person(" ".join(line[2].split())))
    return Metadata(**fields)


def person(name: str) -> str:
    """Return a name as a title page has it: no years, degrees or pseudonym, given name first.

    A catalog's order is known by the years behind it: `Austen, Jane, 1775-1817`. Names on
    lines of their own are several persons'.
    """
    lines = [_ALIAS.sub("", " ".join(line.split())) for line in name.split("\n")]
    if len(lines) > 1:
        return ", ".join(filter(None, map(person, lines)))
    bare = _DATES.sub("", lines[0])
    family, comma, given = bare.partition(", ")
    if comma and bare != lines[0]:
        given = given.split(",")[0]  # what follows is a rank
        bare = family if " " in family else f"{given} {family}"
    return _LAST_STOP.sub("", _DEGREES.sub("", bare)).strip(" ,;") or lines[0]


def from_key(key: str) -> Metadata:
    """Read `some/folder/The_Title__by__The_Author.txt`."""
    title, parted, author = _stem(key).partition("__by__")
    if not parted:
        return Metadata()
    return Metadata(title=_spaced(title), author=_spaced(author))


def from_file_name(key: str) -> Metadata:
    """Make a title of a file's name: `The-Time-Machine_35.txt` is The Time Machine."""
    stem = _stem(key)
    stem = re.sub(r"(?<=[^\W\d])[_-]\d+(?:-\d)?$", "", stem)  # Gutenberg's number
    name = stem if " " in stem else _spaced(stem.replace("-", " "))
    return Metadata(title=re.sub(r"(?<=\w) s\b", "'s", name) or key)


def from_first_lines(body: str) -> Metadata:
    """Read a title page: the title's lines, `by`, the author, each maybe on lines of its own."""
    paragraphs = [part for part in re.split(r"\n[ \t]*\n\s*", body[:_TOP_CHARS]) if part.strip()]
    lines = [line.strip(" \t_*=[]") for part in paragraphs for line in part.strip().split("\n")]
    lines = [line for line in lines if line][:_TOP_LINES]
    for at, line in enumerate(lines):
        if len(line.split()) > _LONGEST_LINE_WORDS:
            break  # the text has begun
        if page := _title_page(lines[:at], line, lines[at + 1 : at + 2]):
            return page
    return Metadata(title=_lone_title(paragraphs))


def _title_page(before: list[str], line: str, after: list[str]) -> Metadata | None:
    """Read `line` as the one with the word "by"; None if it is not."""
    found = _BY.fullmatch(line)
    foreign = _FOREIGN_BY.fullmatch(line)
    if found is None and foreign is None:
        return None
    own = found[1] or "" if found else ""
    if own and _OTHERS_WORK.match(own):
        return None
    name = foreign[1] if foreign else (found and found[2]) or "".join(after)
    author = person(name.strip(" ,;"))
    title_lines = [*before, own] if own else before
    # Title pages repeat the title, shouted, and add lines of small matter: the first counts.
    title = title_lines[0].strip(" ,.;") if title_lines else ""
    is_person = _PERSON.fullmatch(author) and author[0].isupper() and len(author.split()) <= 7
    if not is_person or not _is_title(title):
        return None
    return Metadata(title=_calm(title), author=_calm(author))


def _lone_title(paragraphs: list[str]) -> str:
    """Return the first line if it stands alone and looks like a title."""
    if len(paragraphs) < 2:
        return ""
    first = paragraphs[0].strip(" \t\n_*=[]")
    return _calm(first) if "\n" not in first and _is_title(first) else ""


def _is_title(line: str) -> bool:
    words = line.split()
    return (
        0 < len(words) <= _LONGEST_TITLE_WORDS
        and any(map(str.isalpha, line))
        and line[-1] not in '.,;:"”'
        and (line[0].isdigit() or not line[0].islower())
        and not _NOT_A_TITLE.match(line)
    )


def _joined(field: str) -> str:
    """Join a field's lines; a subtitle on a line of its own comes after a colon."""
    first, *rest = [" ".join(line.split()) for line in field.split("\n")]
    for line in rest:
        subtitle = line[:1].isupper() and first.split()[-1].lower() not in _SMALL
        glue = ": " if subtitle and first[-1].isalnum() and len(first) < 50 else " "
        first += glue + line
    return first


def _calm(text: str) -> str:
    """Return shouted words as a title writes them; others stay as they are."""
    text = " ".join(text.split())
    if not text.isupper():
        return text
    words = text.lower().split()
    calm = [
        word if at and word in _SMALL else _capital_initials(word) for at, word in enumerate(words)
    ]
    return " ".join(calm)


def _capital_initials(word: str) -> str:
    """Capitalize `h.g.` as H.G. and `rabbit-hole` as Rabbit-Hole, but `devil's` once."""
    for mark in ".-":
        if mark in word:
            return mark.join(part.capitalize() for part in word.split(mark))
    return string.capwords(word)


def _same(title: str, other: str) -> bool:
    """Tell whether one title begins the other, whatever the case and signs."""
    one, two = ("".join(re.findall(r"\w+", name.lower())) for name in (title, other))
    return bool(two) and (one.startswith(two) or two.startswith(one))


def _stem(key: str) -> str:
    return re.sub(r"(?:\.(?:txt|text|utf-?8|md|gz))+$", "", PurePosixPath(key).name, flags=re.I)


def _spaced(name: str) -> str:
    return " ".join(name.replace("_", " ").split())
