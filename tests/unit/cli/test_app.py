from __future__ import annotations

import pytest

from raypipe.cli.app import split_command
from raypipe.core.errors import OptionError


def test_the_first_word_is_the_command_and_run_is_the_default() -> None:
    assert split_command([]) == ("run", [])
    assert split_command(["limit=3"]) == ("run", ["limit=3"])
    assert split_command(["search", "x"]) == ("search", ["x"])


def test_an_error_about_an_unknown_command_lists_the_commands() -> None:
    with pytest.raises(OptionError, match="'serch'; choose one of run, plan, index, retry"):
        split_command(["serch", "x"])
