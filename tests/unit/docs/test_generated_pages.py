"""The generated pages are up to date, and name everything that is public."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from omegaconf import OmegaConf

from raypipe.cli.help_text.config_comments import leaf_options
from raypipe.cli.help_text.program import COMMANDS
from raypipe.ledger.failure_log import KINDS
from tests.generated_pages import GENERATED_PAGES
from tests.generated_pages.docstrings import parse_docstring, read_docstring
from tests.generated_pages.model_calls import LANES
from tests.generated_pages.python_api import MODULES, public_names
from tests.unit.command_line import compose_command
from tests.unit.docs.pages import PAGES, ROOT

API_PAGE = PAGES["docs/reference/python_api.md"]


@pytest.mark.parametrize("path", GENERATED_PAGES)
def test_a_generated_page_is_up_to_date(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert text == GENERATED_PAGES[path](), "run `make docs`"


def test_the_diagram_of_a_model_call_names_existing_classes() -> None:
    assert [name for name, module in LANES if not hasattr(import_module(module), name)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_has_a_row(command: str) -> None:
    named = set(re.findall(r"^\| `([\w.]+)` \| `", PAGES["docs/options.md"], re.MULTILINE))
    values = OmegaConf.to_container(compose_command(command), resolve=False)
    options = {
        name
        for name, value in leaf_options("", values)
        # A reference is the option that it refers to, and a target is chosen by a group.
        if not (name.endswith("_target_") or str(value).startswith("${"))
    }
    assert options
    assert options - named == set()


def test_every_command_and_every_kind_of_failure_has_a_place() -> None:
    headings = re.findall(r"^## raypipe (\w+)$", PAGES["docs/reference/commands.md"], re.MULTILINE)
    assert headings == list(COMMANDS)
    rows = re.findall(
        r"^\| `(\w+)` \| \S.* \| \S.* \|$", PAGES["docs/reference/failure_kinds.md"], re.MULTILINE
    )
    assert rows == list(KINDS)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_on_the_page(module: str) -> None:
    section = API_PAGE.partition(f"\n## {module}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \[`(\w+)`\]\(#\w+\) \| \S.* \|$", section, re.MULTILINE)
    assert rows == [name for name, _ in public_names(import_module(module))]


def find_documented() -> Iterator[tuple[str, Any]]:
    """Yield the public classes, functions and methods, and their names."""
    for module in MODULES:
        for name, value in public_names(import_module(module)):
            if inspect.isclass(value) or inspect.isfunction(value):
                yield f"{module}.{name}", value


DOCUMENTED = dict(find_documented())


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_argument_has_an_explanation(name: str) -> None:
    value = DOCUMENTED[name]
    explained = list(read_docstring(value).arguments)
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value)]
        assert [field for field in fields if not field.startswith("_")] == explained
    elif inspect.isfunction(value) or explained:
        assert [each for each in inspect.signature(value).parameters if each != "self"] == explained


def test_a_docstring_is_read_in_its_parts() -> None:
    docstring = parse_docstring(
        "Do it.\n\nMore.\n\nArgs:\n    a: First\n        line: two.\n    b: Second.\n\n"
        "Returns:\n    The\n    result.\n\nRaises:\n    ValueError: It is wrong."
    )
    assert (docstring.text, docstring.summary) == ("Do it.\n\nMore.", "Do it.")
    assert docstring.arguments == {"a": "First line: two.", "b": "Second."}
    assert docstring.returns == "The result."
    assert docstring.raises == {"ValueError": "It is wrong."}
    with pytest.raises(ValueError, match="follows the sections"):
        parse_docstring("Do it.\n\nArgs:\n    a: First.\n\nAn example.")
