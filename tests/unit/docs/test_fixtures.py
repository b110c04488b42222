"""Fixtures are in conftest.py or in the test module that uses them; no module imports a fixture.

A fixture that is imported by name is a second fixture: a session then has two nodes or two Rays.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MODULES = {
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): path
    for path in sorted((ROOT / "tests").rglob("*.py"))
}


def find_fixtures(tree: ast.Module) -> set[str]:
    """Return the names of the fixtures that a module defines."""
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return {
        function.name
        for function in functions
        if any("pytest.fixture" in ast.unparse(each) for each in function.decorator_list)
    }


def find_imports(tree: ast.Module) -> set[tuple[str, str]]:
    """Return the module and the name of each name that a module imports."""
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {(node.module or "", alias.name) for node in imports for alias in node.names}


def find_wrong_fixtures(sources: dict[str, str]) -> list[str]:
    """Return a line for each fixture of a helper module and for each imported fixture."""
    trees = {module: ast.parse(source) for module, source in sources.items()}
    fixtures = {module: find_fixtures(tree) for module, tree in trees.items()}
    in_helpers = [
        f"{module} defines {name}"
        for module, names in fixtures.items()
        for name in names
        if not module.rpartition(".")[2].startswith(("test_", "conftest"))
    ]
    imported = [
        f"{module} imports {name}"
        for module, tree in trees.items()
        for source, name in find_imports(tree)
        if name in fixtures.get(source, ())
    ]
    return sorted([*in_helpers, *imported])


def test_no_fixture_is_imported() -> None:
    sources = {module: path.read_text(encoding="utf-8") for module, path in MODULES.items()}
    assert find_wrong_fixtures(sources) == []


@pytest.mark.parametrize("decorator", ["@pytest.fixture", '@pytest.fixture(scope="module")'])
def test_the_check_finds_helpers_and_imports(decorator: str) -> None:
    sources = {
        "tests.helper": f"{decorator}\ndef server(): ...\ndef serve(): ...",
        "tests.conftest": f"{decorator}\ndef project(): ...",
        "tests.test_a": f"from tests.helper import serve\n{decorator}\ndef own(): ...",
        "tests.test_b": "def f():\n    from tests.conftest import project\n",
        "tests.test_c": "from tests.test_a import own as mine\nfrom tests.helper import server",
    }
    assert find_wrong_fixtures(sources) == [
        "tests.helper defines server",
        "tests.test_b imports project",
        "tests.test_c imports own",
        "tests.test_c imports server",
    ]
