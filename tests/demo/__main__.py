"""Process sample books in a folder of its own, and write the pictures of it: `make demo`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raypipe.embedded.sample_books import find_sample_books
from raypipe.simulator.model_server import ModelServer
from raypipe.simulator.options import FaultOptions, LatencyOptions, ServerOptions
from tests.demo import screenshots
from tests.demo.animation import draw_animation
from tests.demo.terminal import Output, record, replay
from tests.slow.chromium import browse, find_chromium

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
FOLDER = Path("/tmp/raypipe-demo")
"""Where the run works: commands print this path, so it names no user."""
QUERY = "two old friends fall out over a lighthouse"
SPEED = 2.0
TITLE = "raypipe run, then raypipe search"
DESCRIPTION = (
    "A terminal, played twice as fast as it was recorded, without longer waits. raypipe run lists "
    "the books, creates an index, and draws a table each second: a bar of the books, calls of the "
    "estimated calls, tokens, dollars of the budget, share of the quota, failed books by kind, "
    "memory and the time to go. At the end it prints the sums and the path of the report. raypipe "
    "search then finds books by a description."
)
_SETTINGS = """\
storage: local
storage.path: books
summarizer: openai
summarizer.model.base_url: {url}/v1
quota.tokens_per_minute: 100000
quota.max_in_flight: 4
budget.max_usd: 1
"""
_TIMEOUT_S = 240.0


def main() -> int:
    """Write all pictures; return an exit code."""
    if find_chromium() is None:
        print("Chromium is not installed (Debian: apt-get install chromium)", file=sys.stderr)
        return 1
    try:
        FOLDER.mkdir()
    except FileExistsError:
        print(f"{FOLDER} exists: remove it, another demo may use it", file=sys.stderr)
        return 1
    try:
        with _model_server() as url:
            _write_project(url)
            _call("up")
            try:
                _write_animation()
                _take_screenshots()
            finally:
                _call("down")
    finally:
        shutil.rmtree(FOLDER)
    for path in sorted(IMAGES.iterdir()):
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")
    return 0


@contextmanager
def _model_server() -> Iterator[str]:
    """Serve a model that takes six seconds and throttles some calls."""
    options = ServerOptions(
        latency=LatencyOptions(base_s=6.0, sigma=0.4), faults=FaultOptions(throttle=0.05)
    )
    with ModelServer(options) as server:
        yield server.url


def _write_project(url: str) -> None:
    """Write books that begin with their text: the model server quotes it as their summary."""
    (FOLDER / "books").mkdir()
    for key, path in find_sample_books().items():
        name = Path(key).name
        if "__by__" in name:
            (FOLDER / "books" / name).write_bytes(_remove_headings(path.read_bytes()))
    (FOLDER / "books" / "Blank_Pages__by__Nobody.txt").touch()
    (FOLDER / "raypipe.yaml").write_text(_SETTINGS.format(url=url))


def _remove_headings(book: bytes) -> bytes:
    """Return a book without the short paragraphs before its text, and numbers of chapters."""
    paragraphs = [each for each in re.split(rb"\r?\n\s*\n", book) if each.strip()]
    long = (n for n, each in enumerate(paragraphs) if len(each.strip().splitlines()) > 1)
    first = next(long, 0)
    kept = [each for each in paragraphs[first:] if not re.fullmatch(rb"\s*[IVX]+\.?\s*", each)]
    return b"\n\n".join(kept) + b"\n"


def _write_animation() -> None:
    outputs: list[Output] = []
    at = 0.0
    for shown, arguments, code in (
        ("raypipe run", ["run"], 3),  # 3: a book failed
        (f'raypipe search "{QUERY}" limit=2', ["search", QUERY, "limit=2"], 0),
    ):
        gap = "\r\n" if outputs else ""
        outputs.append(Output(at, f"{gap}$ {shown}\r\n".encode()))
        at += 1.0
        command = [sys.executable, "-m", "raypipe", *arguments]
        ended, recorded = record(command, FOLDER, _environment(), _TIMEOUT_S)
        if ended != code:
            raise RuntimeError(b"".join(each.data for each in recorded).decode())
        outputs += [Output(at + each.at, each.data) for each in recorded]
        at = outputs[-1].at + 3.0
    frames = replay(outputs, speed=SPEED, last_s=6.0)
    svg = draw_animation(frames, TITLE, DESCRIPTION)
    (IMAGES / "run.svg").write_text(svg, encoding="utf-8")


def _take_screenshots() -> None:
    [report] = FOLDER.glob("raypipe-data/state/runs/*-0001/report.html")
    with (
        _serve() as url,
        tempfile.TemporaryDirectory() as profile,
        browse(Path(profile)) as browser,
    ):
        screenshots.take(browser, screenshots.list_views(report.as_uri(), url, QUERY), IMAGES)


@contextmanager
def _serve() -> Iterator[str]:
    """Serve the page of the run; yield its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "raypipe", "serve", "port=0"],
        cwd=FOLDER, env=_environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        printed = process.stdout.readline()
        [url] = re.findall(r"^Page  (http://\S+)", printed)
        yield url
        process.send_signal(signal.SIGINT)
        process.wait(30)
    finally:
        process.kill()
        process.wait()


def _call(command: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "raypipe", command], cwd=FOLDER, env=_environment(), check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _environment() -> dict[str, str]:
    """Return the environment of commands, without settings of the developer."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RAYPIPE_", "OPENAI_", "AWS_"))
    }
    own = {"OPENAI_API_KEY": "simulated", "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    return {**kept, **own, "LANG": "C.UTF-8"}


if __name__ == "__main__":
    sys.exit(main())
