"""What README, CONTRIBUTING and the table of failures say is what the code does."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from raypipe import __version__
from raypipe.cli import app as cli
from raypipe.config import build as config
from raypipe.config.error_messages import missing
from raypipe.core.book import Book
from raypipe.ledger.failures import KINDS
from raypipe.models import error_policy as policy
from raypipe.opensearch.bulk import error_policy as bulk_policy
from raypipe.summarizers.llm import task_runner as asking

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "raypipe"
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
SUBCOMMAND = re.compile(r"(?:\.venv/bin/)?(?:python -m )?raypipe(?: |$)")


def fenced(text: str, kinds: str = "sh|console") -> Iterator[str]:
    """Yield the lines of fenced blocks of these kinds, without prompts; `\\` joins lines."""
    for block in re.findall(rf"^```(?:{kinds})\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.strip().removeprefix("$ ")


LINES = sorted({line for text in (README, CONTRIBUTING) for line in fenced(text)})
CALLS = [line for line in LINES if SUBCOMMAND.match(line) and "..." not in line]


def test_readme_shows_commands_to_type() -> None:
    assert len(CALLS) >= 3


@pytest.mark.parametrize("line", CALLS)
def test_a_command_in_the_docs_is_right(line: str) -> None:
    command, args = cli._command(shlex.split(SUBCOMMAND.sub("", line, count=1), comments=True))
    if "--help" in args:
        return
    overrides = cli._query_as_override(args) if command == "search" else args
    config.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        plain = [one for one in overrides if not one.startswith("-")]
        if "-m" in args:  # the first job of a multirun
            plain = [one.split(",")[0] for one in plain]
        cfg = compose(command, overrides=plain)
    assert missing(cfg) == ""
    config.options(cfg)


def test_every_command_stands_in_readmes_table() -> None:
    rows = [line.partition("|")[2].partition("|")[0] for line in README.splitlines()]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(cli.COMMANDS) <= named


def test_readmes_choices_are_the_option_files() -> None:
    groups = {path.name for path in config.conf_dir().iterdir() if path.is_dir()} - {
        "hydra",
        "base",
    }
    shown = {}
    for row in re.findall(r"^\| `(\w+)` \|([^|]*)\|", README, re.MULTILINE):
        if row[0] in groups:
            shown[row[0]] = set(re.findall(r"`(\w+)`", row[1]))
    there = {name: {one.stem for one in (config.conf_dir() / name).glob("*")} for name in groups}
    assert shown == {name: choices for name, choices in there.items() if len(choices) > 1}


_MAKE = re.compile(r"(?:^|\$ |[;&] )make ([a-z][\w-]*)", re.MULTILINE)


@pytest.mark.parametrize(
    "text", [README, CONTRIBUTING, CHANGELOG], ids=["README", "CONTRIBUTING", "CHANGELOG"]
)
def test_make_targets_in_the_docs_exist(text: str) -> None:
    # Where a command may stand: what a program printed may speak of making, too.
    code = [*re.findall(r"`(make [^`]+)`", text), *fenced(text)]
    named = {target for line in code for target in _MAKE.findall(line)}
    targets = set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.MULTILINE))
    assert named - targets == set()


def test_make_help_and_contributing_name_every_target() -> None:
    phony = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split())
    explained = set(re.findall(r"^([a-z-]+):.*## \w", MAKEFILE, re.MULTILINE))
    assert phony == explained


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_links_to_files_lead_somewhere(text: str) -> None:
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [path for path in linked if not (ROOT / path).exists()] == []


def test_the_changelog_has_this_version() -> None:
    assert re.search(rf"^## \[{re.escape(__version__)}\]", CHANGELOG, re.MULTILINE)


def test_the_exit_codes_in_readme_are_all() -> None:
    sentence = README.partition("Exit codes:")[2].partition(".\n")[0]
    assert re.findall(r"\b\d\b", sentence) == ["0", "1", "2", "3", "4"]


# Kinds of failure.

KIND_AT = {"BookError": 0, "Failure": 1, "Rejected": 1}
"""Where each of these takes the kind."""

PASSED_ON = {
    "_book_error",
    "_settle_results",
    "_give_up",
    "encode_item",
    "_refusal",
    "failed_row",
    "_raise",
    "_best",
}
"""Functions that pass on a kind made elsewhere: one of BookError, `failure_kind` or a table."""


class Kinds(ast.NodeVisitor):
    """Collects the kinds that a module makes, and the functions that only pass one on."""

    def __init__(self, module: str) -> None:
        self.made: set[str] = set()
        self.passed_on: set[str] = set()
        self._function = module

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function = node.name
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        at = KIND_AT.get(name)
        if at is not None and len(node.args) > at:
            kind = node.args[at]
            if isinstance(kind, ast.Constant):
                self.made.add(str(kind.value))
            else:
                self.passed_on.add(self._function)
        self.generic_visit(node)


def found() -> Kinds:
    """Return what the whole package makes and passes on."""
    whole = Kinds("")
    for path in sorted(PACKAGE.rglob("*.py")):
        one = Kinds(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
        one.visit(ast.parse(path.read_text(encoding="utf-8")))
        whole.made |= one.made
        whole.passed_on |= one.passed_on
    return whole


def test_every_kind_that_is_made_is_explained_and_the_other_way_round() -> None:
    from raypipe.sources import s3

    table = {kind for kind, _, _ in s3._BOOK_ERRORS.values()} | {s3._book_error(_book(), "?").kind}
    by_type = {bulk_policy.failure_kind(name) for name in ("mapper_parsing_exception", "other")}
    asked = {rule.kind for rule in policy.CODES.values()}
    judged = {*asking._KINDS.values(), "bad_answer"}
    assert found().made | table | by_type | asked | judged == set(KINDS)


def test_no_kind_comes_from_where_this_test_does_not_look() -> None:
    assert found().passed_on <= PASSED_ON


def test_the_sinks_kinds_are_explained() -> None:
    assert set(bulk_policy.KINDS) <= set(KINDS)


def _book() -> Book:
    return Book("id", "a.txt", "e", 1, 0.0)
