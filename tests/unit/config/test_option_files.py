"""Every file in conf/ composes, makes its part, and explains its options."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from raypipe.cli.help_text.config_comments import command_files
from raypipe.cli.help_text.program import COMMANDS
from raypipe.config.build import OPTIONAL_PARTS, PARTS, build_list, read_options, require_part
from raypipe.config.error_messages import find_missing_values
from raypipe.config.group_options import LISTS
from raypipe.config.schema import SCHEMAS
from tests.unit.command_line import CHOICES, CONF, GROUPS, compose_command

pytestmark = pytest.mark.usefixtures("isolated_hydra", "no_services")

REQUIRED = {
    ("storage", "s3"): ["storage.bucket=my-books"],
    ("storage", "local"): ["storage.path=my-books"],
    ("opensearch", "self_managed"): ["opensearch.endpoint=https://search.example:9200"],
    ("opensearch", "aws_managed"): ["opensearch.endpoint=https://x.us-east-1.es.amazonaws.com"],
    ("opensearch", "aws_serverless"): [
        "opensearch.endpoint=https://x.us-east-1.aoss.amazonaws.com"
    ],
    ("notify", "sns"): ["notify.sns.topic_arn=arn:aws:sns:us-east-1:123456789012:books"],
}
"""The options that a choice needs. A test below fails if an entry is not needed."""


def test_there_is_a_primary_config_and_a_schema_for_each_command() -> None:
    assert {path.stem for path in CONF.glob("*.yaml")} == set(COMMANDS) == set(SCHEMAS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_primary_config_composes_to_typed_options(command: str) -> None:
    cfg = compose_command(command, *(["query=whale"] if command == "search" else []))
    assert isinstance(read_options(cfg), SCHEMAS[command])


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_an_option_file_composes_and_makes_its_part(group: str, choice: str) -> None:
    cfg = compose_command("run", f"{group}={choice}", *REQUIRED.get((group, choice), []))
    assert find_missing_values(cfg) == ""
    read_options(cfg)
    if group in LISTS:
        parts = build_list(cfg, group)
        assert list(parts) == ([] if choice == "none" else [choice])
        assert all(map(dataclasses.is_dataclass, parts.values()))
    if group in PARTS and not (group in OPTIONAL_PARTS and choice == "none"):
        OmegaConf.update(cfg, "opensearch.endpoint", "http://127.0.0.1:9200")
        part = require_part(cfg, group)
        assert dataclasses.is_dataclass(part)
        assert type(part).__module__.startswith("raypipe.")


def test_several_choices_of_a_list_hold_together() -> None:
    cfg = compose_command("run", "notify=[webhook,slack]", "notify.slack.events=[breaker]")
    parts = build_list(cfg, "notify")
    assert list(parts) == ["webhook", "slack"]
    assert parts["slack"].events == ["breaker"]


@pytest.mark.parametrize(("group", "choice"), REQUIRED)
def test_required_options_have_no_value(group: str, choice: str) -> None:
    cfg = compose_command("run", f"{group}={choice}")
    keys = [override.partition("=")[0] for override in REQUIRED[group, choice]]
    message = f"give a value for {', '.join(f'{key}=...' for key in keys)}"
    assert find_missing_values(cfg) == message


def test_every_group_is_a_part_or_has_typed_options() -> None:
    assert {*PARTS, *LISTS, "scale", "ray", "quota"} == set(GROUPS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_primary_config_has_a_comment(command: str) -> None:
    lines = [line for path in command_files(command) for line in _option_lines(path)]
    uncommented = [
        line
        for above, line in itertools.pairwise(["", *lines])
        if re.match(r"\s*\w+:", line) and not above.strip().startswith("#")
    ]
    # The only key of a commented mapping is explained by the comment of the mapping.
    deep = [line for line in uncommented if not line.startswith("  ") or line.count(" ") > 9]
    assert deep == []
    own = {line.strip().partition(":")[0] for line in lines if re.match(r"\w+:", line)}
    cfg = compose_command(command, *(["query=whale"] if command == "search" else []))
    quota = set() if command == "simulate" else {"quota"}  # of simulate, it is a plain option
    assert own == set(cfg) - {*PARTS, *LISTS, "ray", "stages", *quota}


def _option_lines(path: Path) -> list[str]:
    """Return the lines of a primary config's options, without the defaults list and Hydra's."""
    lines = path.read_text().splitlines()
    end = lines.index("hydra:") if "hydra:" in lines else len(lines)
    return lines[lines.index("  - _self_") + 1 : end]


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=str)
def test_every_option_file_begins_with_its_purpose(path: Path) -> None:
    first = path.read_text().removeprefix("# @package _global_\n").splitlines()[0]
    assert re.match(r"# .{10,}", first)
