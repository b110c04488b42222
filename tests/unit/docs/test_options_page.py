"""docs/options.md is what conf/ says, option by option."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from raypipe.cli import app as cli
from raypipe.cli.config_docs import choices, groups
from raypipe.config import build as config
from tests.options_page import page

DOCS = Path(__file__).parents[3] / "docs" / "options.md"
SECTIONS = dict(re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", page(), re.MULTILINE))


def test_the_page_is_up_to_date() -> None:
    assert DOCS.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_command_and_every_choice_has_its_section() -> None:
    files = [path for path in config.conf_dir().glob("*/*.yaml") if path.parent.name != "base"]
    chosen = {f"{path.parent.name}={path.stem}" for path in files if path.parent.name != "hydra"}
    assert set(SECTIONS) == chosen | {f"raypipe {command}" for command in cli.COMMANDS}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_option_says_what_it_is(section: str) -> None:
    rows = re.findall(r"^\| `([^`]+)` \| `(.*?)` \| (.*) \|$", SECTIONS[section], re.MULTILINE)
    assert [option for option, _, about in rows if len(about.strip()) < 10] == []
    assert len(rows) == SECTIONS[section].count("\n| `")


def test_options_stand_with_their_whole_names_and_defaults() -> None:
    assert "| `storage.bucket` | `???` | The bucket's name. |" in SECTIONS["storage=s3"]
    assert "| `stages.summarize.books_per_task` | `256` |" in SECTIONS["scale=very_large"]
    assert (
        "| `opensearch.connection.verify_certs` | `true` |" in SECTIONS["opensearch=self_managed"]
    )
    assert "| `breaker.max_share` | `0.5` |" in SECTIONS["raypipe run"]  # a shared file's
    assert "_target_" not in page()


def test_links_lead_to_sections() -> None:
    slugs = {re.sub(r"[^\w -]", "", name).replace(" ", "-") for name in SECTIONS}
    assert set(re.findall(r"\]\(#([^)]+)\)", page())) == slugs


def test_the_groups_of_a_command_are_those_it_composes() -> None:
    assert groups("up") == {}
    assert groups("search") == {"embedder": "wordllama", "opensearch": "embedded"}
    assert groups("run")["storage"] == "samples"
    assert choices("scale") == ["small", "medium", "large", "very_large"]  # by size
