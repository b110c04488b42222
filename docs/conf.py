"""Sphinx's settings for the site of the documentation: `make site`.

The root of the repository is the source, so that the links of README and docs/ are the same on
GitHub and on the site. The contents of the site are the table at the end of README.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx

project = "raypipe"
author = "the raypipe authors"
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["*.md", "docs/**", "examples/*.md"]
exclude_patterns = [".*", "build", "dist", "raypipe", "raypipe-data", "tests"]
suppress_warnings: list[str] = []

html_theme = "furo"
html_title = "raypipe"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False

highlight_language = "text"
# Anchors as GitHub makes them.
myst_heading_anchors = 6
# These would give a meaning to text that has none on GitHub.
myst_disable_syntax = ["myst_block_break", "myst_line_comment", "myst_role", "myst_target"]

_ROW = re.compile(r"^\| ([A-Z]\w+) \| (\[.*) \|$", re.MULTILINE)
_PAGE = re.compile(r"\]\(([\w/]+)\.md\)")


def find_contents(readme: str) -> list[tuple[str, list[str]]]:
    """Return the topics of README's table of the documentation, and the pages of each."""
    table = readme.partition("\n## Documentation\n")[2]
    return [(topic, _PAGE.findall(pages)) for topic, pages in _ROW.findall(table)]


def add_contents(_app: Sphinx, page: str, source: list[str]) -> None:
    """Give the table of the documentation to Sphinx as the contents of the site."""
    if page == root_doc:
        for topic, pages in find_contents(source[0]):
            listed = "\n".join(pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {topic}\n\n{listed}\n```\n"


def copy_start_page(app: Sphinx, error: Exception | None) -> None:
    """Let the address of the site's folder show README."""
    if error is None:
        folder = Path(app.outdir)
        shutil.copyfile(folder / f"{root_doc}.html", folder / "index.html")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the functions above."""
    app.connect("source-read", add_contents)
    app.connect("build-finished", copy_start_page)
    return {"parallel_read_safe": True}
