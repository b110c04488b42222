"""The page of `raypipe serve` in Chromium: keyboard, accessibility, and no outside request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.raypipe_command import Project
from tests.integration.served_page import index_books, serve
from tests.slow.chromium import Browser, browse, find_chromium

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="Chromium is not installed (Debian: apt-get install chromium)"
)

SCREENSHOTS = "RAYPIPE_SCREENSHOTS"
"""Environment variable with a folder that gets the screenshots; without it they are temporary."""
LOOKS = {"light": (1100, False), "dark": (1100, True), "narrow": (360, False)}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, opensearch_url: str) -> Iterator[str]:
    project = Project(tmp_path_factory.mktemp("page"), opensearch_url)
    index_books(project)
    with serve(project) as (url, _):
        yield url
    project.clean_up()


@pytest.fixture
def browser(tmp_path: Path, url: str) -> Iterator[Browser]:
    """Yield a browser; afterwards check its console, and that it asked the page alone."""
    with browse(tmp_path) as browser:
        yield browser
        hosts = {urlsplit(request).netloc for request in browser.requests}
        assert hosts <= {urlsplit(url).netloc, ""}, "a request left the page"
        assert browser.errors == []


def paths(browser: Browser, url: str) -> dict[str, str]:
    """Return the paths of all kinds of pages by name."""
    browser.go(f"{url}/?q=lighthouse")
    books = browser.evaluate("[...document.querySelectorAll('.hits a')].map(a => a.pathname)")
    browser.go(f"{url}/failures")
    failed = browser.evaluate("document.querySelector('tbody a').pathname")
    browser.go(f"{url}/runs")
    run = browser.evaluate("document.querySelector('tbody a').pathname")
    return {
        "search": "/",
        "hits": "/?q=lighthouse&language=en",
        "nothing": "/?q=x&language=xx",
        "book": books[0],
        "failed": failed,
        "runs": "/runs",
        "run": run,
        "failures": "/failures?kind=empty",
    }


def test_no_page_violates_a_rule_of_accessibility(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    folder = Path(os.environ.get(SCREENSHOTS) or tmp_path)
    for name, path in paths(browser, url).items():
        for look, (width, dark) in LOOKS.items():
            browser.look(width=width, dark=dark)
            browser.go(url + path)
            assert browser.find_violations() == [], (name, look)
            is_wide = browser.evaluate("document.documentElement.scrollWidth > innerWidth")
            assert not is_wide, f"{name} {look}: the page must be scrolled sideways"
            browser.screenshot(folder / f"{name}-{look}.png")
            assert (folder / f"{name}-{look}.png").stat().st_size > 5_000


def test_violations_and_errors_of_a_bad_page_are_seen(tmp_path: Path) -> None:
    with browse(tmp_path) as tab:
        tab.go("data:text/html,<input><script>console.error('odd')</script>")
        rules = {violation.partition(":")[0] for violation in tab.find_violations()}
        assert {"label", "html-has-lang", "document-title"} <= rules
        assert len(tab.errors) == 1


def test_a_book_is_found_by_the_keyboard_alone(browser: Browser, url: str) -> None:
    browser.forbid_scripts()
    browser.go(url)

    def focus() -> str:
        browser.forbid_scripts(forbidden=False)
        text: str = browser.evaluate(
            "document.activeElement.id || document.activeElement.textContent.trim()"
        )
        browser.forbid_scripts()
        return text

    reached: list[str] = []
    while "q" not in reached:
        browser.press("Tab")
        reached.append(focus())
        assert len(reached) < 20, reached
    assert reached == ["Skip to the content", "raypipe", "Search", "Runs", "Failures", "q"]
    browser.type("lighthouse")
    browser.press("Enter")
    browser.wait_until_loaded()
    reached.clear()
    while "Harbor Lamp" not in reached:
        browser.press("Tab")
        reached.append(focus())
        assert len(reached) < 30, reached
    browser.press("Enter")
    browser.wait_until_loaded()
    browser.forbid_scripts(forbidden=False)
    assert browser.evaluate("document.querySelector('h1').textContent") == "Harbor Lamp"


def test_the_link_at_the_beginning_skips_to_the_content(browser: Browser, url: str) -> None:
    browser.go(f"{url}/runs")
    browser.press("Tab")
    browser.press("Enter")
    assert browser.evaluate("document.activeElement.id") == "main"


def test_a_title_with_a_script_is_text(browser: Browser, url: str) -> None:
    browser.go(f"{url}/?q=alert")
    titles = browser.evaluate("[...document.querySelectorAll('.hits a')].map(a => a.textContent)")
    assert any("<script>" in title for title in titles)
    assert browser.evaluate("document.scripts.length") == 0


def test_a_screen_reader_gets_names_for_everything(browser: Browser, url: str) -> None:
    browser.go(f"{url}/?q=lighthouse")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and "role" in node
    }
    for role, name in [
        ("searchbox", "Description, title or author"),
        ("search", "Books"),
        ("button", "Search"),
        ("navigation", "Pages"),
        ("heading", "Search books"),
        ("link", "Harbor Lamp"),
    ]:
        assert (role, name) in named, sorted(named)
    roles = {role for role, _ in named}
    assert {"main", "banner", "contentinfo", "status", "list"} <= roles
