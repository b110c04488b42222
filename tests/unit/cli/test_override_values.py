"""Values outside Hydra's grammar arrive as text; values inside it keep Hydra's meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from raypipe.cli.override_values import accept_text, describe_repeated
from raypipe.cli.settings.file import parse_settings
from raypipe.cli.settings.merge import merge_arguments
from raypipe.core.errors import OptionError


def read_value(arg: str, command: str = "run") -> Any:
    [accepted] = accept_text(command, [arg])
    override = OverridesParser.create().parse_override(accepted)
    assert not override.is_sweep_override()
    config: Any = OmegaConf.create({"value": override.value()})
    values: Any = OmegaConf.to_container(config, resolve=True)
    return values["value"]


@pytest.mark.parametrize(
    "text",
    [
        "/data/Bücher (alt)/a=b,#1~",
        "書/本",
        "~/books",
        "~",
        "a,b",
        "/x,y/z",
        "a=b=c",
        "it's",
        "'it",
        'a "word',
        "books(2024)",
        "{old} books",
        "[old] books",
        "x} y] z)",
        "50% off; a&b|c <d> `e` ^f !g",
        "${HOME",
        "cost $5",
        "C:\\books\\",
        "two\nlines",
    ],
)
def test_text_that_hydra_cannot_read_arrives_unchanged(text: str) -> None:
    assert read_value(f"storage.path={text}") == text


_OUTSIDE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    # Hydra's own meanings: blanks around a value, escapes, quotes, references, lists and mappings.
    lambda text: text.strip() == text and not set(text) & set("\\'\"${}[]()")
)


@given(_OUTSIDE)
def test_any_text_with_a_character_outside_the_grammar_arrives_unchanged(text: str) -> None:
    assert read_value(f"storage.path={text}#") == f"{text}#"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("1e3", 1000.0),
        ("null", None),
        ("true", True),
        ("", ""),
        ("'5'", "5"),
        ("[a,b]", ["a", "b"]),
        ("[.tëxt,.md]", [".tëxt", ".md"]),
        ("a b", "a b"),
        ("str(5)", "5"),
        ("${oc.env:NO_SUCH_NAME,x}/Bücher", "x/Bücher"),
    ],
)
def test_values_of_the_grammar_keep_their_meaning(text: str, value: object) -> None:
    assert read_value(f"storage.path={text}") == value


@pytest.mark.parametrize(
    "arg",
    [
        "summarizer.model.extra={top_k: 5, stop: [a, b]}",
        '+summarizer.model.extra={"top_k": 5, "stop": ["a", "b"]}',
        'summarizer.model.extra={"top_k": 5, "stop": ["a", "b"]}',
    ],
)
def test_a_mapping_may_have_names_that_no_file_shows(arg: str) -> None:
    [accepted] = accept_text("run", [arg])
    assert accepted.startswith("+")
    override = OverridesParser.create().parse_override(accepted)
    assert override.value() == {"top_k": 5, "stop": ["a", "b"]}


def test_a_name_in_an_empty_table_is_added() -> None:
    assert accept_text("run", ["summarizer.model.extra.top_k=5"]) == [
        "++summarizer.model.extra.top_k=5"
    ]
    assert accept_text("run", ["summarizer.model.region=x"]) == ["summarizer.model.region=x"]


def test_a_settings_file_adds_a_name_in_an_empty_table_too() -> None:
    text = "summarizer: bedrock\nsummarizer.model.extra.top_k: 5\n"
    settings = parse_settings(text, Path("raypipe.yaml"))
    assert "++summarizer.model.extra.top_k=5" in merge_arguments("run", [], settings).args


def test_a_multirun_keeps_its_values_and_asks_for_quotes() -> None:
    args = ["storage.path=a,b", "limit=range(1,3)", "-m"]
    assert accept_text("run", args) == args
    with pytest.raises(OptionError, match="single quotes around each value"):
        accept_text("run", ["storage.path=/ä,/b", "-m"])


def test_flags_choices_and_deletions_stay() -> None:
    args = ["~storage", "summarizer=lead,extractive", "-cd", "my (folder)", "--cfg", "job"]
    assert accept_text("run", args) == args


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["limit", "=", "5"], "write limit=5"),
        (["limit =", "5"], "write limit=5"),
        (["limit = 5"], "write limit=5"),
        (["limit:5"], "write limit=5"),
        (["'limit=5'"], "write limit=5"),
        (["limit"], "write limit=VALUE"),
        (["storage = S3"], "write storage=s3"),
        (["bedrock"], "write summarizer=bedrock"),
        (["search"], "search is a command"),
        (["s3://my-books/novels/"], "storage=s3 storage.bucket=my-books storage.prefix=novels/"),
        (["./books"], "storage=local storage.path=./books"),
        ([""], "an argument is empty"),
        (["a.ü=3"], "there is no option a.ü"),
        (["limitt"], "did you mean limit?"),
        (["nonsense"], "raypipe run --help"),
    ],
)
def test_an_argument_that_is_no_option_gets_a_way_out(args: list[str], expected: str) -> None:
    with pytest.raises(OptionError) as caught:
        accept_text("run", args)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_option_with_several_values_is_named() -> None:
    args = ["limit=1", "limit=2", "adopt=true", "adopt=true", "+x=1", "+x=2"]
    assert describe_repeated(args) == ["limit is given 2 times; limit=2 is used"]
