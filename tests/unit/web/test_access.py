"""Who may use the page: hosts, tokens, users, and what a browser may do with it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from raypipe.web.access import AccessRules
from tests.unit.web.page_here import Page

TOKEN = "a-token-of-enough-characters-é"


def basic(password: str, user: str = "me") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost:9000", "LOCALHOST", "[::1]:8000", "127.0.0.2"]
)
def test_loopback_names_are_served(page: Page, host: str) -> None:
    assert page.get("/", host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7"),
        *("evil.localhost", "[::1", "", "127.0.0.1@evil.example", "0.0.0.0:8000", "x\x7f"),
    ],
)
def test_other_hosts_are_refused_also_for_files_and_json(page: Page, host: str) -> None:
    for path in ("/", "/api/search?q=x", "/static/serve.css", "/openapi.json"):
        status, text = page.get(path, host=host)
        assert (status, "is not served as" in text) == (400, True)
    assert page.searcher.asked == []


def test_a_page_for_others_is_served_under_its_names_and_addresses(tmp_path: Path) -> None:
    rules = AccessRules(hosts=frozenset({"books.example.com"}), any_address=True)
    page = Page(tmp_path, rules=rules)
    for host in ("books.example.com", "Books.Example.com.:443", "10.0.0.7:80", "[fd00::7]"):
        assert page.get("/", host=host)[0] == 200
    assert page.get("/", host="other.example.com")[0] == 400


def test_the_token_is_needed_for_everything(tmp_path: Path) -> None:
    page = Page(tmp_path, rules=AccessRules(token=TOKEN))
    for path in ("/", "/api/search", "/static/serve.css", "/openapi.json", "/nothing"):
        for given in ("", "Bearer x", basic(""), basic(TOKEN + "x"), "Basic %%", "Basic /w=="):
            headers = {"authorization": given} if given else {}
            response = page.client.get(path, headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith("Basic ")
            assert "content-security-policy" in response.headers
    assert page.get("/", authorization=basic(TOKEN))[0] == 200
    bearer = {b"authorization": f"bearer {TOKEN}".encode()}
    assert page.client.get("/api/filters", headers=bearer).status_code == 200
    odd = Page(tmp_path, rules=AccessRules(token="not-utf-8-\udcff-of-the-environment"))
    assert odd.get("/", authorization="bearer x")[0] == 401


def test_another_user_of_the_machine_is_refused(tmp_path: Path) -> None:
    asked: list[object] = []

    def is_own_user(client: object, server: object) -> bool:
        asked.append(client)
        return False

    page = Page(tmp_path, rules=AccessRules(is_own_user=is_own_user))
    status, text = page.get("/")
    assert (status, "its own user only" in text, len(asked)) == (403, True, 1)


def test_another_sites_page_may_link_to_the_page_but_not_load_it(page: Page) -> None:
    for site in ("cross-site", "same-site"):
        for mode in ("no-cors", "cors", "websocket"):
            assert page.get("/", sec_fetch_site=site, sec_fetch_mode=mode)[0] == 403
        assert page.get("/", sec_fetch_site=site, sec_fetch_mode="navigate")[0] == 200
    assert page.get("/", sec_fetch_site="same-origin", sec_fetch_mode="no-cors")[0] == 200


@pytest.mark.parametrize("path", ["/", "/nothing", "/api/filters", "/static/icon.svg"])
def test_every_response_has_the_headers_that_protect_a_browser(page: Page, path: str) -> None:
    headers = page.client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == policy.pop("frame-ancestors") == "'none'"
    assert policy.pop("base-uri") == "'none'"
    assert set(policy.values()) == {"'self'"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


def test_only_reading_is_possible(page: Page) -> None:
    for path, status in (("/", 200), ("/api/filters", 200), ("/nothing", 404)):
        assert page.client.head(path).status_code == status
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert page.client.request(method, "/api/search").status_code == 405
