"""The site of the documentation: its links work, and no page asks another server for anything."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.integration.raypipe_command import ROOT

LOADING = {("img", "src"), ("script", "src"), ("iframe", "src"), ("link", "href")}
"""Attributes whose address the browser requests by itself."""


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a source tree, as `make site` does."""
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    folders = ["-c", str(ROOT / "docs"), "-d", f"{target}-doctrees", str(source), str(target)]
    return subprocess.run([*command, *folders], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site."""
    target = tmp_path_factory.mktemp("site") / "html"
    done = build(ROOT, target)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


class _Page(HTMLParser):
    """Collects the addresses and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            if value and (tag, name) in LOADING:
                self.loaded.append(value)
            if value and name in ("href", "src"):
                self.links.append(value)


@cache
def read_page(path: Path) -> _Page:
    return _Page(path)


def leads_somewhere(page: Path, link: str) -> bool:
    """Return whether a link of a page leads to a file of the site and to an anchor in it."""
    address = urlsplit(link)
    if address.scheme or address.netloc:
        return True
    target = page.parent / unquote(address.path) if address.path else page
    if not target.is_file():
        return False
    fragment = unquote(address.fragment)
    return target.suffix != ".html" or not fragment or fragment in read_page(target).anchors


def test_every_link_leads_to_a_file_and_an_anchor(site: Path) -> None:
    pages = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    assert len(pages) >= 40
    broken = [
        f"{page.relative_to(site)}: {link}"
        for page in pages
        for link in read_page(page).links
        if not leads_somewhere(page, link)
    ]
    assert broken == []
    assert read_page(site / "index.html").links == read_page(site / "README.html").links


def test_no_page_asks_another_server(site: Path) -> None:
    remote = [
        f"{page.relative_to(site)}: {address}"
        for page in sorted(site.rglob("*.html"))
        for address in read_page(page).loaded
        if urlsplit(address).netloc
    ]
    assert remote == []
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"@import[^;]*//[^;]*;|url\(\s*[\"']?(?:https?:)?//[^)]*\)", styles) == []


def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "README.md").write_text("# Title\n\n[there](missing.md)\n\n[here](#nowhere)\n")
    done = build(source, tmp_path / "html")
    assert done.returncode != 0
    assert "missing.md" in done.stderr
    assert "nowhere" in done.stderr
