"""The command lines of README and the guides, typed on real parts, a test's bucket and node."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from raypipe import embedded
from raypipe.cli.app import WITHOUT_JOB, split_command
from raypipe.cli.arguments import name_words, quote_query
from raypipe.embedded.services import Services
from tests.integration.raypipe_command import ROOT, run_in_process, write_book
from tests.integration.s3_server import CountingS3Server
from tests.unit.docs.pages import GUIDES, fenced
from tests.unit.models_here import model_server
from tests.unit.notify.receiver import receive

NODE = "https://search.example.org:9200"
FOLDER = "/data/books"
GPU = "http://gpu.example.org:8000/v1"
KEY = "austen/emma.txt"
SAMPLES = sorted((Path(embedded.__file__).parent / "samples").glob("*.txt"))
BUCKET = "my-books"
BOOKS = 6
WELL = (0, 4)
"""Exit codes of a command that did what it says; 4: books are left, by a limit or a prefix."""


FIRST = (
    "README.md",
    *(f"docs/guides/{name}.md" for name in ("your_books", "index_lifecycle", "failures")),
    "docs/guides/models_and_budgets.md",
)
"""Pages that are typed first, in this order: a rollback follows two indices of one embedder."""


def typed() -> list[str]:
    """Return the lines that README and the guides show, in the order in which they are typed."""
    names = [*FIRST, *(name for name in GUIDES if name not in FIRST)]
    lines = [line for name in names for line in fenced(GUIDES[name], "sh")]
    return [line for line in lines if line and not line.startswith("#")]


RAYPIPE = [line for line in typed() if line.startswith("raypipe ") and "ray=cluster" not in line]
MAKE = [line for line in typed() if re.match(r"make [a-z-]+ \w+=", line)]
ELSEWHERE = (
    *("make ", "pip install", "pip wheel", "export ", "ray ", "RAY_AUTH_MODE=token ray "),
    *("curl ", "while raypipe status "),
)
"""Typed by other tests (test_wheel, test_ray_up, test_completion, unit/web/test_api) or by the
person who runs these tests."""


def test_no_line_is_forgotten() -> None:
    others = [line for line in typed() if line not in RAYPIPE + MAKE]
    known = (*ELSEWHERE, "python -c", "raypipe run ray=cluster")
    assert [line for line in others if not line.startswith(known)] == []
    assert len(RAYPIPE) >= 10
    assert len(MAKE) == 3


@dataclass(frozen=True)
class Place:
    """Where the lines are typed."""

    folder: Path
    node: str
    s3: list[str]
    models: str
    key: str

    def args(self, command: str, args: list[str]) -> list[str]:
        """Return the arguments with what stands for the reader's own places."""
        words = [
            one.replace(NODE, self.node).replace(FOLDER, f"{self.folder}/books") for one in args
        ]
        words = [one.replace(GPU, f"{self.models}/v1") for one in words]
        words = quote_query(words) if command == "search" else words
        if command == "show":
            words = [word.replace(KEY, self.key) for word in words]
        if command == "state":  # it reaches S3 as the storage does
            own = ["storage=s3", f"storage.bucket={BUCKET}", *self.s3, "storage.anonymous=false"]
            return [*name_words(command, words), *own]
        words = name_words(command, words)
        s3 = self.s3 if "storage=s3" in words else []
        bedrock = self.bedrock if "summarizer=bedrock" in words else []
        named = any(one.startswith("summarizer.model.base_url=") for one in words)
        openai = "summarizer=openai" in words and not named
        url = [f"summarizer.model.base_url={self.models}/v1"] if openai else []
        # A reader chooses a summarizer; here one follows the other in one index.
        replace = ["replace=true"] if command in ("run", "retry") else []
        return [*words, *s3, *bedrock, *url, *replace]

    @property
    def bedrock(self) -> list[str]:
        """Return the options that lead to the model server instead of Bedrock."""
        return [f"summarizer.model.endpoint_url={self.models}", "summarizer.model.region=us-east-1"]


