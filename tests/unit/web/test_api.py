"""The JSON API and its description."""

from __future__ import annotations

import re

import pytest

from raypipe.ledger.facade import Ledger
from raypipe.ledger.run_records import RunRecord
from tests.unit.docs.pages import PAGES
from tests.unit.opensearch.stub import Stub
from tests.unit.web.page_here import Page, fail, hit

GUIDE = PAGES["docs/guides/serve.md"]


def test_a_search_returns_hits_with_scores(page: Page) -> None:
    page.searcher.hits = [hit(1), hit(2, score=0.5)]
    found = page.client.get("/api/search?q=x&limit=1&language=en").json()
    assert found.pop("seconds") >= 0
    assert found == {"query": "x", "filters": {"language": "en"}, "hits": [vars(hit(1))]}
    assert page.searcher.asked == [("x", 1, {"language": "en"})]
    values = page.client.get("/api/filters").json()
    assert values["language"] == [{"value": "en", "books": 7}, {"value": "fr", "books": 2}]


def test_a_book_its_failures_and_its_run(page: Page, stub: Stub) -> None:
    record = RunRecord("20261128T100217Z-0001", 1, status="failed", exit_code=3, failed=2)
    record.save(page.state)
    rows = [fail("a.txt", failed_at=1.0), fail("b.txt", "model", failed_at=2.0)]
    Ledger(page.state).failures.append(rows, 1, "t", 0)
    book = page.client.get("/api/books/id-a.txt").json()
    assert (book["status"], book["key"]) == ("failed", "a.txt")
    assert (book["index"]["document"], book["index"]["problem"]) == (None, "")
    failures = page.client.get("/api/failures?limit=1").json()
    assert failures["failed"] == 2
    assert [each["kind"] for each in failures["kinds"]] == ["binary", "model"]
    assert [each["key"] for each in failures["failures"]] == ["b.txt"]
    assert failures["failures"][0]["advice"]
    assert page.client.get("/api/failures?kind=model").json()["failed"] == 1
    status = page.client.get("/api/status").json()
    assert (status["status"], status["exit_code"]) == ("failed", 3)
    assert status["failures"] == {"binary": 1, "model": 1}
    assert status["record"]["failed"] == 2
    runs = page.client.get("/api/runs").json()
    assert runs == [page.client.get("/api/runs/1").json()]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/books/none", 404),
        ("/api/none", 404),
        ("/api/runs/9", 404),
        ("/api/search?limit=0", 422),
    ],
)
def test_a_problem_is_json(page: Page, path: str, status: int) -> None:
    response = page.client.get(path)
    assert response.status_code == status
    assert list(response.json()) == ["error"]


def test_the_guide_names_every_path(page: Page) -> None:
    described = page.client.get("/openapi.json").json()["paths"]
    assert set(re.findall(r"^\| `(/api/\S+)` \|", GUIDE, re.MULTILINE)) == set(described)
    page.searcher.hits = [hit(1)]
    calls = re.findall(r"^curl .*?http://127\.0\.0\.1:8000([^\s\"]+)", GUIDE, re.MULTILINE)
    assert [page.client.get(call).status_code for call in calls] == [200, 200]


def test_the_description_names_every_path_and_no_page(page: Page) -> None:
    description = page.client.get("/openapi.json").json()
    assert sorted(description["paths"]) == [
        "/api/books/{book_id}",
        "/api/failures",
        "/api/filters",
        "/api/runs",
        "/api/runs/{run}",
        "/api/search",
        "/api/status",
    ]
    names = [each["name"] for each in description["paths"]["/api/search"]["get"]["parameters"]]
    assert set(names) == {
        *("q", "limit", "language", "author", "genre", "flag", "summarizer", "fallback")
    }
    assert "Hit" in description["components"]["schemas"]
    for path in ("/docs", "/redoc"):  # they load scripts from another server
        assert page.client.get(path).status_code == 404
