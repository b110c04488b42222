"""The command line: reruns, wrong options, and the JSON output of search and verify."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from raypipe.ledger.checkpoint import Checkpoint, Processed
from raypipe.sources.s3 import S3BookSource
from raypipe.state.factory import open_state
from tests.integration.raypipe_command import PARTS, Project, check_balance, write_book
from tests.integration.s3_server import CountingS3Server

MANY = 2_500
"""Books that need three pages of a listing."""


def test_a_rerun_with_everything_processed_does_nothing(
    project: Project, s3: CountingS3Server
) -> None:
    s3.create_bucket(project.index)
    for number in range(MANY):
        s3.put_object(
            project.index, f"{number:04d}.txt", f"Tale {number} is short. It ends here.".encode()
        )
    args = project.options_without_source(
        *s3.options(project.index),
        f"storage._target_={PARTS}.JournalingS3Source",
        f"+storage.journal={project.journal.folder}",
        "text.min_words=1",
    )
    first = project.run("limit=20", args=args)
    assert (first["indexed"], first["left"], len(s3.gets)) == (20, MANY - 20, 20)
    source = S3BookSource(project.index, endpoint_url=s3.url, anonymous=True)
    record_all_as_processed(project, source)
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


def record_all_as_processed(project: Project, source: S3BookSource) -> None:
    """Write every listed book into the ledger and the index, like the books of run 1."""
    from opensearchpy.helpers import bulk

    checkpoint = Checkpoint(open_state(str(project.state)))
    [row, *_] = checkpoint.read_run(1).to_pylist()
    rows = [
        Processed(**{**row, "book_id": book.book_id, "etag": book.etag})
        for book in source.list_books()
    ]
    checkpoint.append(rows, row["run_seq"], "test", 0)
    documents = [
        {
            "_index": project.index,
            "_id": processed.book_id,
            "book_id": processed.book_id,
            "etag": processed.etag,
            "document_recipe": processed.recipe,
            "run_seq": processed.run_seq,
        }
        for processed in rows
    ]
    bulk(project.client(), documents, refresh=True)


WRONG_OPTIONS = {  # options, and words of the error line
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


def test_wrong_options_give_one_error_line(
    tmp_path: Path, opensearch_url: str, s3: CountingS3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {"s3": s3.url, "nobody": "http://127.0.0.1:9"}
    urls["tls"] = opensearch_url.replace("http:", "https:")
    s3.create_bucket("bad-input")
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    runs = {}
    for name, (options, words) in WRONG_OPTIONS.items():
        project = Project(tmp_path / name, opensearch_url)
        (project.folder / "book.txt").write_text("A book of the current folder.")
        (project.folder / "old-state").mkdir()
        (project.folder / "old-state" / "state.json").write_text('{"id": "x", "version": 99}')
        options = [option.format(**urls) for option in options]
        has_endpoint = any("storage.endpoint_url" in option for option in options)
        options += ["storage.anonymous=true"] if has_endpoint else []
        process = project.start("run", *project.options_without_source(*options))
        runs[name] = (project, process, words.format(**urls))
    for project, process, words in runs.values():
        project.wait_for_exit(process, 1)
        lines = [line for line in project.stderr().splitlines() if line.startswith("raypipe: ")]
        assert len(lines) == 1, project.stderr()
        assert words in lines[0]
        assert "Traceback" not in project.stderr()
        assert project.stdout() == ""
        project.clean_up()


def test_search_and_verify_print_only_json(project: Project) -> None:
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
