"""The list of mutations fits the code, and the script that applies them sees what survives."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.mutations import ROOT, Mutation, check_all, load_mutations
from tests.unit.docs.test_plain_english import find_idioms

MUTATIONS = load_mutations()
MIN_MUTATIONS = 30

RULES = "def is_free(count, limit):\n    return count < limit\n"
TESTS = """
from rules import is_free

def test_free():
    assert is_free(1, 2)

def test_limit():
    assert not is_free(2, 2)
"""


@cache
def names_of_tests(file: str) -> set[str]:
    """Return the names of the tests in a file, `TestClass::test_name` for those of a class."""
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    names = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    for owner in (node for node in body if isinstance(node, ast.ClassDef)):
        names |= {f"{owner.name}::{node.name}" for node in owner.body if hasattr(node, "name")}
    return names


def test_there_are_enough_mutations_of_different_rules() -> None:
    rules = [mutation.rule for mutation in MUTATIONS]
    assert len(rules) >= MIN_MUTATIONS
    assert len(set(rules)) == len(rules)
    assert {mutation.area for mutation in MUTATIONS} >= {"ledger", "bulk", "quota", "deletes"}
    assert [idiom for rule in rules for idiom in find_idioms(rule)] == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.rule for mutation in MUTATIONS])
def test_a_mutation_fits_the_code_and_names_its_tests(mutation: Mutation) -> None:
    source = (ROOT / mutation.file).read_text(encoding="utf-8")
    mutated = mutation.apply(source)
    assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(source))
    assert mutation.tests
    for test in mutation.tests:
        file, _, name = test.partition("::")
        assert name in names_of_tests(file), test


def mutate(rule: str, new: str, test: str) -> Mutation:
    return Mutation("example", rule, "rules.py", "return count < limit", new, (test,))


def test_only_a_failed_test_catches_a_mutation(tmp_path: Path) -> None:
    for name, text in {"rules.py": RULES, "test_rules.py": TESTS, "pytest.ini": "[pytest]"}.items():
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    wrong = "return count <= limit"
    mutations = [
        mutate("caught", wrong, "test_rules.py::test_limit"),
        mutate("not tested", wrong, "test_rules.py::test_free"),
        mutate("invalid name", "return kount < limit", "test_rules.py::test_limit"),
        mutate("invalid syntax", "return count <", "test_rules.py::test_limit"),
    ]
    lines: list[str] = []
    result = check_all(mutations, tmp_path, jobs=1, report=lines.append)
    assert result == {
        "mutations": 4,
        "caught": 1,
        "survived": ["not tested", "invalid name", "invalid syntax"],
        "ok": False,
    }
    assert "survived: the tests pass" in "\n".join(lines)
    assert (tmp_path / "rules.py").read_text() == RULES


def test_old_lines_occur_exactly_once() -> None:
    mutation = mutate("rule", "return True", "test_rules.py::test_limit")
    assert mutation.apply(RULES) == "def is_free(count, limit):\n    return True\n"
    for source in ("", RULES * 2, RULES.replace("limit\n", "limit  # a comment\n")):
        with pytest.raises(ValueError, match=r"occur . times in rules\.py"):
            mutation.apply(source)


def test_without_a_mutation_the_tests_pass(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(RULES)
    (tmp_path / "test_rules.py").write_text(f"{TESTS}\n    assert is_free(2, 2)\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    mutation = mutate("rule", "return True", "test_rules.py::test_limit")
    lines: list[str] = []
    assert not check_all([mutation], tmp_path, report=lines.append)["ok"]
    assert "do not pass without a mutation" in lines[0]
