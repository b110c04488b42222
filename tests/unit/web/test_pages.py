"""The pages: what they show, and that nothing in a book acts on a browser."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from raypipe.ledger.facade import Ledger
from raypipe.ledger.run_records import RunRecord
from raypipe.ledger.writer_lock import WriterLock
from raypipe.state.local import LocalState
from raypipe.web import pages
from raypipe.web.rendering import format_code
from tests.unit.opensearch.stub import Stub
from tests.unit.web.page_here import SCRIPT, Page, fail, hit

RECORDING = Path(__file__).parents[2] / "fixtures" / "state_3c73c8f"


class Tags(HTMLParser):
    """The tags of a page, each with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag == name]


def check_page(html: str) -> Tags:
    """Check what every page has, and return its tags."""
    tags = Tags(html)
    assert tags.all("html") == [{"lang": "en"}]
    assert len(tags.all("h1")) == len(tags.all("main")) == len(tags.all("title")) == 1
    assert tags.all("script") == []
    names = {name for _, attributes in tags.found for name in attributes}
    assert not [name for name in names if name.startswith("on") or name == "style"]
    ids = [attributes["id"] for _, attributes in tags.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    fields = [*tags.all("input"), *tags.all("select")]
    assert {each["id"] for each in fields} <= {each.get("for") for each in tags.all("label")}
    links = [each.get("href") or "" for each in (*tags.all("a"), *tags.all("link"))]
    assert [link for link in links if not (link.startswith(("/", "#")) or link == "")] == []
    return tags


def test_the_first_page_has_a_box_and_the_filters_that_divide_the_books(page: Page) -> None:
    status, html = page.get("/")
    tags = check_page(html)
    assert status == 200
    assert [each["name"] for each in tags.all("select")] == ["language", "fallback"]
    assert [each["name"] for each in tags.all("input")] == ["q", "author"]
    assert page.searcher.asked == [], "nothing is searched yet"
    assert "<script>" not in html


def test_hits_lead_to_their_books_and_hostile_texts_are_shown_as_text(page: Page) -> None:
    hostile = hit(2, title=SCRIPT, author='"onload=', key="a\x1b[2J/b.txt", book_id="x/../y")
    page.searcher.hits = [hit(1), hostile, hit(3, title="", summary=SCRIPT)]
    status, html = page.get("/?q=two+friends&language=en")
    tags = check_page(html)
    assert status == 200
    assert page.searcher.asked == [("two friends", 10, {"language": "en"})]
    links = [each["href"] for each in tags.all("a") if (each["href"] or "").startswith("/books")]
    assert links == ["/books/b1", "/books/x/../y", "/books/b3"]
    assert html.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;") == 2
    assert "\x1b" not in html
    assert ">3.txt</a>" in html, "the key stands for a missing title"
    assert "Show more books" not in html
    [chosen] = [each for each in tags.all("option") if "selected" in each]
    assert chosen["value"] == "en"


def test_more_hits_are_a_link_and_a_search_without_hits_says_so(page: Page) -> None:
    page.searcher.hits = [hit(rank) for rank in range(1, 30)]
    _, html = page.get("/?q=a+%26+b&author=Jane")
    assert 'href="/?q=a+%26+b&amp;author=Jane&amp;limit=20"' in html
    page.searcher.hits = []
    _, html = page.get("/?q=" + "%3Cscript%3E" + "&genre=western")
    check_page(html)
    assert "No book fits with these filters" in html
    assert '<option value="western" selected>western (0)</option>' in html


def test_filters_without_words_list_books(page: Page) -> None:
    page.searcher.hits = [hit(1, score=0.0)]
    _, html = page.get("/?q=+&author=Jane+Austen")
    assert "In the order of their titles" in html
    assert "score" not in html


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/books/none", 404, "there is no book with the id none"),
        ("/nothing", 404, "there is no such page"),
        ("/static/none.js", 404, "there is no file none.js"),
        ("/static/..%2Fapp.py", 404, ""),
        ("/runs/77", 404, "run=77: there is no such run"),
        ("/?limit=0", 422, "limit: "),
        ("/?q=" + "x" * 2001, 422, "q: "),
        ("/failures?limit=x", 422, "limit: "),
    ],
)
def test_a_wrong_address_is_explained(page: Page, path: str, status: int, words: str) -> None:
    found, html = page.get(path)
    check_page(html)
    assert (found, words in html) == (status, True), html


