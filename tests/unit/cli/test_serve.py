"""`raypipe serve`: its options and refusals, and a page until Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from raypipe.cli.commands import serve
from raypipe.core import setup_check
from raypipe.core.errors import SetupError
from tests.unit.command_line import RunCommandLine

pytestmark = pytest.mark.usefixtures("isolated_hydra", "no_services")

RECORDING = Path(__file__).parents[2] / "fixtures" / "state_3c73c8f"
SERVER = ("opensearch=self_managed", "opensearch.endpoint=http://127.0.0.1:9", "port=0")
TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("host=0.0.0.0",), "host=0.0.0.0: others can reach the page, so it needs a token"),
        (("allowed_hosts=[b.example]",), "allowed_hosts=b.example: others can reach the page"),
        (("host=",), "host is empty"),
        (("port=65536",), "port=65536 must be between 0 and 65535"),
        (("port=x",), "port"),
        (("host=192.0.2.7", "token_env=SHORT"), "has 15 characters; at least 16 are needed"),
        (("opensearch=none",), "this command needs opensearch"),
        (("search.fusion=sum",), "fusion=sum"),
    ],
)
def test_wrong_options_are_one_line(
    args: tuple[str, ...],
    problem: str,
    run_command_line: RunCommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def listen(*_: object) -> None:
        raise AssertionError("a wrong option must be found before")

    monkeypatch.setattr("raypipe.web.server.listen", listen)
    monkeypatch.setenv("SHORT", TOKEN[:15])
    given = {arg.partition("=")[0] for arg in args}
    server = [option for option in SERVER if option.partition("=")[0] not in given]
    if "opensearch" in given:
        server = ["port=0"]
    code, out, err = run_command_line("serve", *server, *args)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert problem in err
    assert TOKEN[:15] not in err


def test_a_missing_package_names_the_extra(
    run_command_line: RunCommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_missing(name: str, message: str) -> None:
        if name == "uvicorn":
            raise SetupError(message)

    monkeypatch.setattr(serve, "check_package", is_missing)
    code, out, err = run_command_line("serve", *SERVER)
    assert (code, out) == (1, "")
    assert err == "raypipe: serve needs packages of its extra: pip install 'raypipe[serve]'\n"
    assert setup_check.check_package is not is_missing


def test_an_embedded_node_that_never_ran_is_named(run_command_line: RunCommandLine) -> None:
    code, out, err = run_command_line("serve", "port=0", "embedder=hash")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "no OpenSearch node has run in" in err
    assert "`raypipe run` makes the index" in err


class Visitor:
    """Waits for the address on stdout, calls it, and presses Ctrl-C."""

    def __init__(self, paths: dict[str, str | None], number: int) -> None:
        self._paths = paths
        self._number = number
        self.found: dict[str, tuple[int, str]] = {}
        self.signal_at = 0.0

    def __call__(self, url: str) -> None:
        for path, token in self._paths.items():
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            request = urllib.request.Request(url + path, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    self.found[path] = response.status, response.read().decode()
            except urllib.error.HTTPError as error:
                self.found[path] = error.code, error.read().decode()
        self.signal_at = time.monotonic()
        os.kill(os.getpid(), self._number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_page_is_served_until_a_signal(
    number: int,
    tmp_path: Path,
    run_command_line: RunCommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(RECORDING / "state", tmp_path / "state")
    format_usage = serve._format_usage
    visit = Visitor({"/runs": None, "/?q=x": None, "/api/status": None}, number)

    def start_visit(url: str, options: object) -> str:
        threading.Thread(target=visit, args=(url,), daemon=True).start()
        return format_usage(url, options)

    monkeypatch.setattr(serve, "_format_usage", start_visit)
    before = threading.active_count()
    args = ("serve", *SERVER, "embedder=hash", f"state.uri={tmp_path / 'state'}")
    code, out, err = run_command_line(*args)
    assert time.monotonic() - visit.signal_at < 2
    assert (code, err) == (0, "")
    assert re.match(r"Page  http://127\.0\.0\.1:\d+  \(Ctrl-C ends it\)\n", out)
    assert visit.found["/runs"][0] == visit.found["/api/status"][0] == 200
    status, text = visit.found["/?q=x"]
    assert (status, "http://127.0.0.1:9" in text) == (503, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]
    assert threading.active_count() <= before + 10, "only idle threads of the pool are left"


def test_a_token_of_the_environment_is_needed_and_never_printed(
    run_command_line: RunCommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYPIPE_SERVE_TOKEN", TOKEN)
    format_usage = serve._format_usage
    visit = Visitor({"/runs": None, "/openapi.json": TOKEN}, signal.SIGINT)

    def start_visit(url: str, options: object) -> str:
        threading.Thread(target=visit, args=(url,), daemon=True).start()
        return format_usage(url, options)

    monkeypatch.setattr(serve, "_format_usage", start_visit)
    code, out, err = run_command_line("serve", *SERVER, "embedder=hash")
    assert (code, TOKEN in out + err) == (0, False)
    assert "the token in RAYPIPE_SERVE_TOKEN" in out
    assert [status for status, _ in visit.found.values()] == [401, 200]
