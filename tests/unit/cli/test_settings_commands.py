"""`raypipe settings` shows origins, and `raypipe init` writes a file that the commands read."""

from __future__ import annotations

import io
import json
import re
import shlex
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from raypipe.cli.app import WITHOUT_JOB
from raypipe.cli.settings.file import parse_settings, read_settings
from raypipe.cli.settings.write import format_settings, format_yaml
from tests.unit.cli.test_settings_file import SCALARS
from tests.unit.command_line import RunCommandLine
from tests.unit.docs.pages import PAGES, README, fenced

pytestmark = pytest.mark.usefixtures("isolated_hydra", "no_services")

BOOKS = ("storage=s3", "storage.bucket=my-books", "summarizer=bedrock")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_settings_shows_values_and_origins(
    run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    (tmp_path / "raypipe.yaml").write_text(
        "storage: s3\nstorage.bucket: b\nopensearch.index: ${x}\nprofiles: {p: {state.uri: s3://b/state}}\n"
    )
    args = ("storage.prefix=novels/", "profile=p")
    code, out, err = run_command_line("settings", *args)
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in out.splitlines() if "=" in line}
    assert rows["storage=s3"] == "raypipe.yaml:1"
    assert rows["storage.bucket=b"] == "raypipe.yaml:2"
    assert rows["opensearch.index=${x}"] == "raypipe.yaml:3"
    assert rows["state.uri=s3://b/state"] == "raypipe.yaml:4, profile p"
    assert rows["storage.prefix=novels/"] == "command line"
    assert rows["summarizer=extractive"] == rows["max_attempts=3"] == "default"
    assert f"settings  {tmp_path}/raypipe.yaml, profile p" in out
    code, out, _ = run_command_line("settings", "search", "output=json", "embedder=hash")
    report = json.loads(out)
    assert (code, report["command"], report["profile"]) == (0, "search", None)
    origins = {row["option"]: (row["value"], row["origin"]) for row in report["settings"]}
    assert origins["embedder"] == ("hash", "command line")
    assert origins["limit"] == (5, "default")
    assert "storage" not in origins


