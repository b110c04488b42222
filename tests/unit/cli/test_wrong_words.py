from __future__ import annotations

import pytest

from raypipe.cli.wrong_words import check_flags, explain_command
from raypipe.core.errors import OptionError


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("serch", "did you mean search?"),
        ("Run", "did you mean run?"),
        ("prommote", "did you mean promote?"),
        ("list", "did you mean plan?"),
        ("start", "did you mean up?"),
        ("stop", "did you mean down?"),
        ("xyzzy", "choose one of run, plan"),
    ],
)
def test_an_unknown_command_gets_a_suggestion(word: str, expected: str) -> None:
    assert expected in explain_command(word)
    assert explain_command(word).startswith(f"there is no command {word!r}; ")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["5", "--limit"], "options have no dashes. Write limit=VALUE"),
        (["--limit=5"], "options have no dashes. Write limit=5"),
        (["-limit=5"], "options have no dashes. Write limit=5"),
        (["--storage.path=x"], "Write storage.path=x"),
        (["--max-attempts=2"], "Write max_attempts=2"),
        (["--hlep"], "did you mean --help?"),
        (["-help"], "did you mean --help?"),
        (["--multi-run"], "did you mean --multirun?"),
        (["-V"], "write --version"),
        (["--dry-run"], "raypipe plan"),
        (["--limti=5"], "did you mean limit?"),
        (["-x"], "see raypipe --help"),
        (["-"], "see raypipe --help"),
        (["--bucket=x"], "--bucket is storage=s3 storage.bucket=BUCKET"),
    ],
)
def test_an_unknown_flag_gets_a_suggestion(args: list[str], expected: str) -> None:
    with pytest.raises(OptionError) as caught:
        check_flags(args)
    assert expected in str(caught.value)


def test_hydras_flags_and_their_values_pass() -> None:
    check_flags(["limit=5", "-m", "--cfg", "job", "-cd", "folder"])
    check_flags(["--config-dir=mine", "--multirun"])