@pytest.fixture(scope="module")
def place(
    s3_server: CountingS3Server, tmp_path_factory: pytest.TempPathFactory, shared_ray: None
) -> Iterator[Place]:
    """Stand in an empty folder beside a bucket `my-books`, with an embedded node that is up."""
    s3_server.create_bucket(BUCKET)
    s3_server.create_bucket("my-backups")
    tmp_path = tmp_path_factory.mktemp("reader")
    books = tmp_path / "books"
    books.mkdir()
    for number in range(BOOKS):
        path = write_book(books, f"Book_{number:02d}")
        path.write_bytes(SAMPLES[number].read_bytes())  # no model can tell much of the other
        s3_server.put_object(BUCKET, f"novels/{path.name}", path.read_bytes())
    (tmp_path / "old-summaries").mkdir()
    old = {"title": "Book 01", "summary": path.read_text()[:200]}
    (tmp_path / "old-summaries" / "Book_01__by__Author_Book_01.json").write_text(json.dumps(old))
    keys = {f"novels/{path.name}" for path in books.iterdir()}
    (tmp_path / "processed_books.pkl").write_bytes(pickle.dumps(keys))
    with contextlib.chdir(tmp_path), model_server() as models:
        try:
            run_in_process("up", [])
            with Services(Path("raypipe-data")) as services:
                node = services.start_opensearch()
            reached = [f"storage.endpoint_url={s3_server.url}", "storage.anonymous=true"]
            yield Place(tmp_path, node, reached, models.url, f"novels/{path.name}")
        finally:
            run_in_process("down", [])
            s3_server.reset()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Receive notifications and metrics; it is no AWS, which harms no run."""
    with receive() as receiver:
        monkeypatch.setenv("RAYPIPE_SLACK_URL", receiver.url)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        for service in ("SNS", "CLOUDWATCH"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", receiver.url)
        yield


@pytest.mark.usefixtures("receiver")
def test_the_lines_do_what_they_say(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):  # a copy of a state is written
        monkeypatch.setenv(name, "simulated")
    for line in RAYPIPE:
        command, args = split_command(shlex.split(line, comments=True)[1:])
        if command in ("up", "down", "simulate", "serve", *WITHOUT_JOB) or "--help" in args:
            continue
        if any(arg.startswith("profile=") for arg in args):
            continue  # tests/integration/test_settings_run.py runs a settings file with profiles
        args = place.args(command, args)
        if "-m" in args:
            subprocess.run([sys.executable, "-m", "raypipe", command, *args], check=True)
        else:
            run_in_process(command, args, WELL)


def test_the_old_make_targets_do_what_they_say(place: Place) -> None:
    indexed = []
    for line in sorted(MAKE, reverse=True):  # the trial with three books first
        [call] = [one for one in expanded(line, place).splitlines() if "-m raypipe" in one]
        command, args = split_command(shlex.split(call.partition("-m raypipe ")[2]))
        record = json.loads(
            run_in_process(command, [*place.args(command, args), "output=json"], WELL)
        )
        indexed.append((line.split()[1], record["finished"], record["indexed"]))
    assert indexed == [
        ("test-processing", 3, 0),
        ("generate-summaries", BOOKS - 3, 0),
        ("bulk-index-summaries", 0, BOOKS),
    ]


def expanded(line: str, place: Place) -> str:
    """Return the commands that make would run for a line, on a ledger and an index of its own."""
    return subprocess.run(
        [*shlex.split(line, comments=True), "--dry-run", "-C", str(ROOT)],
        env={**os.environ, "INDEX_NAME": "made", "ARGS": f"state.uri={place.folder}/made"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_the_pickle_is_converted_as_the_guide_says(tmp_path: Path) -> None:
    (tmp_path / "processed_books.pkl").write_bytes(pickle.dumps({"b.txt", "a.txt"}))
    [line] = [one for one in typed() if one.startswith("python -c")]
    subprocess.run([sys.executable, *shlex.split(line)[1:]], cwd=tmp_path, check=True)
    assert json.loads((tmp_path / "processed_books.json").read_text()) == ["a.txt", "b.txt"]