def test_the_settings_file_and_the_lines_of_the_guide_are_valid(
    run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    page = PAGES["docs/guides/settings_file.md"]
    [block] = read_yaml_blocks(page)
    lines = [shlex.split(line, comments=True)[1:] for line in fenced(page, "sh")]
    assert [line[0] for line in lines] == ["init", "settings", "settings", "run", "search"]
    for line in lines:
        if line[0] == "run":
            (tmp_path / "raypipe.yaml").write_text(block)
        shown = [] if line[0] in WITHOUT_JOB else ["--cfg", "job"]
        code, out, err = run_command_line(*line, *shown)
        assert (code, bool(out)) == (0, True), err
        if line[0] == "run":
            assert OmegaConf.create(out).state.uri == "raypipe-data/trial"


def test_the_settings_file_in_readme_is_valid(
    run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    [block] = read_yaml_blocks(README)
    (tmp_path / "raypipe.yaml").write_text(block)
    code, out, err = run_command_line("run", "--cfg", "job")
    assert code == 0, err
    assert OmegaConf.create(out).state.uri == "s3://my-books/raypipe"


def read_yaml_blocks(page: str) -> list[str]:
    """Return the YAML blocks of a page."""
    blocks: list[str] = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return blocks


def test_settings_without_a_file_and_without_secrets(run_command_line: RunCommandLine) -> None:
    endpoint, token = "opensearch.endpoint=https://h:9200", "opensearch.connection.token=geheim123"
    code, out, _ = run_command_line("settings", "opensearch=self_managed", endpoint, token)
    assert code == 0
    assert "settings  none: there is no raypipe.yaml here" in out
    assert "geheim123" not in out
    Path("raypipe.yaml").write_text("limit: 3\n")
    assert (
        "none: raypipe.yaml is switched off"
        in run_command_line("settings", "--settings", "none")[1]
    )


def test_init_writes_a_commented_private_file(
    run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    code, out, err = run_command_line("init", *BOOKS, "limit=10", "search.fusion=rrf")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "  raypipe plan"
    path = tmp_path / "raypipe.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "# Process at most this many books; null: all books.\nlimit: 10\n" in text
    assert "# A chat model on Amazon Bedrock" in text
    settings = read_settings(None, None)
    assert settings is not None
    assert {entry.key: entry.value for entry in settings.shared} == {
        "storage": "s3",
        "storage.bucket": "my-books",
        "summarizer": "bedrock",
        "limit": 10,
        "search.fusion": "rrf",
    }
    before = path.read_bytes()
    code, _, err = run_command_line("init", "limit=3")
    assert (code, err) == (
        2,
        "raypipe: raypipe.yaml exists already. Fix: edit it, or add force=true\n",
    )
    assert path.read_bytes() == before
    assert run_command_line("init", "limit=3", "force=true")[0] == 0
    assert "\nlimit: 3\n" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    code, out, _ = run_command_line("init", "limit=3", "--settings", "other.yaml")
    assert (code, out.splitlines()[-1]) == (0, "  raypipe plan --settings other.yaml")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["storage=s4"], "storage: choose one of local, s3, samples"),
        (["limit=abc"], "must be a whole number"),
        (["search.fusion=sum"], "choose scores or rrf"),
        (["text.min_words=x"], "must be a whole number"),
        (["opensearch.connection.password=geheim123"], "holds a secret"),
        (["~storage"], "single value"),
        (["storage=local", "storage.path", "a"], "write storage.path=VALUE"),
        (["profile=x"], "init writes no profiles"),
        (["force=maybe"], "must be true or false"),
        (["--cfg", "job"], "no flag --cfg"),
        (["--settings", "gone/x.yaml"], "cannot be written"),
    ],
)
def test_init_refuses_what_a_command_would_refuse(
    args: list[str], message: str, run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    code, out, err = run_command_line("init", *args)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert "geheim123" not in err
    assert list(tmp_path.iterdir()) == []


def test_init_asks_on_a_terminal_for_what_was_not_given(
    run_command_line: RunCommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    answers = "my-books\nhttps://x.us-east-1.es.amazonaws.com\n\n"
    monkeypatch.setattr("sys.stdin", Terminal(answers))
    code, out, err = run_command_line("init", "summarizer=bedrock")
    assert (code, err) == (0, "")
    assert "summarizer (" not in out
    assert "embedder (" in out
    settings = read_settings(None, None)
    assert settings is not None
    assert {entry.key: entry.value for entry in settings.shared} == {
        "summarizer": "bedrock",
        "storage": "s3",
        "storage.bucket": "my-books",
        "opensearch": "aws_managed",
        "opensearch.endpoint": "https://x.us-east-1.es.amazonaws.com",
        "embedder": "wordllama",
    }


def test_an_interrupted_init_writes_nothing(
    run_command_line: RunCommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", Terminal("my-books\n"))
    code, _, err = run_command_line("init")
    assert (code, "nothing was written" in err) == (2, True)
    assert list(tmp_path.iterdir()) == []


VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab: #", max_size=4), inner)
    ),
    max_leaves=6,
)


@given(VALUES)
def test_a_value_is_read_as_it_was_written(value: Any) -> None:
    text = f"summarizer.model.extra: {format_yaml(value)}\n"
    settings = parse_settings(text, Path("raypipe.yaml"))
    assert settings.shared[0].value == value, format_yaml(value)


def test_the_examples_in_comments_are_valid() -> None:
    text = format_settings({})
    options = [line[2:] for line in text.splitlines() if line.startswith("# ") and ": " in line]
    lines = [
        line for line in options if line.split(":")[0].replace("_", "").replace(".", "").isalpha()
    ]
    active = "\n".join(line for line in lines if not line.startswith(("Choices", "No secrets")))
    assert len(parse_settings(active.split("profiles:")[0], Path("x.yaml")).shared) >= 7


def test_a_class_that_cannot_be_loaded_is_named_with_its_cause(
    run_command_line: RunCommandLine,
) -> None:
    args = ["storage=samples", "opensearch=none", "summarizer._target_=no_module.Parts"]
    code, _, err = run_command_line("init", *args)
    assert (code, err.count("\n")) == (2, 1)
    assert "summarizer._target_=no_module.Parts: there is no module no_module; put it" in err
