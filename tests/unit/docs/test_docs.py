"""README, docs/, CONTRIBUTING, the changelog and the table of failures match the code."""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex

import pyarrow as pa
import pytest

from raypipe import __version__
from raypipe.cli.app import WITHOUT_JOB, split_command
from raypipe.cli.arguments import (
    name_words,
    quote_query,
    take_profile,
    take_settings_flag,
)
from raypipe.cli.override_values import accept_text
from raypipe.config.build import read_options
from raypipe.config.error_messages import find_missing_values
from raypipe.coordination.counts import ModelUsage
from raypipe.core import exit_codes
from raypipe.core.book import DOCUMENT_SCHEMA, Book
from raypipe.embedded.lock_file import LOCK_FILE, parse_lock_file
from raypipe.ledger import tombstones
from raypipe.ledger.checkpoint import PROCESSED_SCHEMA
from raypipe.ledger.failure_log import DEGRADED, FAILURES_SCHEMA, KINDS
from raypipe.ledger.run_records import RunRecord
from raypipe.models import error_policy as policy
from raypipe.opensearch.bulk import error_policy as bulk_policy
from raypipe.summarizers.llm.task_runner import FAILURE_KINDS
from tests.unit.command_line import compose_command
from tests.unit.docs.pages import (
    PAGES,
    README,
    ROOT,
    fenced,
    read_anchors,
    read_inline_code,
    read_links,
    read_prose,
)

PACKAGE = ROOT / "raypipe"
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
SUBCOMMAND = re.compile(r"(?:\.venv/bin/)?(?:python -m )?raypipe(?: |$)")
OTHER_PROGRAMS = re.compile(
    r"#|export |pip (install|wheel) |\.venv/bin/python -m pytest |make [a-z]|ray [a-z]|curl "
    r"|RAY_AUTH_MODE=token ray job |python -c |while raypipe status "
    r"|(\w+=\S+ )*(vllm|ollama|llama-server|lms|docker) "
)
"""Typed or parsed by other tests: Make's targets below, Ray's lines in test_ray_up, the conversion
of the pickle in test_docs_run, curl's addresses in tests/unit/web; the servers of
docs/openai_servers.md are not installed here."""
PLACEHOLDER = re.compile(r"\.\.\.|\b(COMMAND|FILE|DIR)\b")


def read_calls() -> dict[str, str]:
    """Return each command line of raypipe that a page shows, with the page."""
    calls: dict[str, str] = {}
    for name, text in PAGES.items():
        lines = [*fenced(text), *read_inline_code(text)]
        on_nodes = [line.partition("-- ")[2] for line in lines if "ray job submit" in line]
        on_nodes += [part for line in lines for part in re.findall(r"^ray exec .*'(.*)'$", line)]
        for line in [*lines, *on_nodes]:
            if SUBCOMMAND.match(line) and not PLACEHOLDER.search(line):
                calls.setdefault(line, name)
    return calls


CALLS = read_calls()
BLOCK_LINES = {line for text in PAGES.values() for line in fenced(text)}
"""Lines that a reader copies; inline code may leave out what an option needs."""


def test_the_docs_show_command_lines() -> None:
    assert len(CALLS) >= 90
    assert len(set(CALLS.values())) >= 12


@pytest.mark.parametrize("name", PAGES)
def test_each_line_of_a_block_is_parsed_or_known(name: str) -> None:
    lines = [line for line in fenced(PAGES[name], "sh") if line]
    calls = [line for line in lines if SUBCOMMAND.match(line)]
    assert [line for line in calls if line not in CALLS] == [], "a placeholder"
    assert [line for line in lines if not (line in CALLS or OTHER_PROGRAMS.match(line))] == []
    kinds = set(re.findall(r"^ *```(\w+)$", PAGES[name], re.MULTILINE))
    assert kinds <= {"sh", "console", "python", "yaml"}, "unknown blocks are not checked"


