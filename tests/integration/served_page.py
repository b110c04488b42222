"""A project whose books are indexed, and `raypipe serve` as a process on it."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from tests.integration.raypipe_command import Project, wait_for, write_book

SCRIPT = "<script>alert(1)"
"""Title of a book, which its file's name gives; a name has no slash."""


def index_books(project: Project) -> None:
    """Index three books, one with a hostile title, and record a failure."""
    write_book(project.books, "Harbor_Lamp", "tells of a lighthouse keeper")
    write_book(project.books, "Winter_Orchard", "tells of apples and frost")
    write_book(project.books, SCRIPT)
    (project.books / "empty.txt").write_text("")
    project.command("run", *project.run_options(), code=3)


def options(project: Project, *more: str) -> list[str]:
    """Return the options of a page on a project."""
    state = f"state.uri={project.state}"
    return [*project.index_options(), "embedder=hash", state, "port=0", *more]


@contextlib.contextmanager
def serve(project: Project, *more: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve a page on a project; yield its URL and the process. At the end it is interrupted."""
    process = project.start("serve", *options(project, *more), log="-serve")
    try:
        wait_for(lambda: "http://" in project.stdout("-serve") or process.poll() is not None)
        assert process.poll() is None, project.stderr("-serve")
        [url] = re.findall(r"^Page  (http://\S+)  ", project.stdout("-serve"))
        yield url, process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    finally:
        process.kill()
        process.wait()


def get(url: str, **headers: str) -> tuple[int, str]:
    """Return status and text of a response."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, headers=names)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def get_json(url: str) -> Any:
    """Return the JSON of a response that must be a success."""
    status, text = get(url)
    assert status == 200, text
    return json.loads(text)
