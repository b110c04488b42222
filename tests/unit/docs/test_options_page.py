"""The page of options has every section, and an explanation of every option."""

from __future__ import annotations

import re

import pytest

from raypipe.cli.help_text.config_comments import default_choices, group_choices
from raypipe.cli.help_text.program import COMMANDS
from raypipe.config.paths import conf_dir
from tests.generated_pages.options import format_page

SECTIONS = dict(re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", format_page(), re.MULTILINE))


def test_every_command_and_every_choice_has_a_section() -> None:
    files = [path for path in conf_dir().glob("*/*.yaml") if path.parent.name != "base"]
    chosen = {f"{path.parent.name}={path.stem}" for path in files if path.parent.name != "hydra"}
    assert set(SECTIONS) == chosen | {f"raypipe {command}" for command in COMMANDS}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_option_has_an_explanation(section: str) -> None:
    rows = re.findall(r"^\| `([^`]+)` \| `(.*?)` \| (.*) \|$", SECTIONS[section], re.MULTILINE)
    assert [option for option, _, comment in rows if len(comment.strip()) < 10] == []
    assert len(rows) == SECTIONS[section].count("\n| `")


def test_options_have_their_full_names_and_defaults() -> None:
    assert "| `storage.bucket` | `???` | Name of the bucket. |" in SECTIONS["storage=s3"]
    assert "| `stages.summarize.books_per_task` | `256` |" in SECTIONS["scale=very_large"]
    assert (
        "| `opensearch.connection.verify_certs` | `true` |" in SECTIONS["opensearch=self_managed"]
    )
    assert "| `breaker.max_share` | `0.5` |" in SECTIONS["raypipe run"]  # from a shared file
    assert "_target_" not in format_page()


def test_links_lead_to_sections() -> None:
    slugs = {re.sub(r"[^\w -]", "", name).replace(" ", "-") for name in SECTIONS}
    assert set(re.findall(r"\]\(#([^)]+)\)", format_page())) == slugs


def test_the_groups_of_a_command_come_from_its_defaults_lists() -> None:
    assert default_choices("up") == {}
    assert default_choices("search") == {"embedder": "wordllama", "opensearch": "embedded"}
    assert default_choices("run")["storage"] == "samples"
    assert group_choices("scale") == ["small", "medium", "large", "very_large"]  # by size
