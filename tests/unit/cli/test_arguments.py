from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from raypipe.cli.arguments import move_flags_last, name_words, quote, quote_query
from raypipe.core.errors import OptionError

QUERIES = [
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


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_reaches_the_command_unchanged(query: str) -> None:
    override = OverridesParser.create().parse_override(f"query={quote(query)}")
    cfg = OmegaConf.create({"query": override.value()})
    assert cfg.query == query


def test_plain_words_become_the_query_and_options_stay() -> None:
    args = ["two", "friends", "limit=5", "-cd", "mine", "why x=y"]
    assert quote_query(args) == ["limit=5", "-cd", "mine", "query='two friends why x=y'"]


def test_the_words_of_a_copy_become_its_options() -> None:
    args = ["copy", "my state", "output=json", "-cd", "mine", "s3://bucket/a,b"]
    assert name_words("state", args) == [
        *("output=json", "-cd", "mine"),
        *("action='copy'", "source='my state'", "target='s3://bucket/a,b'"),
    ]
    assert name_words("state", ["target=x", "copy"]) == ["target=x", "action='copy'"]
    with pytest.raises(OptionError, match="'c': write `raypipe state copy FROM TO`"):
        name_words("state", ["copy", "a", "b", "c"])


def test_an_explicit_query_stays() -> None:
    assert quote_query(["query=whale", "limit=1"]) == ["query=whale", "limit=1"]


def test_flags_move_behind_the_overrides_with_their_values() -> None:
    args = ["--cfg", "job", "limit=5", "-m", "storage=s3"]
    assert move_flags_last(args) == ["limit=5", "storage=s3", "--cfg", "job", "-m"]


def test_the_word_of_a_command_becomes_its_option() -> None:
    assert name_words("show", ["my book.txt", "output=json"]) == [
        "output=json",
        "book='my book.txt'",
    ]
    assert name_words("status", ["7"]) == ["run='7'"]
    assert name_words("run", ["words"]) == ["words"]
    with pytest.raises(OptionError, match=r"'b\.txt': write `raypipe show KEY`, with quotes"):
        name_words("show", ["a", "b.txt"])
