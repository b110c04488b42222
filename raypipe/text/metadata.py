"""Read title, author and declared language of a book from header, key, title page, file name."""

# ruff: noqa: RUF001 - typographic quotes and dashes are intended
from __future__ import annotations

import re
import string
from dataclasses import dataclass
from pathlib import PurePosixPath

_FIELD = re.compile(
    # A line that continues a field is indented and has at most one colon.
    r"^[ \t]*(Title|Author|Language):[ \t]*"
    r"(\S[^\n]*(?:\n[ \t]{2,}+[^\S\n]*+(?=\S)[^\n:]*+(?::[^\n:]*+)?+$)*)",
    re.M | re.I,
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
_LAST_STOP = re.compile(r"(?<=\w\w\w)[.,;]+$")  # not the stop of an initial
_CONTRIBUTION = re.compile(
    r"(?:.*\b)?(?:edit|translat|illustrat|arrang|annotat|select|revis|introduc|print|publish)"
    r"(?:ed|ted|tion|tions|or)?(?: and .*)?$|(?:.*\b)?(?:illustrations|pictures|drawings|notes"
    r"|preface|foreword|sidelights|frontispiece)$",
    re.I,
)
"""Words before "by" that name a contributor and not the author."""
_SITE = re.compile(r"\s+(?:[|–—]|-)\s+(?:The )?Project Gutenberg\b.*$|\s+\|\s+[^|]*$", re.I)
_FOREIGN_BY = re.compile(r"(?:von|par|por|di|door|af|av)\s+(.+)", re.I)
_BY = re.compile(r"(?:(.+?)[,.;:]?\s+)?(?:written )?by[:\s]*(.*)", re.I)
_PERSON = re.compile(r"[^\W\d_][\w.'’ \-]*(?: [\w.'’\-]+){0,6}")
_NOT_A_TITLE = re.compile(
    r"(?:chapter|contents|preface|introduction|foreword|book|part|volume|canto|act|scene|letter"
    r"|produced|copyright|note)\b|[\divxlc]+\.?$",
    re.I,
)
_SMALL_WORDS = frozenset(
    {"a", "an", "and", "as", "at", "but", "by", "de", "for", "from", "in", "la", "of", "on", "or"}
    | {"the", "to", "van", "von", "with"}
)

_TOP_CHARS = 6_000
_MAX_HEADER_CHARS = 100_000
_MAX_FIELD_CHARS = 5_000
_TOP_LINES = 25
_MAX_TITLE_WORDS, _MAX_TITLE_CHARS = 14, 150
_MAX_LINE_WORDS = 10


@dataclass(frozen=True, slots=True)
class Metadata:
    """Title, author and language of a book; empty strings if unknown.

    Attributes:
        title: The title.
        author: The author, or several authors separated by commas.
        language: The declared language as written: a name or a code.
    """

    title: str = ""
    author: str = ""
    language: str = ""


def read_metadata(header: str, body: str, key: str, stated: Metadata | None = None) -> Metadata:
    """Return a book's metadata.

    The sources in their order: what the file states, the fields of the header, a key of the form
    `Title__by__Author`, the title page at the start of the body, the file name. A later source
    only fills in missing values.

    Args:
        header: The text before the start marker; may be empty.
        body: The book before its lines are joined.
        key: The object's key or path.
        stated: What the file states about its book, if its format can.
    """
    top = header or body[:_TOP_CHARS]
    sources = (
        stated or Metadata(),
        read_header_fields(top),
        read_key(key),
        read_title_page(body),
        read_file_name(key),
    )
    title = author = ""
    for source in sources:
        # A name without a matching title may be an editor's or a translator's.
        if not author and (not title or _is_same_title(title, source.title)):
            author = source.author
        title = title or source.title
    language = sources[0].language or sources[1].language
    return Metadata(title=title, author=author, language=language)


def read_header_fields(header: str) -> Metadata:
    """Read the lines `Title:`, `Author:` and `Language:`, else Project Gutenberg's first line."""
    fields: dict[str, str] = {}
    header = header[:_MAX_HEADER_CHARS]
    for match in _FIELD.finditer(header):
        name = match[1].lower()
        if name not in fields:
            read = format_person_name if name == "author" else _join_title_lines
            fields[name] = read(match[2][:_MAX_FIELD_CHARS])
    if "title" not in fields:
        fields.pop("author", None)
        if line := _GUTENBERG_LINE.search(header):
            title, author = (" ".join(line[group].split()) for group in (1, 2))
            fields.update(title=title, author=format_person_name(author))
    return Metadata(**fields)


def format_person_name(name: str) -> str:
    """Return a name as on a title page: given name first, no years, degrees or pseudonym.

    Catalog order is recognized by the years after the name: `Austen, Jane, 1775-1817`. Names on
    separate lines are several persons.
    """
    lines = [_ALIAS.sub("", " ".join(line.split())) for line in name.split("\n")]
    if len(lines) > 1:
        return ", ".join(filter(None, map(format_person_name, lines)))
    undated = _DATES.sub("", lines[0])
    family, comma, given = undated.partition(", ")
    if comma and undated != lines[0]:
        given = given.split(",")[0]  # a rank follows
        undated = family if " " in family else f"{given} {family}"
    return _LAST_STOP.sub("", _DEGREES.sub("", undated)).strip(" ,;") or lines[0]


def read_key(key: str) -> Metadata:
    """Read a key of the form `some/folder/The_Title__by__The_Author.txt`."""
    title, separator, author = _stem(key).partition("__by__")
    if not separator:
        return Metadata()
    return Metadata(title=_replace_underscores(title), author=_replace_underscores(author))


def read_file_name(key: str) -> Metadata:
    """Derive a title from the file name: `The-Time-Machine_35.txt` is The Time Machine."""
    stem = _stem(key)
    stem = re.sub(r"(?<=[^\W\d])[_-]\d+(?:-\d)?$", "", stem)  # Project Gutenberg's number
    name = stem if " " in stem else _replace_underscores(stem.replace("-", " "))
    return Metadata(title=re.sub(r"(?<=\w) s\b", "'s", name) or key)


def read_page_title(title: str) -> tuple[str, str]:
    """Return title and author of a page whose title is `Emma, by Jane Austen | A library`."""
    title = _SITE.sub("", " ".join(title.split()))
    if line := _GUTENBERG_LINE.search(title):
        return line[1], format_person_name(line[2])
    stated = _read_by_line([], title, [])
    return (stated.title, stated.author) if stated else (title, "")


def read_title_page(body: str) -> Metadata:
    """Read the title page at the start of a text.

    It has the lines of the title, the word "by" and the author, each possibly on separate lines.
    """
    paragraphs = [part for part in re.split(r"\n[ \t]*\n\s*", body[:_TOP_CHARS]) if part.strip()]
    lines = [line.strip(" \t_*=[]") for part in paragraphs for line in part.strip().split("\n")]
    lines = [line for line in lines if line][:_TOP_LINES]
    for number, line in enumerate(lines):
        if len(line.split()) > _MAX_LINE_WORDS:
            break  # the text has begun
        if metadata := _read_by_line(lines[:number], line, lines[number + 1 : number + 2]):
            return metadata
    return Metadata(title=_read_single_title(paragraphs))


def _read_by_line(before: list[str], line: str, after: list[str]) -> Metadata | None:
    """Read title and author around a line with the word "by"; None if the line has none.

    Args:
        before: The lines before the line.
        line: The line that may have the word "by".
        after: The next line, if there is one.
    """
    match = _BY.fullmatch(line)
    foreign = _FOREIGN_BY.fullmatch(line)
    if match is None and foreign is None:
        return None
    same_line = match[1] or "" if match else ""
    if same_line and _CONTRIBUTION.match(same_line):
        return None
    name = foreign[1] if foreign else (match and match[2]) or "".join(after)
    author = format_person_name(name.strip(" ,;"))
    title_lines = [*before, same_line] if same_line else before
    # Title pages repeat the title in capitals and add minor lines: the first line counts.
    title = title_lines[0].strip(" ,.;") if title_lines else ""
    is_person = _PERSON.fullmatch(author) and author[0].isupper() and len(author.split()) <= 7
    if not is_person or not _is_title(title):
        return None
    return Metadata(title=_to_title_case(title), author=_to_title_case(author))


def _read_single_title(paragraphs: list[str]) -> str:
    """Return the first paragraph if it is a single line that looks like a title."""
    if len(paragraphs) < 2:
        return ""
    first = paragraphs[0].strip(" \t\n_*=[]")
    return _to_title_case(first) if "\n" not in first and _is_title(first) else ""


def _is_title(line: str) -> bool:
    words = line.split()
    return (
        0 < len(words) <= _MAX_TITLE_WORDS
        and any(map(str.isalpha, line))
        and len(line) <= _MAX_TITLE_CHARS
        and line[-1] not in '.,;:"”。、！？」'
        and (line[0].isdigit() or not line[0].islower())
        and not _NOT_A_TITLE.match(line)
    )


def _join_title_lines(field: str) -> str:
    """Join the lines of a field; a subtitle on a separate line follows a colon."""
    first, *rest = [" ".join(line.split()) for line in field.split("\n")]
    for line in rest:
        is_subtitle = line[:1].isupper() and first.split()[-1].lower() not in _SMALL_WORDS
        glue = ": " if is_subtitle and first[-1].isalnum() and len(first) < 50 else " "
        first += glue + line
    return first


def _to_title_case(text: str) -> str:
    """Write a text in all capitals in title case; leave any other text as it is."""
    text = " ".join(text.split())
    if not text.isupper():
        return text
    words = text.lower().split()
    return " ".join(
        word if index and word in _SMALL_WORDS else _capitalize(word)
        for index, word in enumerate(words)
    )


def _capitalize(word: str) -> str:
    """Capitalize `h.g.` as H.G. and `rabbit-hole` as Rabbit-Hole, but `devil's` only once."""
    for mark in ".-":
        if mark in word:
            return mark.join(part.capitalize() for part in word.split(mark))
    return string.capwords(word)


def _is_same_title(title: str, other: str) -> bool:
    """Return whether one title begins with the other, ignoring case and punctuation."""
    first, second = ("".join(re.findall(r"\w+", name.lower())) for name in (title, other))
    return bool(second) and (first.startswith(second) or second.startswith(first))


def _stem(key: str) -> str:
    return re.sub(
        r"(?:\.(?:txt|text|utf-?8|md|markdown|x?html?|epub|pdf|docx|gz|bz2|zstd?))+$",
        "",
        PurePosixPath(re.sub(r"^.*\.zip!", "", key, flags=re.I | re.S)).name,
        flags=re.I,
    )


def _replace_underscores(name: str) -> str:
    return " ".join(name.replace("_", " ").split())
