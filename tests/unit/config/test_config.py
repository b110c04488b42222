"""conf/ composes, instantiates, explains itself, and refuses what is wrong in one line."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import logging
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from raypipe.cli import app as cli
from raypipe.cli.config_docs import sources
from raypipe.config import build as config
from raypipe.config.error_messages import missing
from raypipe.coordination.signals import stop_on_signal
from raypipe.core import options
from raypipe.core.errors import OptionError
from raypipe.core.options import Stages
from raypipe.embedded.services import Services
from raypipe.run.executors.machine import Machine
from raypipe.run.executors.resources import LISTING_CPUS, check_resources, resolve_workers

CONF = config.conf_dir()
GROUPS = sorted(
    path.name for path in CONF.iterdir() if path.is_dir() and path.name not in ("hydra", "base")
)
CHOICES = [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
SCALES = sorted(path.stem for path in (CONF / "scale").glob("*.yaml"))
REQUIRED = {
    ("storage", "s3"): ["storage.bucket=my-books"],
    ("storage", "local"): ["storage.path=my-books"],
    ("opensearch", "self_managed"): ["opensearch.endpoint=https://search.example:9200"],
    ("opensearch", "aws_managed"): ["opensearch.endpoint=https://x.us-east-1.es.amazonaws.com"],
    ("opensearch", "aws_serverless"): [
        "opensearch.endpoint=https://x.us-east-1.aoss.amazonaws.com"
    ],
}
"""What a person must give with a choice; an entry too many fails, see below."""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Keep Hydra's global state, its logging and its exit code's variable to one test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(sys, "argv", ["raypipe"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    # Hydra composes once more just to read hydra.mode, which nobody sets here.
    monkeypatch.setattr("hydra._internal.hydra.Hydra.get_mode", lambda *_, **__: None)
    GlobalHydra.instance().clear()
    loggers = [logging.getLogger(), logging.getLogger("raypipe")]
    kept = [(one, one.level, one.handlers[:]) for one in loggers]
    yield
    GlobalHydra.instance().clear()
    for one, level, handlers in kept:
        one.setLevel(level)
        one.handlers[:] = handlers


@pytest.fixture(autouse=True)
def _no_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that gets as far as starting a service: wrong options are found before."""

    def start(*_: object) -> None:
        raise AssertionError("a service was started")

    for name in ("start_both", "start_opensearch", "start_s3", "start_and_keep"):
        monkeypatch.setattr(Services, name, start)


def composed(command: str, *overrides: str) -> DictConfig:
    return copy.deepcopy(_composed(command, *overrides))


@functools.cache  # a composition takes a quarter of a second
def _composed(command: str, *overrides: str) -> DictConfig:
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, overrides=list(overrides))


def raypipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *args: str
) -> tuple[int, str, str]:
    """Run a command line in this process; returns its exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["raypipe", *args])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    code = caught.value.code
    assert isinstance(code, int)
    said = capsys.readouterr()
    return code, said.out, said.err


# Every option file.


def test_every_primary_config_is_a_command_and_the_other_way_round() -> None:
    assert {path.stem for path in CONF.glob("*.yaml")} == set(cli.COMMANDS) == set(config.SCHEMAS)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_a_primary_config_composes_and_its_options_are_typed(command: str) -> None:
    cfg = composed(command, *(["query=whale"] if command == "search" else []))
    assert isinstance(config.options(cfg), config.SCHEMAS[command])


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_an_option_file_composes_and_makes_its_part(group: str, choice: str) -> None:
    cfg = composed("run", f"{group}={choice}", *REQUIRED.get((group, choice), []))
    assert missing(cfg) == ""
    config.options(cfg)
    if group in config.PARTS and (group, choice) != ("opensearch", "none"):
        OmegaConf.update(cfg, "opensearch.endpoint", "http://127.0.0.1:9200")
        part = config.required(cfg, group)
        assert dataclasses.is_dataclass(part)
        assert type(part).__module__.startswith("raypipe.")


@pytest.mark.parametrize(("group", "choice"), REQUIRED)
def test_what_must_be_given_is_really_missing(group: str, choice: str) -> None:
    cfg = composed("run", f"{group}={choice}")
    given = [one.partition("=")[0] for one in REQUIRED[group, choice]]
    assert missing(cfg) == f"give a value for {', '.join(f'{key}=...' for key in given)}"


def test_every_group_of_a_primary_config_is_a_part_or_sizes() -> None:
    assert {*config.PARTS, "scale", "ray", "quota"} == set(GROUPS)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_key_of_a_primary_config_has_a_comment(command: str) -> None:
    body = [line for path in sources(command) for line in _body(path)]
    bare = [
        line
        for above, line in itertools.pairwise(["", *body])
        if re.match(r"\s*\w+:", line) and not above.strip().startswith("#")
    ]
    # A key that stands alone in a commented mapping is told by the mapping's comment.
    assert [line for line in bare if not line.startswith("  ") or line.count(" ") > 9] == []
    own = {line.strip().partition(":")[0] for line in body if re.match(r"\w+:", line)}
    cfg = composed(command, *(["query=whale"] if command == "search" else []))
    quota = set() if command == "simulate" else {"quota"}  # there it is an option
    assert own == set(cfg) - {*config.PARTS, "ray", "stages", *quota}


def _body(path: Path) -> list[str]:
    """Return the lines of a primary config's own options, without its defaults and Hydra's."""
    lines = path.read_text().splitlines()
    end = lines.index("hydra:") if "hydra:" in lines else len(lines)
    return lines[lines.index("  - _self_") + 1 : end]


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=str)
def test_every_option_file_begins_by_saying_what_it_is_for(path: Path) -> None:
    first = path.read_text().removeprefix("# @package _global_\n").splitlines()[0]
    assert re.match(r"# .{10,}", first)


# The presets.


def stages(scale: str) -> Stages:
    typed: Stages = config.options(composed("run", f"scale={scale}")).stages
    return typed


@pytest.mark.parametrize("scale", SCALES)
def test_a_preset_fits_two_cpus_with_all_its_write_tasks(scale: str) -> None:
    sizes = resolve_workers(stages(scale), 2.0)
    summarize, embed = sizes.summarize, sizes.embed
    assert summarize.workers == 2
    assert summarize.num_cpus == 0.6
    reserved = LISTING_CPUS + 2 * 0.6 + embed.workers * embed.num_cpus
    assert reserved + sizes.write.tasks * sizes.write.num_cpus <= 2.0 + 1e-9


@pytest.mark.parametrize("scale", SCALES)
def test_a_preset_fits_two_cpus_and_4_gib_beside_an_opensearch(scale: str) -> None:
    sizes, most = stages(scale), options.SCALES[scale]
    machine = Machine(2.0, 4 * 1024**3, 4 * 1024**3)
    fits = check_resources(
        sizes, options.RayOptions(), most or 100_000, "http://127.0.0.1:9200", machine
    )
    assert fits.summarize.workers == 2


@pytest.mark.parametrize("scale", SCALES)
def test_a_preset_knows_its_name_and_tells_for_how_many_books_it_is(scale: str) -> None:
    assert stages(scale).preset == scale
    names = list(options.SCALES)
    below = names[: names.index(scale)]
    least = options.SCALES[below[-1]] if below else 1
    most = options.SCALES[scale]
    told = f"{least:,} to {most:,} books" if most else f"{least:,} books and more"
    assert f"# For {told}. " in (CONF / "scale" / f"{scale}.yaml").read_text()


def test_presets_grow_with_the_number_of_books() -> None:
    rising = [stages(scale) for scale in ("small", "medium", "large", "very_large")]
    assert len(rising) == len(SCALES)
    for less, more in itertools.pairwise(rising):
        assert less.summarize.books_per_task < more.summarize.books_per_task
        assert less.summarize.bytes_per_task < more.summarize.bytes_per_task
        assert less.write.tasks <= more.write.tasks


# A person's own part.

OWN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Shelf:
    label: str
    boards: int = 3
"""


