"""`raypipe serve` on a real index: filters, books, failures, other users, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from tests.integration.raypipe_command import Project
from tests.integration.served_page import SCRIPT, get, get_json, index_books, serve
from tests.integration.test_loopback import ASK_AS, NOBODY

HARBOR = "Author Harbor Lamp"


def test_a_page_on_a_real_index(project: Project) -> None:
    index_books(project)
    with serve(project) as (url, process):
        found = get_json(f"{url}/api/search?q=lighthouse")
        titles = {hit["title"] for hit in found["hits"]}
        assert len(titles) == 3
        assert any("<script>" in title for title in titles)
        assert found["hits"][0]["title"] == "Harbor Lamp"

        values = get_json(f"{url}/api/filters")
        authors = {each["value"]: each["books"] for each in values["author"]}
        assert (len(authors), authors[HARBOR]) == (3, 1)
        for words in ("winter", ""):  # the nearest books by vector, and books by title
            filtered = get_json(f"{url}/api/search?q={words}&author=harbor+LAMP")
            assert [hit["author"] for hit in filtered["hits"]] == [HARBOR]
        assert get_json(f"{url}/api/search?q=winter&language=xx")["hits"] == []
        language = values["language"][0]["value"]
        assert len(get_json(f"{url}/api/search?q=winter&language={language}")["hits"]) == 3

        status, html = get(f"{url}/?q=lighthouse")
        assert (status, "<script" in html, "&lt;script&gt;alert(1)" in html) == (200, False, True)
        book = next(hit for hit in found["hits"] if "<script>" in hit["title"])
        status, html = get(f"{url}/books/{book['book_id']}")
        assert (status, "<script" in html, "It is in the served index" in html) == (
            *(200, False),
            True,
        )
        shown = get_json(f"{url}/api/books/{book['book_id']}")
        assert (shown["status"], shown["index"]["document"]["key"]) == ("indexed", book["key"])
        assert SCRIPT in book["key"]

        failures = get_json(f"{url}/api/failures")
        assert [(each["key"], each["kind"]) for each in failures["failures"]] == [
            ("empty.txt", "empty")
        ]
        assert get_json(f"{url}/api/status")["exit_code"] == 3
        assert get(f"{url}/runs")[0] == get(f"{url}/failures")[0] == 200

        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert time.monotonic() - began < 2
    assert project.stderr("-serve") == ""
    assert project.processes() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_the_machine_gets_no_page(project: Project) -> None:
    with serve(project) as (url, _):
        assert get(f"{url}/openapi.json")[0] == 200
        address = urlsplit(url)
        asking = ASK_AS.format(user=NOBODY, host=address.hostname, port=address.port)
        answer = subprocess.run(
            [sys.executable, "-c", asking], check=True, capture_output=True, text=True
        )
        assert "403 Forbidden" in answer.stdout
