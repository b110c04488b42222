"""The command line as a person or a script meets it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from raypipe.ledger.checkpoint import Checkpoint, Processed
from raypipe.sources.s3 import S3BookSource
from raypipe.state.factory import open_state
from tests.integration.raypipe_command import (
    PARTS,
    Project,
    check_balance,
    project,
    shared_ray,
    write_book,
)
from tests.integration.s3_server import CountingS3Server, s3

__all__ = ["project", "s3", "shared_ray"]

pytestmark = pytest.mark.integration

MANY = 2_500


def test_a_rerun_with_everything_processed_does_nothing(
    project: Project, s3: CountingS3Server, shared_ray: None
) -> None:
    s3.create_bucket(project.index)
    for number in range(MANY):
        s3.put_object(
            project.index, f"{number:04d}.txt", f"Tale {number} is short. It ends here.".encode()
        )
    store = s3.options(project.index)
    args = project.options_without_source(
        *store,
        f"storage._target_={PARTS}.JournalingS3Source",
        f"+storage.journal={project.journal.folder}",
        "text.min_words=1",
    )
    first = project.run("limit=20", args=args)
    assert (first["indexed"], first["left"], len(s3.gets)) == (20, MANY - 20, 20)
    call_all_processed(project, S3BookSource(project.index, endpoint_url=s3.url, anonymous=True))
    s3.gets.clear()
    s3.listings = 0
    project.journal.take("summaries")

    record = json.loads(project.command("run", *args, python=["-X", "importtime"]))
    check_balance(record)
    assert (record["listed"], record["skipped"], record["model_calls"]) == (MANY, MANY, 0)
    assert (s3.gets, project.journal.lines("summaries")) == ([], [])
    assert s3.listings >= 3, "1,000 keys a page"
    imported = re.findall(r"^import time:.*\|\s+([\w.]+)$", project.stderr(), re.MULTILINE)
    assert "raypipe.run.runner" in imported
    assert not [name for name in imported if name.partition(".")[0] == "ray"]
    assert "nothing to do" in project.stderr()
    assert (project.processes(), project.files_in_home()) == ([], [])


def call_all_processed(project: Project, store: S3BookSource) -> None:
    """Say of every listed book in the ledger what it says of those that a run processed."""
    checkpoint = Checkpoint(open_state(str(project.state)))
    [one, *_] = checkpoint.read_run(1).to_pylist()
    rows = [Processed(**{**one, "book_id": b.book_id, "etag": b.etag}) for b in store.list_books()]
    checkpoint.append(rows, one["run_seq"], "test", 0)


WRONG = {
    "bucket": (
        ["storage=s3", "storage.bucket=nowhere", "storage.endpoint_url={s3}"],
        "the bucket does not exist",
    ),
    "s3": (
        ["storage=s3", "storage.bucket=b", "storage.endpoint_url={nobody}"],
        "no server answers",
    ),
    "prefix": (
        [
            "storage=s3",
            "storage.bucket=bad-input",
            "storage.prefix=nothing/",
            "storage.endpoint_url={s3}",
        ],
        "no books found: s3://bad-input/nothing/* with keys that end with .txt",
    ),
    "credentials": (["storage=s3", "storage.bucket=b"], "no AWS credentials found"),
    "profile": (
        ["storage=s3", "storage.bucket=b", "storage.profile=unheard-of"],
        "the profile is not in the AWS configuration",
    ),
    "opensearch": (["storage=local", "storage.path=.", "opensearch.endpoint={nobody}"], "{nobody}"),
    "scheme": (["storage=local", "storage.path=.", "opensearch.endpoint={tls}"], "{tls}"),
    "folder": (["storage=local", "storage.path=nothing-there"], "nothing-there is not a folder"),
    "state": (["storage=local", "storage.path=.", "state.uri=old-state"], "has version 99"),
}


def test_what_stops_a_run_is_one_clear_line(
    tmp_path: Path, opensearch_url: str, s3: CountingS3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"s3": s3.url, "nobody": "http://127.0.0.1:9"}
    places["tls"] = opensearch_url.replace("http:", "https:")
    s3.create_bucket("bad-input")
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    runs = {}
    for name, (options, said) in WRONG.items():
        project = Project(tmp_path / name, opensearch_url)
        (project.folder / "old-state").mkdir()
        (project.folder / "old-state" / "state.json").write_text('{"id": "x", "version": 99}')
        filled = [one.format(**places) for one in options]
        reached = any("storage.endpoint_url" in one for one in options)
        anonymous = ["storage.anonymous=true"] if reached else []
        process = project.start("run", *project.options_without_source(*filled, *anonymous))
        runs[name] = (project, process, said.format(**places))
    for project, process, said in runs.values():
        project.wait_for_exit(process, 1)
        lines = [line for line in project.stderr().splitlines() if line.startswith("raypipe: ")]
        assert len(lines) == 1, project.stderr()
        assert said in lines[0]
        assert "Traceback" not in project.stderr()
        assert project.stdout() == ""
        project.clean_up()


def test_search_and_verify_print_json_and_nothing_else(project: Project, shared_ray: None) -> None:
    write_book(project.books, "Lighthouse", "lets two friends quarrel over the lamp")
    write_book(project.books, "Garden", "grows beans and roses behind the wall")
    project.run()
    index = [*project.index_options(), "embedder=hash", "output=json"]
    query = 'two friends quarrel: why, and who\'s to blame? {lamp} [x] 50% $ \\ "so" = (a|b)'
    hits = json.loads(project.command("search", query, "limit=2", *index))["hits"]
    assert list(hits[0]) == ["rank", "book_id", "key", "title", "author", "score", "summary"]
    assert (hits[0]["rank"], hits[0]["title"]) == (1, "Lighthouse")
    args = ["storage=local", f"storage.path={project.books}", "storage.name=test-books"]
    state = f"state.uri={project.state}"
    report = json.loads(
        project.command("verify", *args, *project.index_options(), state, "output=json")
    )
    assert (report["good"], report["exit_code"]) == (2, 0)
    assert project.files_in_home() == []