@pytest.fixture
def own_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a config folder with `storage=shelf`, whose class is in an own module."""
    (tmp_path / "own_shelf.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine" / "storage").mkdir(parents=True)
    (tmp_path / "mine" / "storage" / "shelf.yaml").write_text(
        "# My shelf.\n_target_: own_shelf.Shelf\nlabel: ???\nboards: 3\n"
    )
    return tmp_path / "mine"


@pytest.mark.parametrize("flag_first", [True, False])
def test_config_dir_brings_a_persons_own_part(
    own_part: Path,
    flag_first: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []

    def main(cfg: DictConfig) -> int:
        made.append(config.required(cfg, "storage"))
        return 0

    monkeypatch.setattr("raypipe.cli.commands.run.main", main)
    flag, overrides = ["--config-dir", own_part.name], ["storage=shelf", "storage.label=top"]
    # A relative folder is relative to where the person stands.
    args = [*flag, *overrides] if flag_first else [*overrides, *flag]
    code, _, err = raypipe(capsys, monkeypatch, "run", *args, "storage.boards=5")
    assert (code, err) == (0, "")
    assert (made[0].label, made[0].boards) == ("top", 5)
    assert type(made[0]).__module__ == "own_shelf"


def test_an_own_part_is_checked_and_shown_like_any(
    own_part: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ("run", "--config-dir", str(own_part), "storage=shelf")
    refused = [
        ([], "give a value for storage.label=..."),
        (["storage.label=a", "storage.boards=x"], "storage.boards=x must be a whole number"),
        (["storage.label=a", "+storage.bords=2"], "did you mean boards?"),
    ]
    for more, said in refused:
        code, _, err = raypipe(capsys, monkeypatch, *own, *more)
        assert (code, said in err, err.count("\n")) == (2, True, 1), err
    code, out, _ = raypipe(capsys, monkeypatch, *own, "--help")
    assert code == 0
    assert "local s3 samples [shelf]" in out
    assert "label=??? boards=3" in out


def test_a_class_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "storage").mkdir(parents=True)
    (tmp_path / "mine" / "storage" / "gone.yaml").write_text("_target_: nowhere.Store\n")
    args = ("run", "--config-dir", "mine", "storage=gone")
    code, _, err = raypipe(capsys, monkeypatch, *args)
    assert (code, err.count("\n")) == (2, 1)
    assert "storage" in err
    assert "nowhere" in err


# Wrong options.

WRONG = [
    # no such option: its neighbors are named
    (["run", "nosuch=1"], ["no option nosuch", "limit", "storage"]),
    (["run", "storage.buckt=x"], ["storage.buckt", "did you mean bucket?"]),
    (["run", "stages.summarize.worker=2"], ["stages.summarize.worker", "did you mean workers?"]),
    (["run", "+foo=1"], ["no option foo", "limit"]),
    (["run", "+stages.embed.foo=1"], ["stages.embed.foo", "num_cpus"]),
    (["run", "+storage.foo=1"], ["storage.foo", "bucket"]),
    (["up", "limit=2"], ["no option limit", "embedded"]),
    (["simulate", "quota.tpm=2"], ["no option quota.tpm", "tokens_per_minute"]),
    (["simulate", "faults.throttle=2"], ["faults.throttle=2", "between 0 and 1"]),
    (["simulate", "faults.script=[{fault:gone}]"], ["faults.script[0]", "choose one of throttle"]),
    (["simulate", "faults.script=[{set:{quotas:{}}}]"], ["faults.script[0]", "concurrency"]),
    (["simulate", "concurrency.over_limit=wait"], ["over_limit=wait", "throttle or queue"]),
    (["verify", "summarizer=lead"], ["summarizer"]),
    # no such choice: the choices are named
    (["run", "storage=s4"], ["storage=s4", "local, s3, samples"]),
    (["run", "scale=huge"], ["scale=huge", "large, medium, small, very_large"]),
    (["run", "storage=null"], ["storage=null", "local, s3, samples"]),
    (["run", "storage="], ["storage=", "local, s3, samples"]),
    (["search", "x", "embedder=gpt"], ["embedder=gpt", "bedrock_titan, hash, openai"]),
    (["run", "output=xml"], ["output=xml", "text or json"]),
    (["search", "x", "output=xml"], ["output=xml", "text or json"]),
    (["verify", "output=xml"], ["output=xml", "text or json"]),
    (["run", "opensearch.engine=nmslib"], ["opensearch.engine=nmslib", "lucene, faiss"]),
    # no value
    (["run", "storage=s3"], ["storage.bucket=..."]),
    (["run", "storage=local"], ["storage.path=..."]),
    (["run", "opensearch=self_managed"], ["opensearch.endpoint=..."]),
    (["search"], ["query=..."]),
    (["run", "~storage"], ["storage"]),
    (["run", "limit=${nosuch}"], ["limit", "nosuch"]),
    # a value of another type
    (["run", "limit=abc"], ["limit=abc", "Integer"]),
    (["run", "stages=3"], ["stages=3"]),
    (["run", "text.min_words=abc"], ["text.min_words=abc", "a whole number"]),
    (["run", "text.min_words=1.5"], ["text.min_words=1.5", "a whole number"]),
    (["run", "text.min_words=null"], ["text.min_words=null", "a whole number"]),
    (["run", "storage=s3", "storage.bucket=2024"], ["storage.bucket=2024", "quotes"]),
    (["run", "storage.suffixes=.txt"], ["storage.suffixes=.txt", "a list"]),
    (["run", "checkpoint.skip=maybe"], ["checkpoint.skip=maybe", "true or false"]),
    (
        ["run", "opensearch.connection.timeout_s=soon"],
        ["opensearch.connection.timeout_s=soon", "a number"],
    ),
    # a value out of its range
    (["run", "limit=-1"], ["limit=-1", "at least 0"]),
    (["run", "max_attempts=0"], ["max_attempts=0", "at least 1"]),
    (["run", "stages.embed.workers=0"], ["stages.embed.workers=0", "at least 1"]),
    (["run", "stages.write.num_cpus=-1"], ["stages.write.num_cpus=-1", "at least 0"]),
    (["run", "breaker.max_share=2"], ["breaker.max_share=2", "between 0 and 1"]),
    (["run", "ray.num_cpus=0"], ["ray.num_cpus=0", "at least 1"]),
    (["run", "ray.object_store_mb=1"], ["ray.object_store_mb=1", "at least 75"]),
    (["run", "summarizer=lead", "summarizer.words=0"], ["summarizer", "words", "1 or more"]),
    (["run", "opensearch.shards=0"], ["opensearch.shards=0", "at least 1"]),
    (["run", "opensearch.index=Books"], ["opensearch.index=Books", "lowercase"]),
    (
        ["run", "opensearch.connection.timeout_s=0"],
        ["opensearch.connection.timeout_s=0", "more than 0"],
    ),
    (["run", "opensearch=self_managed", "opensearch.endpoint=x"], ["opensearch", "https://"]),
    (["search", "x", "limit=0"], ["limit=0", "between 1 and"]),
    # what Hydra takes for no name of a choice
    (["run", "summarizer=7"], ["summarizer=7", "choose one of", "bedrock"]),
    (["run", "embedder=true"], ["embedder=true", "choose one of", "wordllama"]),
    (["run", "storage=[1,2]"], ["storage=[1,2]", "choose one of", "s3"]),
    (["run", f"checkpoint={'x' * 5000}"], ["checkpoint=xxx", "choose one of", "parquet"]),
    # not a command line at all
    (
        ["serch", "x"],
        ["'serch'", "run, plan, index, retry, search, verify, promote, rollback, gc, up, down"],
    ),
    (["run", "limit"], ["'limit'", "option=value"]),
    (["run", "limit=[1"], ["limit=[1"]),
    (["run", "--bogus"], ["--bogus"]),
    (["run", "--cfg", "jobs"], ["jobs", "job"]),
    (["run", "--config-dir", "nowhere"], ["nowhere"]),
]


@pytest.mark.parametrize(("args", "named"), WRONG, ids=lambda value: " ".join(value)[:60])
def test_a_wrong_option_is_one_line_and_exit_2(
    args: list[str],
    named: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    code, out, err = raypipe(capsys, monkeypatch, *args)
    assert (code, out) == (2, "")
    assert err.startswith("raypipe: ")
    assert err.count("\n") == 1
    assert [name for name in named if name not in err] == [], err
    assert list(tmp_path.iterdir()) == []  # nothing was begun, no log is left


def test_a_file_that_is_no_yaml_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "storage").mkdir(parents=True)
    (tmp_path / "mine" / "storage" / "bad.yaml").write_text("path: [1\n")
    code, _, err = raypipe(capsys, monkeypatch, "run", "--config-dir", "mine", "storage=bad")
    assert (code, err.count("\n")) == (2, 1)
    assert "bad.yaml" in err


def test_a_multirun_runs_all_its_jobs_and_exits_with_the_highest_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limits: list[int] = []

    def main(cfg: DictConfig) -> int:
        limits.append(cfg.limit)
        if cfg.limit == 2:
            raise OptionError("limit=2: not today")
        return 3 if cfg.limit == 1 else 0

    monkeypatch.setattr("raypipe.cli.commands.run.main", main)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code, _, err = raypipe(capsys, monkeypatch, "run", "-m", "limit=1,2,5")
    assert code == 3
    assert limits == [1, 2, 5]
    assert err == "raypipe: limit=2: not today\n"
    # Hydra's own record of a multirun is not left where the person stands, nor anywhere else.
    assert list(tmp_path.iterdir()) == []


def test_a_multirun_goes_over_choices_and_ends_where_a_person_stops_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedders: list[str] = []

    def main(cfg: DictConfig) -> int:
        embedders.append(cfg.embedder["_target_"].rpartition(".")[2])
        if len(embedders) == 2:
            with stop_on_signal():
                signal.raise_signal(signal.SIGINT)
            return 4
        return 0

    monkeypatch.setattr("raypipe.cli.commands.run.main", main)
    code, _, _ = raypipe(capsys, monkeypatch, "run", "-m", "embedder=hash,wordllama", "limit=1,2")
    assert code == 4
    assert embedders == ["HashEmbedder", "HashEmbedder"]
    code, _, _ = raypipe(capsys, monkeypatch, "run", "-m", "embedder=hash,wordllama")
    assert code == 0  # the next command line begins anew
    assert embedders[2:] == ["HashEmbedder", "WordLlamaEmbedder"]


# Help and --cfg job.


def test_the_first_help_names_every_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = raypipe(capsys, monkeypatch, "--help")
    assert (code, err) == (0, "")
    assert all(re.search(rf"^  {name} ", out, re.MULTILINE) for name in cli.COMMANDS)
    assert len(out.splitlines()) <= 20


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_a_commands_help_is_short_and_true(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = raypipe(capsys, monkeypatch, command, "-h")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"raypipe {command}: ")
    assert len(lines) <= 84
    assert "_target_" not in out
    cfg = composed(command)
    for name, choice in CHOICES:
        used = name in cfg or (name == "scale" and command in ("run", "plan", "index", "retry"))
        used = used and (name, command) != ("quota", "simulate")  # there it is no group
        row = next((line.split() for line in lines if line.startswith(f"  {name}  ")), [])
        assert (choice in row or f"[{choice}]" in row) == used, name
    # An option is found by its whole name, or by its part's name and the rest of it.
    for key in _keys(cfg):
        part, _, rest = key.partition(".")
        assert f"  {key}=" in out or (f"  {part}." in out and f" {rest}=" in out), key


def _keys(node: Any, path: str = "") -> Iterator[str]:
    # A table by ids of models is one option.
    if not isinstance(node, DictConfig) or not all(str(key).isidentifier() for key in node):
        yield path
        return
    for name in node:
        name = str(name)
        inner = f"{path}.{name}" if path else name
        if name != "_target_" and not OmegaConf.is_interpolation(node, name):
            yield from _keys(None if OmegaConf.is_missing(node, name) else node[name], inner)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_examples_in_a_commands_help_are_right(command: str) -> None:
    lines = (CONF / f"{command}.yaml").read_text().splitlines()
    examples = [
        line for line in itertools.takewhile(lambda line: line.startswith("# raypipe"), lines)
    ][1:]
    assert examples
    for line in examples:
        assert line.startswith(f"# raypipe {command}")


def test_help_shows_the_values_that_were_typed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = raypipe(capsys, monkeypatch, "run", "storage=s3", "--help", "limit=7")
    assert code == 0
    assert "local [s3] samples" in out
    assert "bucket=???" in out
    assert "  limit=7 " in out


def test_help_of_a_wrong_option_is_the_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = raypipe(capsys, monkeypatch, "run", "--help", "storage=s4")
    assert (code, out) == (2, "")
    assert "local, s3, samples" in err


@pytest.mark.parametrize(
    "args",
    [
        ["run", "--cfg", "job", "limit=7", "storage.bucket=b"],
        ["run", "limit=7", "--cfg", "job", "storage.bucket=b"],
        ["search", "two", "--cfg", "job", "friends", "limit=7"],
    ],
    ids=" ".join,
)
def test_cfg_job_prints_the_config_wherever_the_flag_stands(
    args: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = raypipe(capsys, monkeypatch, *args)
    assert (code, err) == (0, "")
    shown = OmegaConf.create(out)
    assert isinstance(shown, DictConfig)
    assert shown.limit == 7
    assert shown.query == "two friends" if args[0] == "search" else shown.storage.bucket == "b"


def test_cfg_job_imports_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "raypipe", "run", "--cfg", "job"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(config.__file__).parents[2]), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "bucket: sample-books" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    heavy = {"ray", "boto3", "opensearchpy", "wordllama", "numpy", "pyarrow", "moto"}
    assert "hydra" in imported
    assert imported & heavy == set()
    assert list(tmp_path.iterdir()) == []
