"""Keyword arguments, nested dicts, overrides, settings files and composed configs make a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from raypipe.api.options import CallOptions, SettingsFile, prepare_config, to_overrides
from raypipe.errors import OptionError


def prepare(
    command: str = "run",
    config: Any = None,
    overrides: list[str] | None = None,
    settings: SettingsFile = False,
    profile: str | None = None,
    fixed: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    call = CallOptions(config, overrides or [], settings, profile, options)
    return prepare_config(command, call, fixed or {}).cfg


@pytest.mark.parametrize(
    ("options", "overrides"),
    [
        ({"storage": "s3"}, ["storage=s3"]),
        ({"storage__bucket": "my-books"}, ["storage.bucket='my-books'"]),
        ({"storage.bucket": "my-books"}, ["storage.bucket='my-books'"]),
        ({"storage": {"bucket": "b", "anonymous": True}}, ["storage.bucket='b'"]),
        ({"stages": {"summarize": {"workers": 2}}}, ["stages.summarize.workers=2"]),
        ({"stages": {"summarize__workers": 2}}, ["stages.summarize.workers=2"]),
        ({"limit": None, "purge": True}, ["limit=null", "purge=true"]),
        ({"storage__suffixes": (".txt", ".md")}, ["storage.suffixes=['.txt','.md']"]),
        ({"storage__path": Path("/a b")}, ["storage.path='/a b'"]),
        ({"embedder": {"_target_": "a.B"}}, ["~embedder", "++embedder={_target_:'a.B'}"]),
        ({"storage___target_": "a.B"}, ["storage._target_='a.B'"]),
        ({"+storage.journal": "j"}, ["+storage.journal='j'"]),
        ({"storage__bucket": "${oc.env:HOME}"}, [r"storage.bucket='\${oc.env:HOME}'"]),
    ],
)
def test_an_option_becomes_an_override(options: dict[str, Any], overrides: list[str]) -> None:
    assert to_overrides(options)[: len(overrides)] == overrides


def test_options_make_a_config() -> None:
    cfg = prepare(
        storage="s3", storage__bucket="my-books", opensearch="none", stages={"write": {"tasks": 1}}
    )
    assert (cfg.storage.bucket, cfg.opensearch._target_, cfg.stages.write.tasks) == (
        "my-books",
        None,
        1,
    )


def test_several_choices_of_a_list_hold_together() -> None:
    cfg = prepare(notify=["webhook", "slack"], notify__slack__failed_share=0.5)
    assert list(cfg.notify) == ["webhook", "slack"]
    assert cfg.notify.slack.failed_share == 0.5
    assert prepare(config=cfg).notify == cfg.notify


def test_a_part_of_the_caller_has_its_own_options_only() -> None:
    cfg = prepare(embedder={"_target_": "own.Embedder", "letters": "abc"}, storage="samples")
    assert dict(cfg.embedder) == {"_target_": "own.Embedder", "letters": "abc"}


def test_overrides_win_over_options() -> None:
    assert prepare(limit=3, overrides=["limit=4"]).limit == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"storage": "s4"},
            "storage=s4: there is no such option; choose one of local, s3, samples",
        ),
        ({"storag": "s3"}, "there is no option storag; did you mean storage?"),
        ({"storage": "s3"}, "give a value for storage.bucket=..."),
        ({"limit": object()}, "limit: object is no value of an option"),
        ({"overrides": ["--help"]}, "overrides: --help is a flag of the command line"),
        ({"overrides": "limit=3"}, "overrides='limit=3' must be a list of texts"),
        ({"settings": "/no/such/file.yaml"}, "there is no such file"),
        ({"profile": "trial"}, "profile=trial: there is no settings file"),
        ({"config": {"limit": 3}, "limit": 4}, "limit: give either config or options"),
        ({"config": {"limt": 3}}, "there is no option limt; did you mean limit?"),
        ({"config": {"limit": "many"}}, "limit: Value 'many'"),
    ],
)
def test_a_mistake_gets_the_line_of_the_command_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        prepare(**options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_settings_file_is_read_as_by_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("raypipe.yaml").write_text("limit: 7\nprofiles:\n  trial:\n    limit: 8\n")
    Path("other.yaml").write_text("limit: x\n")
    assert prepare(settings=None).limit == 7
    assert prepare(settings=None, profile="trial").limit == 8
    assert prepare(settings=None, limit=9).limit == 9
    assert prepare(settings=False).limit is None
    with pytest.raises(OptionError, match=r"must be a whole number.*\(other.yaml:1\)"):
        prepare(settings=Path("other.yaml"))


def test_a_composed_config_is_used_as_it_is() -> None:
    composed = prepare(storage="local", storage__path="/books", limit=3)
    for config in (composed, OmegaConf.to_container(composed)):
        cfg = prepare(config=config)
        assert (cfg.storage.path, cfg.limit) == ("/books", 3)
        assert cfg is not composed
    assert prepare(config={"limit": 4}).storage.bucket == "sample-books", "defaults of the command"


def test_the_config_of_a_run_works_for_other_commands() -> None:
    composed = prepare(limit=3, opensearch__index="tales", state__uri="/state")
    search = prepare("search", composed, fixed={"query": "a whale: '${x}'"})
    assert (search.opensearch.index, search.limit) == ("tales", 5), "of a search, limit means hits"
    assert search.query == "a whale: '${x}'"
    assert prepare("export", composed).state.uri == "/state"


@pytest.mark.filterwarnings("ignore:")
def test_hydra_of_the_caller_is_left_alone() -> None:
    from hydra import initialize, version

    GlobalHydra.instance().clear()
    with initialize(version_base="1.1", config_path=None):
        before = GlobalHydra.instance().hydra
        with pytest.raises(OptionError):
            prepare(storag="s3")
        prepare()
        assert GlobalHydra.instance().hydra is before
        assert str(version.getbase()) == "1.1"
