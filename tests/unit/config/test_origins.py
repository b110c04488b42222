"""`was_given` tells options that were given from defaults."""

from __future__ import annotations

import pytest
from omegaconf import DictConfig

from raypipe.config.origins import given_options, override_key, was_given
from tests.unit.command_line import RunCommandLine

pytestmark = pytest.mark.usefixtures("isolated_hydra", "no_services")


@pytest.mark.parametrize(
    ("args", "given"),
    [
        ([], []),
        (["summarizer=lead"], ["summarizer"]),
        (["summarizer.keywords=3"], ["summarizer"]),
        (["text.min_words=3", "prompts=default"], ["text", "prompts"]),
        (["limit=3", "-m", "embedder=hash,wordllama"], ["embedder"]),
    ],
)
def test_given_groups_are_told_from_defaults(
    args: list[str],
    given: list[str],
    run_command_line: RunCommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[list[str]] = []

    def main(cfg: DictConfig) -> int:
        seen.append(
            [name for name in ("text", "summarizer", "prompts", "embedder") if was_given(name)]
        )
        return 0

    monkeypatch.setattr("raypipe.cli.commands.index.main", main)
    code, _, err = run_command_line("index", *args)
    assert code == 0, err
    assert {tuple(names) for names in seen} == {tuple(given)}


def test_nothing_is_given_outside_a_job() -> None:
    assert given_options() == []


def test_the_key_of_an_override() -> None:
    assert override_key("++storage.path='a=b'") == "storage.path"
    assert override_key("~storage") == "storage"
    assert override_key("storage@other=s3") == "storage"
