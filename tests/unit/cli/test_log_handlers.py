from __future__ import annotations

import errno
import json
import logging
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from raypipe.cli import app, log_handlers
from raypipe.cli.log_handlers import JsonFormatter, LogFile, TerminalFormatter
from raypipe.core.errors import SetupError
from raypipe.core.exit_codes import ERROR
from raypipe.core.private_files import open_private


def record_with_traceback(message: str) -> logging.LogRecord:
    try:
        raise ValueError("inside")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    return logging.LogRecord("raypipe", logging.ERROR, "x.py", 1, message, (), info)


def test_the_terminal_gets_the_message_and_the_file_its_traceback() -> None:
    record = record_with_traceback("it broke")
    assert TerminalFormatter("%(message)s").format(record) == "it broke"
    assert "ValueError: inside" in logging.Formatter("%(message)s").format(record)
    assert TerminalFormatter("%(message)s").format(record) == "it broke", "in any order"


def test_a_log_that_cannot_be_written_is_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "processing.log"
    path.mkdir()
    handler = LogFile(path, delay=True)
    logger = logging.Logger("raypipe-test")  # noqa: LOG001 - not shared with other tests
    logger.addHandler(handler)
    for _ in range(3):
        logger.error("a line")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"raypipe: {path}: Is a directory; this run writes no log"]


def test_two_commands_write_two_files(tmp_path: Path) -> None:
    """The locks are of open files, so two handlers stand for two processes."""
    first, second = (LogFile(tmp_path / "processing.log", delay=True) for _ in range(2))
    for handler, text in ((first, "of the first"), (second, "of the second")):
        handler.emit(logging.makeLogRecord({"msg": text}))
    first.close()
    third = LogFile(tmp_path / "processing.log", delay=True)
    third.emit(logging.makeLogRecord({"msg": "of the third"}))
    for handler in (second, third):
        handler.close()
    assert (tmp_path / "processing.log").read_text() == "of the first\nof the third\n"
    assert Path(second.baseFilename).name == "processing-2.log"
    assert (tmp_path / "processing-2.log").read_text() == "of the second\n"


def test_other_users_cannot_read_a_log(tmp_path: Path) -> None:
    kept = tmp_path / "kept.log"
    kept.touch()
    kept.chmod(0o644)
    for path, mode in ((tmp_path / "processing.log", 0o600), (kept, 0o644)):
        handler = LogFile(path, delay=True)
        handler.emit(logging.makeLogRecord({"msg": "a line"}))
        handler.close()
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert path.read_text() == "a line\n"


def test_a_log_of_another_user_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tmp_path / "processing.log"
    first.write_text("of another user")

    def refuse(path: str, flags: int) -> int:  # tests may run as root
        if path == str(first):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return open_private(path, flags)

    monkeypatch.setattr(log_handlers, "open_private", refuse)
    handler = LogFile(first, delay=True)
    handler.emit(logging.makeLogRecord({"msg": "a line"}))
    handler.close()
    assert first.read_text() == "of another user"
    assert (tmp_path / "processing-2.log").read_text() == "a line\n"


def test_a_json_line_names_the_failed_book_and_hides_passwords() -> None:
    record = record_with_traceback("no answer of https://me:secret@host/\x1b[31m")
    record.key, record.stage, record.kind = "a\nb.txt", "read", "unreadable"
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "\x1b" not in line
    assert "secret" not in line
    fields = json.loads(line)
    assert (fields["key"], fields["stage"], fields["kind"]) == ("a\nb.txt", "read", "unreadable")
    assert fields["level"] == "error"
    assert fields["at"].endswith("+00:00")
    assert "ValueError: inside" in fields["traceback"]


def test_the_log_file_has_the_error_that_ended_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = LogFile(tmp_path / "processing.log", delay=True)
    monkeypatch.setattr(logging.getLogger(), "handlers", [file])

    def fail(args: Sequence[str]) -> int:
        raise SetupError("there is\nno bucket at https://me:secret@host/")

    monkeypatch.setattr(app, "run_command_line", fail)
    file.setFormatter(log_handlers.LineFormatter("%(levelname)s %(message)s"))
    assert app.run_and_explain(["run"]) == ERROR
    file.close()
    assert capsys.readouterr().err.startswith("raypipe: there is")
    (line,) = (tmp_path / "processing.log").read_text().splitlines()
    assert line.startswith(r"ERROR there is\nno bucket at https://")
    assert "secret" not in line