@pytest.mark.parametrize("line", CALLS)
def test_a_command_line_in_the_docs_is_valid(line: str) -> None:
    if CALLS[line] == "CONTRIBUTING.md" and "letters" in line:
        return  # test_contributing.py adds this embedder and runs the line
    words, _ = take_settings_flag(shlex.split(SUBCOMMAND.sub("", line, count=1), comments=True))
    word, args = split_command(words)
    if "--help" in args or args[:1] == ["-sc"]:
        return
    command = word
    if word in WITHOUT_JOB:  # they take the options of another command
        own = {"settings": ("output=",), "init": ("force=",)}[word]
        command, args = split_command([arg for arg in args if not arg.startswith(own)])
    args, _ = take_profile(args)
    args = quote_query(args) if command == "search" else args
    args = name_words(command, args)
    overrides = [arg for arg in accept_text(command, args) if not arg.startswith("-")]
    if "--cfg" in args:
        overrides.remove("job")
    if "-m" in args:  # the first job of a multirun
        overrides = [override.split(",")[0] for override in overrides]
    cfg = compose_command(command, *overrides)
    if line in BLOCK_LINES and word != "settings":
        assert find_missing_values(cfg) == ""
        read_options(cfg)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files_and_headings(name: str) -> None:
    assert [link for link in read_links(PAGES[name]) if not leads_somewhere(name, link)] == []


def leads_somewhere(page: str, link: str) -> bool:
    """Return whether the target of a page's link exists, with its heading."""
    path, _, anchor = link.partition("#")
    target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or anchor in read_anchors(target.read_text(encoding="utf-8"))


TEST_PATH = re.compile(r"\btests/[\w/]*(?:\.py)?\b(?!\.)")


@pytest.mark.parametrize("name", PAGES)
def test_the_tests_that_a_page_names_exist(name: str) -> None:
    code = [*read_inline_code(PAGES[name]), *fenced(PAGES[name])]
    named = {path for line in code for path in TEST_PATH.findall(line)}
    new = {"tests/unit/embedders/test_letters_embedder.py"}  # of the steps in CONTRIBUTING
    assert {path for path in named - new if not (ROOT / path).exists()} == set()


def find_definitions(place: str) -> set[str]:
    """Return the names that the modules of a place define: a file or a folder of the package."""
    path = PACKAGE / place
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    pattern = re.compile(r"^(?:class |def )?(\w+)\b(?=[(:]|.* = )", re.MULTILINE)
    return {name for file in files for name in pattern.findall(file.read_text(encoding="utf-8"))}


def test_the_abstractions_are_where_the_table_says() -> None:
    table = PAGES["AGENTS.md"].partition("\n## Abstractions\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \| (`.*?`) \| .* \|$", table, re.MULTILINE)
    assert len(rows) >= 30
    for names, places in rows:
        defined = {
            name for place in re.findall(r"`(.*?)`", places) for name in find_definitions(place)
        }
        assert set(re.findall(r"`(.*?)`", names)) - defined == set()


@pytest.mark.parametrize("name", PAGES)
def test_no_text_is_taken_for_html(name: str) -> None:
    text = re.sub(r"`[^`]*`", "", read_prose(PAGES[name]))
    assert re.findall(r"(?<!\\)<[a-z/!].*", text) == []


def test_a_broken_link_is_found() -> None:
    assert leads_somewhere("docs/sink.md", "options.md#raypipe-run")
    assert not leads_somewhere("docs/sink.md", "options.md#raypipe-sing")
    assert not leads_somewhere("docs/sink.md", "docs/options.md")


def test_readme_leads_to_every_page() -> None:
    linked = {link.partition("#")[0] for link in read_links(README)}
    assert set(PAGES) - {"README.md"} - linked == set()


def test_readme_stays_on_one_page() -> None:
    assert len(README.splitlines()) <= 150
    assert len(README.split()) <= 1_000


_MAKE = re.compile(r"(?:^|\$ |[;&] )make ([a-z][\w-]*)", re.MULTILINE)


