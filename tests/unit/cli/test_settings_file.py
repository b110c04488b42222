"""`raypipe.yaml` gives every command its options, and the command line wins."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from raypipe.cli.settings.file import find_file, parse_settings, read_settings
from raypipe.cli.settings.hydra_text import format_value
from raypipe.cli.settings.merge import merge_arguments
from raypipe.config.build import require_part
from raypipe.config.origins import was_given
from raypipe.core.errors import OptionError
from tests.unit.command_line import RunCommandLine

pytestmark = pytest.mark.usefixtures("isolated_hydra", "no_services")

FILE = """\
storage: s3
storage.bucket: my-books
summarizer: bedrock
summarizer.model_id: us.amazon.nova-lite-v1:0
embedder: hash
embedder.dimension: 32
opensearch: self_managed
opensearch.connection:
  timeout_s: 7
opensearch.endpoint: https://search.example.org:9200
state: {uri: s3://my-books/raypipe}
storage.suffixes: [.txt, "a,b"]
limit: 100
search.fusion: rrf
profiles:
  prod:
    opensearch.endpoint: https://prod.example.org:9200
    limit: null
  trial:
    opensearch: embedded
"""

Configs = Callable[..., tuple[list[Mapping[str, Any]], str]]


@pytest.fixture
def see(run_command_line: RunCommandLine, monkeypatch: pytest.MonkeyPatch) -> Configs:
    """Return a function that runs a command line; it returns the configs and what was printed."""

    def run(command: str, *args: str, code: int = 0) -> tuple[list[Mapping[str, Any]], str]:
        seen: list[Any] = []

        def main(cfg: DictConfig) -> int:
            seen.append(OmegaConf.to_container(cfg, resolve=True))
            return 0

        monkeypatch.setattr(f"raypipe.cli.commands.{command}.main", main)
        exit_code, _, err = run_command_line(command, *args)
        assert exit_code == code, err
        return seen, err

    return run


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "raypipe.yaml"
    path.write_text(FILE)
    return path


def test_each_command_takes_the_options_that_it_has(see: Configs, settings: Path) -> None:
    [run], err = see("run")
    assert (run["storage"]["bucket"], run["limit"]) == ("my-books", 100)
    assert run["summarizer"]["model"]["model_id"] == "us.amazon.nova-lite-v1:0"
    assert run["state"]["uri"] == "s3://my-books/raypipe"
    assert run["opensearch"]["connection"]["timeout_s"] == 7
    assert f"Settings: {settings}\n" in err
    assert err.count(str(settings)) == 1
    [index], _ = see("index")
    assert [index[name] for name in ("summarizer", "embedder", "opensearch", "state")] == [
        run[name] for name in ("summarizer", "embedder", "opensearch", "state")
    ]
    [search], err = see("search", "two", "friends")
    assert [search[name] for name in ("embedder", "opensearch")] == [
        run[name] for name in ("embedder", "opensearch")
    ]
    # `limit` of the file counts books, `limit` of search counts hits.
    assert (search["query"], search["search"]["fusion"], search["limit"]) == (
        "two friends",
        "rrf",
        5,
    )
    assert err.count("\n") == 1
    [gc], _ = see("gc")
    assert gc["state"] == run["state"]
    [simulate], _ = see("simulate")
    assert simulate["quota"]["tokens_per_minute"] is None


@pytest.mark.usefixtures("settings")
def test_options_of_the_file_count_as_given(
    run_command_line: RunCommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[bool] = []

    def main(cfg: DictConfig) -> int:
        given.extend(was_given(name) for name in ("summarizer", "embedder", "text", "scale"))
        return 0

    monkeypatch.setattr("raypipe.cli.commands.index.main", main)
    assert run_command_line("index", "scale=large")[0] == 0
    assert given == [True, True, False, True]


@pytest.mark.usefixtures("settings")
def test_the_command_line_wins(see: Configs) -> None:
    [cfg], _ = see("run", "limit=3", "storage.bucket=b", "opensearch.endpoint=https://h:1")
    assert (cfg["limit"], cfg["storage"]["bucket"]) == (3, "b")
    assert cfg["opensearch"]["endpoint"] == "https://h:1"
    configs, err = see("run", "-m", "limit=1,2", "embedder.dimension=8,16")
    assert [(cfg["limit"], cfg["embedder"]["dimension"]) for cfg in configs] == [
        (1, 8),
        (1, 16),
        (2, 8),
        (2, 16),
    ]
    assert err.count("Settings: ") == 1
    assert configs[3]["storage"]["suffixes"] == [".txt", "a,b"]  # a list is not swept


@pytest.mark.usefixtures("settings")
def test_options_of_a_replaced_part_are_left_out_with_a_log_line(see: Configs) -> None:
    [cfg], err = see("run", "summarizer=extractive")
    assert "model_id" not in cfg["summarizer"]
    assert (
        "summarizer=extractive replaces summarizer=bedrock; not used: summarizer.model_id "
        "(raypipe.yaml:4)" in err
    )
    [cfg], err = see("run", "summarizer=bedrock")  # the file's own choice
    assert cfg["summarizer"]["model_id"] == "us.amazon.nova-lite-v1:0"
    assert "not used" not in err
    _, err = see("search", "x", "opensearch=embedded")
    assert "not used: opensearch.connection.timeout_s (raypipe.yaml:9), opensearch.endpoint" in err


def test_an_option_for_any_choice_stays_where_the_new_choice_has_it(
    see: Configs, tmp_path: Path
) -> None:
    (tmp_path / "raypipe.yaml").write_text(
        "opensearch.index: novels\nopensearch.max_bytes: 1000000\nsummarizer.max_words: 99\n"
    )
    [cfg], err = see("run", "opensearch=self_managed", "opensearch.endpoint=https://h:1")
    assert (cfg["opensearch"]["index"], cfg["opensearch"]["max_bytes"]) == ("novels", 1000000)
    [cfg], err = see("run", "summarizer=lead")
    assert "not used: summarizer.max_words (raypipe.yaml:3)" in err


def test_several_choices_of_a_list(see: Configs, tmp_path: Path) -> None:
    (tmp_path / "raypipe.yaml").write_text(
        "notify: [webhook, slack]\nnotify.slack.failed_share: 0.5\ncloudwatch: metrics\n"
    )
    [cfg], err = see("run")
    assert list(cfg["notify"]) == ["webhook", "slack"]
    assert cfg["notify"]["slack"]["failed_share"] == 0.5
    assert "not used" not in err
    [cfg], err = see("run", "notify=slack")
    assert list(cfg["notify"]) == ["slack"]
    assert cfg["notify"]["slack"]["failed_share"] == 0.5
    [cfg], err = see("run", "notify=[webhook]")
    assert list(cfg["notify"]) == ["webhook"]
    assert "not used: notify.slack.failed_share (raypipe.yaml:2)" in err
    _, err = see("status", "notify=[webhook,slack]")
    assert "notify is an option of other commands" in err
    (tmp_path / "raypipe.yaml").write_text("notify: [webhook, pager]\n")
    _, err = see("run", code=2)
    assert "notify: choose one of none, slack, sns, webhook" in err
    (tmp_path / "raypipe.yaml").write_text("storage: [s3]\n")
    _, err = see("run", code=2)
    assert "storage: choose one of local, s3, samples" in err


def test_profiles(see: Configs, settings: Path) -> None:
    [cfg], err = see("run", "profile=prod")
    assert cfg["opensearch"]["endpoint"] == "https://prod.example.org:9200"
    assert cfg["limit"] is None
    assert f"Settings: {settings}, profile prod\n" in err
    [cfg], err = see("run", "profile=trial")
    assert cfg["opensearch"]["endpoint"] == "embedded"
    assert "opensearch=embedded of profile trial replaces opensearch=self_managed" in err
    settings.write_text(FILE + "profile: prod\n")
    assert see("run")[0][0]["limit"] is None
    assert see("run", "profile=none")[0][0]["limit"] == 100
    _, err = see("run", "profile=test", code=2)
    assert err == "raypipe: profile=test: raypipe.yaml has the profiles prod, trial\n"


def test_where_the_file_is(see: Configs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raypipe.yaml").write_text("limit: 1\n")
    (tmp_path / "named.yaml").write_text("limit: 2\n")
    (tmp_path / "variable.yaml").write_text("limit: 3\n")
    assert see("run")[0][0]["limit"] == 1
    monkeypatch.setenv("RAYPIPE_SETTINGS", "variable.yaml")
    assert see("run")[0][0]["limit"] == 3
    assert see("run", "--settings", "named.yaml")[0][0]["limit"] == 2
    assert see("run", "--settings=named.yaml")[0][0]["limit"] == 2
    assert see("run", "--settings", "none")[0][0]["limit"] is None
    monkeypatch.setenv("RAYPIPE_SETTINGS", "")
    assert see("run") == ([see("run")[0][0]], "")
    monkeypatch.setenv("RAYPIPE_SETTINGS", "gone.yaml")
    _, err = see("run", code=2)
    assert "RAYPIPE_SETTINGS=gone.yaml: there is no such file" in err
    monkeypatch.delenv("RAYPIPE_SETTINGS")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert find_file(None) is None


def test_the_flag_may_come_before_the_command(
    run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    (tmp_path / "x.yaml").write_text("limit: 2\n")
    code, out, err = run_command_line("--settings", "x.yaml", "plan", "--cfg", "job")
    assert (code, OmegaConf.create(out).limit) == (0, 2)
    assert err == f"raypipe: Settings: {tmp_path}/x.yaml\n"


def test_an_option_of_another_command_is_ignored_with_a_note(
    see: Configs, run_command_line: RunCommandLine
) -> None:
    [cfg], err = see("search", "x", "storage=s3", "storage.bucket=b", "limit=3")
    assert (cfg["query"], cfg["limit"]) == ("x", 3)
    assert "storage, storage.bucket are options of other commands (run, index, plan, ...)" in err
    assert "search ignores them" in err
    assert see("gc", "summarizer=bedrock", "+summarizer.own=1")[1].count("\n") == 1
    assert "fusion" in see("run", "search.fusion=rrf")[1]
    assert see("up", "limit=2")[0] == [{"embedded": {"data": "raypipe-data"}}]
    code, _, err = run_command_line("search", "x", "storage=s4")
    assert (code, err.count("\n")) == (2, 1)
    assert "storage=s4: there is no such option; choose one of local, s3, samples" in err


WRONG = [
    ("limit: 3\nstorage.buckt: x\n", ":2: there is no option storage.buckt; did you mean storage"),
    ("nosuch: 1\n", ":1: there is no option nosuch"),
    ("summarizer: {_target_: a.B, depth: 3}\n", "for an argument of your class, write +summarizer"),
    ("hydra.run.dir: x\n", ":1: there is no option hydra.run.dir"),
    ("profiles: {a: {limitt: 1}}\n", ":1: there is no option limitt; did you mean limit?"),
    ("storage: s4\n", ":1: storage: choose one of local, s3, samples"),
    ("storage: null\n", ":1: storage: choose one of"),
    ("limit: 1\nlimit: 2\n", ":2: limit is set twice, the first time in line 1"),
    ("state.uri: a\nstate:\n  uri: b\n", ":3: state.uri is set twice, the first time in line 1"),
    ("limit: [1\n", "is not valid YAML"),
    ("- limit: 1\n", ":1: write one `option: value` on each line"),
    ("a text\n", ":1: write one `option: value` on each line"),
    ("state: &s {uri: x}\nprofiles: {p: {state: *s}}\n", "aliases are not supported"),
    ("limit: !!python/name:os.system x\n", ":1: the YAML tag"),
    ("purge: true\n", ":1: purge is for a single command"),
    ("profiles: {p: {allow_deletes: true}}\n", ":1: allow_deletes is for a single command"),
    ("profile: p\n", "profile=p: raypipe.yaml has no profiles"),
    ("profile: q\nprofiles: {p: {}}\n", "has the profiles p"),
    ("profiles: {p: {profile: p}}\n", ":1: profile belongs to the top of the file"),
    ("config_dir: gone\n", ":1: config_dir: there is no folder"),
    # found by the command
    ("limit: abc\n", "must be a whole number (raypipe.yaml:1)"),
    ("limit: 2\nstorage.bucket: 2024\n", "storage.bucket=2024 must be text; put quotes around it"),
    ("stages.summarize.workers: 0\n", "must be at least 1 (raypipe.yaml:1)"),
    ("summarizer.model_id: x\n", "there is no option summarizer.model_id"),
    ("opensearch.index: Books\n", "(raypipe.yaml:1)"),
    ("+storage.nosuch: 1\n", "there is no option storage.nosuch"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_file_is_one_line_with_file_and_line(
    text: str, message: str, run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    (tmp_path / "raypipe.yaml").write_text(text)
    code, out, err = run_command_line("run")
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if "Settings: " not in line]
    assert len(lines) == 1
    assert message in lines[0]
    assert "raypipe.yaml" in lines[0]


SECRETS = [
    "opensearch.connection.password: geheim123",
    "opensearch.connection.token: geheim123",
    "opensearch.endpoint: https://me:geheim123@search.example.org:9200",
    "summarizer.model.extra: {api_key: geheim123}",
    "summarizer.model.extra.api_key: geheim123",
    "storage.secret_access_key: geheim123",
    "profiles: {p: {storage.name: AKIAABCDEFGHIJKLMNOP-geheim123}}",
    "storage.prefix: 'x?password=geheim123'",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_refused_and_not_shown(text: str, tmp_path: Path) -> None:
    (tmp_path / "raypipe.yaml").write_text(f"limit: 1\n{text}\n")
    with pytest.raises(
        OptionError, match=r"raypipe.yaml:2: .*holds a secret.*environment"
    ) as caught:
        read_settings(None, None)
    assert "geheim123" not in str(caught.value)


def test_names_of_variables_and_files_with_secrets_are_no_secrets() -> None:
    text = (
        "opensearch: self_managed\nopensearch.connection.password_env: OTHER\n"
        "opensearch.connection.token: bearer\nopensearch.connection.token_file: /run/token\n"
        "budget.max_tokens: 5\nquota.tokens_per_minute: 7\nsummarizer.tokens_per_word: 1.5\n"
    )
    assert len(parse_settings(text, Path("raypipe.yaml")).shared) == 7


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1_000", 1000),
        ("1e6", 1e6),
        ("-.5", -0.5),
        ("null", None),
        ("", None),
        ("true", True),
        # YAML 1.1 would change these.
        ("yes", "yes"),
        ("2024-01-01", "2024-01-01"),
        ("12:30:00", "12:30:00"),
        ("0777", "0777"),
        ("'3'", "3"),
        ("${oc.env:HOME}", "${oc.env:HOME}"),
        ("a,b", "a,b"),
        ("choice(a,b)", "choice(a,b)"),
        ("'[a]'", "[a]"),
        ("[a, 'b,c', 3]", ["a", "b,c", 3]),
    ],
)
def test_a_value_is_what_it_is_on_a_command_line(text: str, value: Any) -> None:
    settings = parse_settings(f"storage.name: {text}\n", Path("raypipe.yaml"))
    assert settings.shared[0].value == value
    [override] = [arg for arg in merge_arguments("run", [], settings).args if "name=" in arg]
    parsed = OverridesParser.create().parse_override(override)
    assert not parsed.is_sweep_override()
    assert OmegaConf.create({"x": parsed.value()}).x == value


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12).filter(
    lambda text: "${" not in text  # a reference
)
SCALARS = st.none() | st.booleans() | st.integers(-999, 999) | st.floats(allow_nan=False) | TEXT


@given(st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_any_value_reaches_hydra_unchanged(value: Any) -> None:
    parsed = OverridesParser.create().parse_override(f"key={format_value(value)}")
    assert not parsed.is_sweep_override()
    assert OmegaConf.create({"key": parsed.value()}).key == value


def test_a_mapping_is_merged_into_an_option(see: Configs, tmp_path: Path) -> None:
    (tmp_path / "raypipe.yaml").write_text(
        "summarizer: openai\nsummarizer.model_id: m\n"
        "summarizer.model.extra:\n  chat_template_kwargs: {enable_thinking: false}\n  'a b:c': x\n"
    )
    [cfg], _ = see("run")
    assert cfg["summarizer"]["model"]["extra"] == {
        "chat_template_kwargs": {"enable_thinking": False},
        "a b:c": "x",
    }


OWN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Shelf:
    label: str
    boards: int = 3
"""


@pytest.fixture
def own_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a settings file, own option files and a module."""
    monkeypatch.setenv("PYTHONPATH", "")
    folder = tmp_path / "project"
    (folder / "my-conf" / "storage").mkdir(parents=True)
    (folder / "my-conf" / "storage" / "shelf.yaml").write_text(
        "_target_: beside_settings.Shelf\nlabel: ???\nboards: 3\n"
    )
    (folder / "beside_settings.py").write_text(OWN)
    (folder / "raypipe.yaml").write_text(
        "config_dir: my-conf\nstorage: shelf\nstorage.label: top\n"
    )
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def test_parts_beside_the_file_are_imported(
    own_parts: Path, run_command_line: RunCommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[Any] = []

    def main(cfg: DictConfig) -> int:
        parts.append(require_part(cfg, "storage"))
        return 0

    monkeypatch.setattr("raypipe.cli.commands.run.main", main)
    monkeypatch.delitem(sys.modules, "beside_settings", raising=False)
    file = str(own_parts / "raypipe.yaml")
    code, _, err = run_command_line("run", "--settings", file, "storage.boards=5")
    assert code == 0, err
    assert (parts[0].label, parts[0].boards) == ("top", 5)
    assert sys.path[-1] == str(own_parts)


@pytest.mark.parametrize(
    "name",
    [".", "raypipe.yaml", "my-conf", "my-conf/storage/shelf.yaml", "beside_settings.py"],
)
@pytest.mark.parametrize("text", ["config_dir: my-conf\n", "storage._target_: x.Y\n"])
def test_parts_that_others_can_change_are_refused(own_parts: Path, name: str, text: str) -> None:
    if "_target_" in text and name.startswith("my-conf"):
        return
    file = own_parts / "raypipe.yaml"
    file.write_text(text)
    assert read_settings(str(file), None) is not None
    (own_parts / name).chmod(0o777)
    with pytest.raises(OptionError, match=r"names parts to import, but .* can be changed by other"):
        read_settings(str(file), None)
    file.write_text("limit: 3\n")  # without parts, the file is only read
    assert read_settings(str(file), None) is not None


def test_parts_of_another_user_are_refused(
    own_parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: own_parts.stat().st_uid + 1)
    with pytest.raises(OptionError, match=r"belongs to another user. Fix: make it yours alone"):
        read_settings(str(own_parts / "raypipe.yaml"), None)


@pytest.mark.usefixtures("settings")
def test_help_and_cfg_show_the_values_of_the_file(run_command_line: RunCommandLine) -> None:
    code, out, err = run_command_line("run", "--help")
    assert (code, err) == (0, "")
    assert "limit=100" in out
    assert "[bedrock]" in out
    code, out, _ = run_command_line("index", "--cfg", "job", "profile=prod")
    assert json.loads(json.dumps(OmegaConf.to_container(OmegaConf.create(out))))["limit"] is None


@pytest.mark.usefixtures("settings")
def test_unused_notes_are_printed_before_an_error(run_command_line: RunCommandLine) -> None:
    code, _, err = run_command_line("run", "opensearch=aws_managed")
    assert code == 2
    assert err.index("not used: opensearch.connection") < err.index("give a value for opensearch")
