"""The text of the code and the docs is plain English: this test keeps the old idioms out.

Looks at comments, docstrings and string literals of the package, at the comments in conf/, and at
README and the other pages of the root, and at docs/, except the pages that are generated from conf/
and from docstrings.
conf/prompts and other texts for a model are left alone: a change of them is a change of the
product.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PLAIN_WORDS = {
    r"\banew\b": "again; with a noun `new`: make a new index",
    r"\b(is|are|was|were) told\b|\bis said\b": "is reported; is logged; receives",
    r"\b(in vain|befalls?|befell)\b": "without success; happens to",
    r"\b(hold(s|ing)?|held)\b.{0,60}\bagainst (each|the|it|another|an?)\b": "compare with",
    r"\b(go|goes|going|gone|went) over\b": "switch to; point the alias at; go through",
    r"\blets? (\w+ )?in\b": "accept; allow",
    r"\b(from|in|so) so many\b|\bso many \w+ (on|at)\b": "at least this many; the number of",
    r"\bones? that\b": "the noun: the index that",
    r"\ba person\b|\bfor people\b|\bwho(m|so)?ever\b|\bsomebody\b": "the user; the caller",
    r"\b(None|null|empty|0) = ": "None: the default; null: no limit",
    r"\bwhat(ever)? (becomes|became|remains) of\b": "the result of",
    r"\bwhat (there is|stands|is left|is known|is wanted|is meant)\b": "the noun",
    r"\b(it|alias|that|which) stands? (on|at|there)\b": "points at; runs on; is in",
    r"\bmakes (much |anything )?of\b": "does with; reads from",
    r"\bas far as\b(?! possible)": "if; up to; where",
    r"(?<!line )(?<!lines )\bof (its|their|your) own\b(?! \w)": "its own; a separate",
    r"\bthat may pass\b|\bpass by (itself|themselves)\b": "temporary failure; permanent failure",
    r"\b(runs?|build|to) go(es)? on\b": "continue",
    r"\bbe had\b": "is available; can be started",
    r"\bnot (there|here) any ?more\b": "no longer exists; was deleted",
    r"\b(parcels?|purse|lanes|messenger)\b": "batch; budget; limiter; client",
    r"\ball the same\b": "anyway",
    r"\bcomes? to (it|that|what)\b": "reaches; is about",
}
"""At most 25 patterns of old idioms, each with plain words to use instead.

At commit 3c73c8f, before the texts were rewritten, this test reports 550 findings, from each of
the patterns: 186 `None = `, 57 `a person` and the like, 50 `one that`, 23 `anew`, 23 `is told`.
"""

FROM_THE_CODE = ("options.md", "python_api.md")
"""Pages whose texts are in conf/ and in docstrings, beside signatures such as `name = None`."""

SENT_TO_MODELS = {
    "raypipe/summarizers/llm/checks.py": {"PROBLEMS"},
}
"""Names of constants, by file, whose strings are sent to a model: a change changes its answers."""


def find_idioms(text: str) -> list[str]:
    """Return a line for each old idiom in a text, with the plain replacement."""
    words = " ".join(text.split())
    return [
        f"{match[0]!r} in {_excerpt(words, match)!r}; write: {replacement}"
        for pattern, replacement in PLAIN_WORDS.items()
        for match in re.finditer(pattern, words, re.IGNORECASE)
    ]


def _excerpt(text: str, match: re.Match[str]) -> str:
    return text[max(0, match.start() - 30) : match.end() + 30]


def read_python(path: Path, source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each comment block, docstring and string literal."""
    skipped = _lines_of_constants(source, SENT_TO_MODELS.get(str(path.relative_to(ROOT)), set()))
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    kind, line, words = -1, 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NL:
            continue
        if token.type != kind and words:  # adjacent comments or literals make one text
            yield line, " ".join(words)
            words = []
        kind = token.type
        if kind in kinds and token.start[0] not in skipped:
            line = line if words else token.start[0]
            words.append(_content(token))


def _content(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.COMMENT:
        return token.string.lstrip("#")
    return token.string.strip("rbfuRBFU").strip("\"'")


def _lines_of_constants(source: str, names: set[str]) -> set[int]:
    if not names:
        return set()
    return {
        line
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id in names
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def read_yaml_comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each comment block."""
    start, words = 0, list[str]()
    for number, line in enumerate([*source.splitlines(), ""], 1):
        if line.strip().startswith("#"):
            start = start if words else number
            words.append(line.strip().lstrip("#"))
        elif words:
            yield start, " ".join(words)
            words = []


def read_paragraphs(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each paragraph of a Markdown file."""
    line = 1
    for paragraph in source.split("\n\n"):
        yield line, paragraph
        line += paragraph.count("\n") + 2


def find_all_idioms(root: Path = ROOT) -> list[str]:
    """Return a line for each old idiom in the tree."""
    findings: list[str] = []
    files = [*sorted((root / "raypipe").rglob("*.py")), *sorted((root / "conf").rglob("*.yaml"))]
    files += [path for path in sorted(root.glob("*.md")) if path.is_file()]
    pages = sorted((root / "docs").rglob("*.md"))
    files += [path for path in pages if path.name not in FROM_THE_CODE]
    for path in files:
        if path.is_relative_to(root / "conf" / "prompts"):
            continue
        source = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            texts = read_python(ROOT / path.relative_to(root), source)
        else:
            texts = (read_yaml_comments if path.suffix == ".yaml" else read_paragraphs)(source)
        findings += [
            f"{path.relative_to(root)}:{line}: {finding}"
            for line, text in texts
            for finding in find_idioms(text)
        ]
    return findings


def test_the_texts_are_plain_english() -> None:
    findings = find_all_idioms()
    assert findings == [], "\n".join(["", *findings])


def test_there_are_few_patterns() -> None:
    assert len(PLAIN_WORDS) <= 25


@pytest.mark.parametrize(
    "text",
    [
        "Take every book anew.",
        "Hold the listing, the ledger and the index against each other, book by book.",
        "Most books that are taken; None = all.",
        "Serve the index that was built beside the one that people search.",
        "Lets the alias go over to a new index, if that is whole.",
        "try failed books again; all=true: also those that do not pass by themselves",
    ],
)
def test_an_old_text_is_found(text: str) -> None:
    assert find_idioms(text)


@pytest.mark.parametrize(
    "text",
    [
        "Compare the listing, the ledger and the index, book by book.",
        "Atomically point the alias at an index; return the previous index.",
        "Process at most this many books; null: all books.",
    ],
)
def test_a_plain_text_passes(text: str) -> None:
    assert find_idioms(text) == []