def test_a_problem_is_one_line_and_a_bug_shows_nothing(
    page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    page.searcher.problem = "opensearch.index=b at u does not exist; `raypipe run` creates it"
    status, html = page.get("/?q=x")
    check_page(html)
    assert status == 503
    assert "<code>raypipe run</code> creates it" in html
    page.searcher.problem = "bug"
    status, html = page.get("/?q=x")
    check_page(html)
    assert status == 500
    assert "RuntimeError" not in html
    assert "RuntimeError: a bug at http://" in caplog.text
    assert "secret" not in caplog.messages[-1]


@pytest.fixture
def old(page: Page) -> LocalState:
    """Replace the page's state by the recorded state of an older raypipe."""
    shutil.rmtree(page.state.root)
    shutil.copytree(RECORDING / "state", page.state.root)
    return page.state


def test_a_book_shows_its_document_its_history_and_its_index_entry(
    page: Page, old: LocalState, stub: Stub
) -> None:
    book = Ledger(old).documents.read_newest(["book_id", "title", "summary", "run_seq"])
    row = book.to_pylist()[0]
    status, html = page.get(f"/books/{row['book_id']}")
    check_page(html)
    assert status == 200
    assert f'<h1 dir="auto">{row["title"]}</h1>' in html
    assert "finished it on" in html
    assert "lacks it" in html
    stub.docs[row["book_id"]] = (4, {"run_seq": 4, "key": "k", "title": "other"})
    _, html = page.get(f"/books/{row['book_id']}")
    assert "written by run 4" in html


def test_a_book_of_the_index_is_shown_without_a_state(page: Page, stub: Stub) -> None:
    shutil.rmtree(page.state.root)
    stub.docs["b1"] = (4, {"run_seq": 4, "title": SCRIPT, "summary": "S", "words": 1234})
    status, html = page.get("/books/b1")
    check_page(html)
    assert (status, "1,234" in html, "<script>" in html) == (200, True, False)
    del stub.docs["b1"]
    assert page.get("/books/b1")[0] == 404


def test_without_a_state_and_an_index_a_book_is_a_problem(tmp_path: Path) -> None:
    page = Page(tmp_path)
    shutil.rmtree(page.state.root)
    status, html = page.get("/books/b1")
    assert (status, "there is no state at" in html, "127.0.0.1:9" in html) == (503, True, True)


def test_a_failed_book_shows_the_way_out(page: Page) -> None:
    Ledger(page.state).failures.append([fail("a.txt", message=SCRIPT)], 1, "t", 0)
    status, html = page.get("/books/id-a.txt")
    check_page(html)
    assert status == 200
    assert "the book is in no format that raypipe reads; convert it to one of them" in html
    assert "&lt;script&gt;" in html


def test_failures_are_grouped_and_listed(page: Page) -> None:
    _, html = page.get("/failures")
    assert "No book failed." in html
    rows = [fail(f"b{number}.txt", failed_at=float(number)) for number in range(4)]
    rows += [fail("m.txt", "model", retryable=True), fail(SCRIPT, "read")]
    Ledger(page.state).failures.append(rows, 1, "t", 0)
    page = Page(page.folder, page.index_url)  # failures are kept for some seconds
    _, html = page.get("/failures?kind=binary&limit=2")
    check_page(html)
    assert "6 books failed" in html
    assert re.findall(r">(b\d\.txt)</a>", html) == ["b3.txt", "b2.txt"]
    assert "/failures?kind=binary&amp;limit=8" in html
    assert "<code>raypipe run</code> tries again" in html
    _, html = page.get("/failures")
    assert "&lt;script&gt;" in html
    assert "<script>" not in html


def test_the_link_to_more_failures_stays_in_the_range_of_the_parameter(page: Page) -> None:
    rows = [fail(f"b{number}.txt") for number in range(8)]
    Ledger(page.state).failures.append(rows, 1, "t", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "MAX_ROWS", 6)
        assert "/failures?kind=&amp;limit=6" in page.get("/failures?limit=3")[1]
        assert "Show more" not in page.get("/failures?limit=6")[1]


def test_runs_of_an_older_state(page: Page, old: LocalState) -> None:
    status, html = page.get("/runs")
    check_page(html)
    runs = dict.fromkeys(re.findall(r'href="/runs/([^"]+)"', html))
    assert (status, len(runs)) == (200, 5)
    for run_id in runs:
        status, html = page.get(f"/runs/{run_id}")
        check_page(html)
        assert status == 200


def test_a_state_without_runs_a_running_run_and_a_killed_run(page: Page) -> None:
    assert "No run has begun" in page.get("/runs")[1]
    with WriterLock.acquire(page.state):
        assert "It has recorded no progress yet" in page.get("/runs")[1]
        progress: dict[str, Any] = {"run_id": "20261128T100217Z-0001", "at": "2026-11-28T10:02:17Z"}
        progress |= {"listed": 100, "todo": 50, "done": 10, "failed": 2, "left": 38, "calls": 40}
        progress |= {"rate_per_s": 2.5, "eta_s": 90.0, "usd": 1.5, "failures": {"model": 2}}
        name = f"runs/{progress['run_id']}/progress.json"
        page.state.put(name, json.dumps(progress).encode())
        html = page.get("/runs")[1]
        tags = check_page(html)
        assert tags.all("progress") == [{"id": "progress", "max": "50", "value": "12"}]
        assert "2.50 books a second" in html
        assert "1.5 minutes" in html
    html = page.get("/runs/1")[1]
    assert "It ended without a record" in html
    RunRecord(progress["run_id"], 1, status="error", exit_code=1, reason=SCRIPT).save(page.state)
    html = page.get("/runs/1")[1]
    check_page(html)
    assert "&lt;script&gt;" in html


def test_a_damaged_record_hides_no_other_run(page: Page) -> None:
    for seq in (1, 2):
        RunRecord(f"20261128T100217Z-000{seq}", seq, status="done", exit_code=0).save(page.state)
    page.state.put("runs/20261128T100217Z-0001/run.json", b"{")
    status, html = page.get("/runs")
    check_page(html)
    assert (status, html.count("unreadable</span>")) == (200, 1)
    assert [run["status"] for run in page.client.get("/api/runs").json()] == ["done", "unreadable"]
    assert page.get("/runs/1")[0] == 503


def test_the_report_of_a_run_is_shown_if_there_is_one(page: Page) -> None:
    run_id = "20261128T100217Z-0001"
    RunRecord(run_id, 1, status="done", exit_code=0).save(page.state)
    assert "report" not in page.get("/runs/1")[1]
    status, html = page.get("/runs/1/report")
    assert (status, f"run {run_id} has no report" in html) == (404, True)
    page.state.put(f"runs/{run_id}/report.html", b"<!doctype html><title>Report</title>")
    assert f'href="/runs/{run_id}/report"' in page.get("/runs/1")[1]
    response = page.client.get(f"/runs/{run_id}/report")
    assert (response.status_code, "<title>Report</title>" in response.text) == (200, True)
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "script-src" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"


def test_files_are_kept_by_browsers_and_pages_are_not(page: Page) -> None:
    html = page.get("/")[1]
    [style] = re.findall(r'href="(/static/serve\.css\?v=\w+)"', html)
    response = page.client.get(style)
    assert response.headers["content-type"].startswith("text/css")
    assert "immutable" in response.headers["cache-control"]
    assert page.client.get("/").headers["cache-control"] == "no-store"


def test_code_in_messages_is_marked_and_escaped() -> None:
    assert format_code("a `b <c>` d <e>\n") == "a <code>b &lt;c&gt;</code> d &lt;e&gt;\\n"
