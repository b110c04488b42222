"""The report of a run in Chromium: accessibility, no request, and no script of a book's title."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from raypipe.ledger.run_history import find_run
from raypipe.state.local import LocalState
from raypipe.web.report import find_run_before, write_report
from tests.slow.chromium import Browser, browse, find_chromium
from tests.unit.web.stored_runs import write_run

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="Chromium is not installed (Debian: apt-get install chromium)"
)

SCREENSHOTS = "RAYPIPE_SCREENSHOTS"
"""Environment variable with a folder that gets the screenshots; without it they are temporary."""
LOOKS = {"light": (1100, False), "dark": (1100, True), "narrow": (360, False)}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    state = LocalState(str(tmp_path_factory.mktemp("report")))
    for seq in (1, 2):
        write_run(state, seq)
    run = find_run(state, "")
    name = write_report(state, run, find_run_before(state, run))
    return (Path(state.root) / name).as_uri()


@pytest.fixture
def browser(tmp_path: Path, url: str) -> Iterator[Browser]:
    with browse(tmp_path) as browser:
        yield browser
        assert {request for request in browser.requests if not request.startswith("data:")} == {url}
        assert browser.errors == []


def test_a_report_violates_no_rule_of_accessibility(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    folder = Path(os.environ.get(SCREENSHOTS) or tmp_path)
    for look, (width, dark) in LOOKS.items():
        browser.look(width=width, dark=dark)
        browser.go(url)
        browser.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert browser.find_violations() == [], look
        assert not browser.evaluate("document.documentElement.scrollWidth > innerWidth"), look
        browser.screenshot(folder / f"report-{look}.png")


def test_a_report_holds_no_scripts_and_shows_all_titles(browser: Browser, url: str) -> None:
    browser.go(url)
    assert browser.evaluate("document.scripts.length") == 0
    assert browser.evaluate("document.querySelectorAll('svg[onload], [onerror], img').length") == 0
    assert "<script>alert('x')</script>" in browser.evaluate("document.body.innerText")
    loaded = browser.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert 0 < loaded < 5_000
