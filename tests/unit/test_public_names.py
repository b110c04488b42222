"""The public names of the package: a change of this list is a change of the public API."""

from __future__ import annotations

import importlib
import inspect
import json
import pickle
import subprocess
import sys
import types
from pathlib import Path

import cloudpickle
import pytest

import raypipe

NAMES = {
    "ExportResult",
    "FailedBook",
    "Hit",
    "OpenSearchDatasink",
    "PlanResult",
    "RunResult",
    "VerifyResult",
    "__version__",
    "down",
    "errors",
    "export",
    "failures",
    "plan",
    "read_dataset",
    "read_documents",
    "run",
    "search",
    "up",
    "verify",
}
HEAVY = ("ray", "pyarrow", "numpy", "hydra", "omegaconf", "opensearchpy", "boto3", "yaml")


def test_the_package_exports_exactly_these_names() -> None:
    assert set(raypipe.__all__) == NAMES
    assert len(raypipe.__all__) == len(NAMES)


def test_every_exported_name_exists_and_is_listed_by_dir() -> None:
    assert all(hasattr(raypipe, name) for name in raypipe.__all__)
    assert set(dir(raypipe)) >= NAMES
    assert not hasattr(raypipe, "no_such_name")


def test_type_checkers_see_the_same_names() -> None:
    source = Path(raypipe.__file__).read_text(encoding="utf-8")
    block = source.partition("if TYPE_CHECKING:")[2].partition("\n\n")[0]
    imported = set(block.replace(",", " ").split()) & NAMES
    assert imported == NAMES - {"__version__"}
    assert (Path(raypipe.__file__).parent / "py.typed").is_file()


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import raypipe, sys, json; dir(raypipe); print(json.dumps(list(sys.modules)))"
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    loaded = {name.partition(".")[0] for name in json.loads(printed)}
    assert loaded & set(HEAVY) == set()


@pytest.mark.parametrize("name", ["run", "verify"])
def test_a_package_with_the_name_of_a_function_can_be_called(name: str) -> None:
    package = importlib.import_module(f"raypipe.{name}")
    assert package is getattr(raypipe, name)
    assert isinstance(package, types.ModuleType)
    assert callable(package)
    function = getattr(importlib.import_module("raypipe.api.commands"), name)
    assert inspect.signature(package) == inspect.signature(function)
    assert pickle.loads(pickle.dumps(package)) is package
    assert cloudpickle.loads(cloudpickle.dumps(package)) is package


def test_the_errors_are_one_family() -> None:
    kinds = [getattr(raypipe.errors, name) for name in raypipe.errors.__all__]
    assert {kind for kind in kinds if not issubclass(kind, raypipe.errors.RaypipeError)} == {
        raypipe.errors.BookError
    }
