"""Keys, titles and answers of others do not act on the terminal and forge no lines."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from raypipe.cli import app
from raypipe.cli.format_hits import format_hits
from raypipe.cli.log_handlers import LineFormatter, TerminalFormatter
from raypipe.opensearch.search import Hit
from tests.unit.command_line import RunCommandLine

FORGED = "\x1b[2J\n2026-01-01 done 1000000"
ESCAPED = r"\x1b[2J\n2026-01-01 done 1000000"


def is_clean(text: str) -> bool:
    return all(
        line.isprintable() and not line.startswith("2026-01-01") for line in text.split("\n")
    )


@pytest.mark.usefixtures("isolated_hydra", "no_services")
def test_a_run_with_a_hostile_key(run_command_line: RunCommandLine, tmp_path: Path) -> None:
    books = tmp_path / "books"
    books.mkdir()
    (books / f"a{FORGED}.txt").write_text("Too short.")
    (books / f"b{FORGED}.txt").write_text("A tale of the sea and of the storm. " * 200)
    options = ["storage=local", f"storage.path={books}", "opensearch=none", "executor=local"]
    options += ["summarizer=lead", "embedder=hash"]
    code, out, err = run_command_line("run", *options)
    assert code == 3, err
    assert is_clean(out)
    assert is_clean(err)
    assert f"a{ESCAPED}.txt" in out
    assert is_clean((tmp_path / "processing.log").read_text())
    # What is kept has the key itself.
    code, out, _ = run_command_line("export", f"to={tmp_path / 'all.jsonl'}")
    assert code == 0
    lines = (tmp_path / "all.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == [f"b{FORGED}.txt"]


def test_search_hits() -> None:
    values = {"title": f"T{FORGED}", "author": f"A{FORGED}", "summary": f"S\x9b1m{FORGED}\u202e"}
    fields = {name: values.get(name, "") for name in ("book_id", "key", "title", "author")}
    hit = Hit(rank=1, score=1.0, summary=values["summary"], **{**fields, "key": f"K{FORGED}"})
    text = format_hits([hit])
    assert is_clean(text)
    assert len(text.split("\n")) == 2
    for letter in "TAK":
        assert f"{letter}{ESCAPED}" in text


def log_record(message: str, *args: object, error: Exception | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("raypipe", logging.ERROR, "x.py", 1, message, args, info)


def test_log_lines() -> None:
    try:
        raise ValueError(f"bad{FORGED} at https://me:pa55@host")
    except ValueError as error:
        record = log_record("%s: https://me:pa55@host", f"k{FORGED}", error=error)
    text = LineFormatter("%(asctime)s %(message)s").format(record)
    assert is_clean(text)
    assert "pa55" not in text
    first, *traceback = text.split("\n")
    assert first.endswith(f"k{ESCAPED}: https://(not kept)@host")
    assert "    Traceback (most recent call last):" in traceback
    assert all(line.startswith("    ") for line in traceback)
    assert TerminalFormatter("%(message)s").format(record) == f"k{ESCAPED}: https://(not kept)@host"


def test_errors_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    app._print_error(f"no{FORGED} at https://me:pa55@host", 1)
    assert capsys.readouterr().err == f"raypipe: no{ESCAPED} at https://(not kept)@host\n"


@pytest.mark.usefixtures("isolated_hydra", "no_services")
@pytest.mark.parametrize(
    "args",
    [
        [f"run{FORGED}"],
        ["run", f"nosuch{FORGED}=1"],
        ["run", f"limit=1{FORGED}"],
        ["run", f"storage={FORGED}"],
        ["run", f"--nosuch{FORGED}"],
        ["run", f"profile={FORGED}"],
        ["run", "--settings", FORGED],
        ["settings", "run", f"opensearch.index='{FORGED}'"],
        ["run", "--help", f"opensearch.index='{FORGED}'"],
        ["search", "x", f"opensearch.index='{FORGED}'", f"embedder={FORGED}"],
    ],
)
def test_command_lines(run_command_line: RunCommandLine, args: list[str]) -> None:
    code, out, err = run_command_line(*args)
    assert is_clean(out)
    assert is_clean(err)
    assert code in (0, 2)


def test_the_command_line_prints_through_the_escapes() -> None:
    """`join_lines` and `to_json` replace `"\\n".join` and `json.dumps` where texts are printed."""
    folder = Path(app.__file__).parent
    fixed = {"config_comments.py", "program.py", "write.py"}  # texts of raypipe, or of a file
    for path in folder.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if path.name not in fixed:
            assert '"\\n".join(' not in source, path
            assert "json.dumps(" not in source, path