@pytest.mark.parametrize("name", [*PAGES, "CHANGELOG.md"])
def test_make_targets_in_the_docs_exist(name: str) -> None:
    text = PAGES.get(name, CHANGELOG)
    # Only in code: the printed output of a program may contain the word "make", too.
    code = [*re.findall(r"`(make [^`]+)`", text), *fenced(text)]
    named = {target for line in code for target in _MAKE.findall(line)}
    targets = set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.MULTILINE))
    assert named - targets == set()


def test_make_help_explains_every_target() -> None:
    phony = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split())
    explained = set(re.findall(r"^([a-z-]+):.*## \w", MAKEFILE, re.MULTILINE))
    assert phony == explained


def test_the_changelog_has_this_version() -> None:
    assert re.search(rf"^## \[{re.escape(__version__)}\]", CHANGELOG, re.MULTILINE)


def test_the_pages_name_the_wheel_of_this_version() -> None:
    wheels = {name for text in PAGES.values() for name in re.findall(r"raypipe-[\w.-]+\.whl", text)}
    wheels.discard("raypipe-VERSION-py3-none-any.whl")
    assert wheels == {f"raypipe-{__version__}-py3-none-any.whl"}


def test_the_size_of_the_jars_is_that_of_the_lock_file() -> None:
    artifacts = parse_lock_file(LOCK_FILE.read_text(encoding="utf-8"))
    size = round(sum(artifact.size for artifact in artifacts) / 10**6)
    assert f"jars of the OpenSearch node, {size} MB." in PAGES["docs/guides/air_gapped.md"]


def test_the_page_of_exit_codes_has_all_of_them() -> None:
    codes = [value for value in vars(exit_codes).values() if isinstance(value, int)]
    page = PAGES["docs/reference/exit_codes.md"]
    assert re.findall(r"^\| (\d) \|", page, re.MULTILINE) == [str(code) for code in sorted(codes)]


@pytest.mark.parametrize(
    ("heading", "schema"),
    [
        ("processed", PROCESSED_SCHEMA),
        ("failures", FAILURES_SCHEMA),
        ("removed", tombstones._COLUMNS),
        ("documents", DOCUMENT_SCHEMA),
    ],
)
def test_the_page_of_the_state_has_every_column(heading: str, schema: pa.Schema) -> None:
    page = PAGES["docs/reference/state.md"]
    section = page.partition(f"\n### {heading}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([\w ]+) \| \S", section, re.MULTILINE)
    assert rows == [(field.name, describe_type(field.type)) for field in schema]


def describe_type(kind: pa.DataType) -> str:
    """Return the name of a type as the page writes it."""
    return f"list of {kind.value_type}" if pa.types.is_list(kind) else str(kind)


def test_the_page_of_the_run_record_has_every_field() -> None:
    page = PAGES["docs/reference/run_record.md"]
    rows = re.findall(r"^\| `(\w+)` \| \S", page, re.MULTILINE)
    assert rows == [field.name for field in dataclasses.fields(RunRecord)]
    assert {field.name for field in dataclasses.fields(ModelUsage)} <= set(read_inline_code(page))


def test_troubleshooting_has_real_messages_and_kinds() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    source = re.sub(r'"\n\s*f?"', "", source)  # adjacent literals are one message
    page, _, flags = PAGES["docs/troubleshooting.md"].partition("## Flags of a text")
    before, _, kinds = page.partition("## Failed books")
    messages = re.findall(r"^\| `([^`]+)` \|", before, re.MULTILINE)
    assert len(messages) >= 15
    assert [message for message in messages if message not in source] == []
    named = re.findall(r"^\| (`.*`) \|", kinds, re.MULTILINE)
    assert {kind for row in named for kind in re.findall(r"`(\w+)`", row)} <= set(KINDS)
    for flag in re.findall(r"^\| `(\w+)` \|", flags, re.MULTILINE):
        assert f'"{flag}"' in source


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
