"""What needs no service is checked before a service starts, and leaves nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.command_line import RunCommandLine

pytestmark = pytest.mark.usefixtures("isolated_hydra", "no_services")

BOOKS = ("storage=local", "storage.path=books")
ALONE = ("executor=local", "opensearch=none")


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without AWS settings, and a folder with a book."""
    names = "AWS_REGION AWS_DEFAULT_REGION AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY"
    for name in (*names.split(), "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "a.txt").write_text("A tale.")
    (tmp_path / "empty").mkdir()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["run", "storage=local", "storage.path=nope"], "storage.path=nope is not a folder"),
        (["run", "storage=local", "storage.path=empty"], "no books found"),
        (["plan", "storage=local", "storage.path=nope"], "storage.path=nope is not a folder"),
        (["verify", "storage=local", "storage.path=nope"], "storage.path=nope is not a folder"),
        (["run", *BOOKS, "summarizer=bedrock"], "region"),
        (["run", *BOOKS, "summarizer=bedrock", "summarizer.model.region=us-east-1"], "credentials"),
        (["run", "storage=s3", "storage.bucket=b"], "no AWS credentials found"),
        (["index"], "there is no state at"),
        (["retry", *BOOKS], "there is no state at"),
        (["promote"], "there is no state at"),
        (["rollback"], "there is no state at"),
        (["gc"], "there is no state at"),
        (["verify", *BOOKS], "no OpenSearch node has run in"),
        (["search", "x"], "no OpenSearch node has run in"),
        (["run", *BOOKS[:1], "storage.path=empty", *ALONE], "no books found"),
    ],
)
def test_nothing_is_started_or_made(
    run_command_line: RunCommandLine, tmp_path: Path, args: Sequence[str], expected: str
) -> None:
    code, out, err = run_command_line(*args)
    assert (code, out) == (1, "")
    (line,) = (line for line in err.splitlines() if line.startswith("raypipe: "))
    assert expected in line
    assert not (tmp_path / "raypipe-data" / "state").exists()


@pytest.mark.parametrize(
    ("package", "options", "expected"),
    [
        ("wordllama", (), "pip install wordllama"),
        ("sentence_transformers", ("embedder=sentence_transformers",), "pip install"),
        ("moto", (), "pip install"),
    ],
)
def test_a_missing_package_is_found_before_a_service_starts(
    run_command_line: RunCommandLine,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    options: Sequence[str],
    expected: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    books = () if package == "moto" else BOOKS
    code, _, err = run_command_line("run", *books, *options)
    assert code == 1
    assert expected in err
    assert "unexpected" not in err
