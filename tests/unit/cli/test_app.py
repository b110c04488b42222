from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from raypipe.cli.app import _command, _query_as_override, _quoted
from raypipe.cli.legacy_flags import LEGACY_FLAGS, explain_legacy_flags

NASTY = [
    "two friends quarrel: why, and who's to blame?",
    "a 'quoted' \"word\"",
    "costs ${money} and \\${more}",
    "back\\slash \\' at the end \\",
    "\\\\",
    "''",
    "commas, [brackets] {braces} (parens) a=b & | ; # %",
    "naïve café — dash … 書 🙂",
    "tab\there",
]


@pytest.mark.parametrize("text", NASTY)
def test_a_query_reaches_the_command_as_it_was_typed(text: str) -> None:
    override = OverridesParser.create().parse_override(f"query={_quoted(text)}")
    cfg = OmegaConf.create({"query": override.value()})
    assert cfg.query == text


def test_words_and_options_are_told_apart() -> None:
    args = ["two", "friends", "limit=5", "-cd", "mine", "why x=y"]
    assert _query_as_override(args) == ["limit=5", "-cd", "mine", "query='two friends why x=y'"]


def test_an_explicit_query_works_too() -> None:
    assert _query_as_override(["query=whale", "limit=1"]) == ["query=whale", "limit=1"]


def test_no_first_word_means_run() -> None:
    assert _command([]) == ("run", [])
    assert _command(["limit=3"]) == ("run", ["limit=3"])
    assert _command(["search", "x"]) == ("search", ["x"])


def test_an_unknown_command_is_named_with_its_choices(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        _command(["serch", "x"])
    assert caught.value.code == 2
    assert "'serch'; choose one of run, plan, index, retry" in capsys.readouterr().err


def test_old_flags_are_named_with_what_they_became() -> None:
    said = explain_legacy_flags(["run", "--bucket", "my-books", "--max-books=5", "limit=3"])
    assert said == (
        "options have no dashes here: --bucket is storage=s3 storage.bucket=BUCKET,"
        " --max-books is limit=100"
    )
    assert explain_legacy_flags(["limit=3", "--cfg", "job", "-m"]) == ""


def test_readme_maps_every_old_flag() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    rows = [row for row in readme.splitlines() if row.startswith("| `--")]
    assert {row.split("`")[1].split()[0] for row in rows} == set(LEGACY_FLAGS)
    options = {row.split("`")[1].split()[0]: row.split("`")[3] for row in rows}
    for flag, now in LEGACY_FLAGS.items():
        names = [one.partition("=")[0] for one in now.split()]
        assert [name for name in names if name not in options[flag]] == [], flag
