"""README, CONTRIBUTING, the changelog and the table of failures match the code."""

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
from raypipe.cli.app import WITHOUT_JOB, split_command
from raypipe.cli.arguments import name_words, quote_query
from raypipe.cli.help_text.program import COMMANDS
from raypipe.config.build import read_options
from raypipe.config.error_messages import find_missing_values
from raypipe.config.paths import conf_dir
from raypipe.config.schema import register_schemas
from raypipe.core.book import Book
from raypipe.ledger.failure_log import DEGRADED, KINDS
from raypipe.models import error_policy as policy
from raypipe.opensearch.bulk import error_policy as bulk_policy
from raypipe.summarizers.llm.task_runner import FAILURE_KINDS

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


def test_readme_shows_command_lines() -> None:
    assert len(CALLS) >= 3


@pytest.mark.parametrize("line", CALLS)
def test_a_command_line_in_the_docs_is_valid(line: str) -> None:
    words = shlex.split(SUBCOMMAND.sub("", line, count=1), comments=True)
    command, args = split_command(words)
    if "--help" in args:
        return
    if command in WITHOUT_JOB:  # they take the options of another command
        command, args = split_command([arg for arg in args if not arg.startswith("output=")])
    args = [arg for arg in args if not arg.startswith("profile=")]
    overrides = quote_query(args) if command == "search" else args
    overrides = name_words(command, overrides)
    register_schemas()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        overrides = [override for override in overrides if not override.startswith("-")]
        if "-m" in args:  # the first job of a multirun
            overrides = [override.split(",")[0] for override in overrides]
        cfg = compose(command, overrides=overrides)
    if words[0] != "settings":
        assert find_missing_values(cfg) == ""
        read_options(cfg)


def test_the_table_in_readme_has_every_command() -> None:
    rows = [line.partition("|")[2].partition("|")[0] for line in README.splitlines()]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(COMMANDS) <= named


def test_the_choices_in_readme_are_the_option_files() -> None:
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()} - {
        "hydra",
        "base",
    }
    shown = {}
    for row in re.findall(r"^\| `(\w+)` \|([^|]*)\|", README, re.MULTILINE):
        if row[0] in groups:
            shown[row[0]] = set(re.findall(r"`(\w+)`", row[1]))
    files = {name: {path.stem for path in (conf_dir() / name).glob("*")} for name in groups}
    assert shown == {name: choices for name, choices in files.items() if len(choices) > 1}


_MAKE = re.compile(r"(?:^|\$ |[;&] )make ([a-z][\w-]*)", re.MULTILINE)


@pytest.mark.parametrize(
    "text", [README, CONTRIBUTING, CHANGELOG], ids=["README", "CONTRIBUTING", "CHANGELOG"]
)
def test_make_targets_in_the_docs_exist(text: str) -> None:
    # Only in code: the printed output of a program may contain the word "make", too.
    code = [*re.findall(r"`(make [^`]+)`", text), *fenced(text)]
    named = {target for line in code for target in _MAKE.findall(line)}
    targets = set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.MULTILINE))
    assert named - targets == set()


def test_make_help_explains_every_target() -> None:
    phony = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split())
    explained = set(re.findall(r"^([a-z-]+):.*## \w", MAKEFILE, re.MULTILINE))
    assert phony == explained


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_links_to_files_exist(text: str) -> None:
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [path for path in linked if not (ROOT / path).exists()] == []


def test_the_changelog_has_this_version() -> None:
    assert re.search(rf"^## \[{re.escape(__version__)}\]", CHANGELOG, re.MULTILINE)


def test_readme_has_all_exit_codes() -> None:
    sentence = README.partition("Exit codes:")[2].partition(".\n")[0]
    assert re.findall(r"\b\d\b", sentence) == ["0", "1", "2", "3", "4"]


# Kinds of failure.

KIND_AT = {"BookError": 0, "Failure": 1, "Rejected": 1}
"""Position of the argument that is the kind."""

PASSED_ON = {
    "_book_error",
    "_failure",
    "_give_up",
    "_raise",
    "_use_better",
    "encode_item",
    "failed_row",
    "reject",
}
"""Functions that take their kind from a BookError, `kind_of` or a table."""


class Kinds(ast.NodeVisitor):
    """Collects the kinds that a module names, and the functions that only pass on a kind."""

    def __init__(self, module: str) -> None:
        self.named: set[str] = set()
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
                self.named.add(str(kind.value))
            else:
                self.passed_on.add(self._function)
        self.generic_visit(node)


def collect_kinds() -> Kinds:
    """Return the kinds of the whole package."""
    whole = Kinds("")
    for path in sorted(PACKAGE.rglob("*.py")):
        module = Kinds(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
        module.visit(ast.parse(path.read_text(encoding="utf-8")))
        whole.named |= module.named
        whole.passed_on |= module.passed_on
    return whole


def test_every_kind_is_explained_and_every_explained_kind_is_used() -> None:
    from raypipe.sources import s3

    table = {kind for kind, _, _ in s3._BOOK_ERRORS.values()} | {s3._book_error(_book(), "?").kind}
    by_type = {bulk_policy.failure_kind(name) for name in ("mapper_parsing_exception", "other")}
    by_code = {rule.kind for rule in policy.CODES.values()}
    by_problem = {*FAILURE_KINDS.values(), "bad_answer"}
    assert collect_kinds().named | table | by_type | by_code | by_problem | {DEGRADED} == set(KINDS)


def test_only_known_functions_pass_on_a_kind() -> None:
    assert collect_kinds().passed_on <= PASSED_ON


def test_the_kinds_of_the_bulk_writer_are_explained() -> None:
    assert set(bulk_policy.KINDS) <= set(KINDS)


def _book() -> Book:
    return Book("id", "a.txt", "e", 1, 0.0)
