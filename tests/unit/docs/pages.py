"""The pages of the documentation, their code blocks and their links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
SERVERS = "docs/openai_servers.md"


OTHERS = ("README.md", "CONTRIBUTING.md", "AGENTS.md", "SECURITY.md", "examples/README.md")


def read_pages() -> dict[str, str]:
    """Return the text of each page, in and beside docs/, by path."""
    paths = [*(ROOT / name for name in OTHERS), *sorted((ROOT / "docs").rglob("*.md"))]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


PAGES = read_pages()
README = PAGES["README.md"]
CONTRIBUTING = PAGES["CONTRIBUTING.md"]
GUIDES = {
    name: text for name, text in PAGES.items() if name == "README.md" or "docs/guides/" in name
}
"""README and the guides: a test types their command lines on real parts."""


def fenced(text: str, kinds: str = "sh|console") -> Iterator[str]:
    """Yield the lines of fenced blocks of these kinds, without prompts; `\\` joins lines."""
    for block in re.findall(rf"^```(?:{kinds})\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.strip().removeprefix("$ ")


def read_prose(text: str) -> str:
    """Return the text of a page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def read_inline_code(text: str) -> list[str]:
    """Return the inline code of a page, each on one line."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", read_prose(text))]


def read_links(text: str) -> list[str]:
    """Return the targets of a page's links, without those to other sites."""
    prose = re.sub(r"`[^`]*`", "", read_prose(text))
    return re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose)


def read_anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", read_prose(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
