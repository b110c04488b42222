"""Own parts: where they are found, what explains an import that fails, and what is uploaded."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raypipe.cli.settings.trust import check_trusted
from raypipe.core import own_parts
from raypipe.core.errors import OptionError, SetupError
from raypipe.run.executors import runtime_env
from raypipe.run.executors.runtime_env import copy_modules, copy_or_explain, merge_environments

SOURCES = {
    "own_good.py": "class Part:\n    pass\n",
    "own_needs_more.py": "# The first line.\nimport no_such_dependency\n",
    "own_broken.py": "class Part\n    pass\n",
    "own_exits.py": "import sys\nsys.exit(3)\n",
    "own_package/__init__.py": "",
    "own_package/inner.py": "class Part:\n    pass\n",
    "own_namespace/inner.py": "class Part:\n    pass\n",
    "json.py": "raise RuntimeError\n",
    "yaml.py": "raise RuntimeError\n",
    "raypipe.py": "raise RuntimeError\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield an allowed folder with modules; afterwards forget it and them."""
    for name, text in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(own_parts, "_allowed", [])
    own_parts.allow_imports(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("own_"):
            del sys.modules[name]


def test_only_modules_that_nothing_else_has_are_in_the_folder(folder: Path) -> None:
    own = ["own_good.Part", "own_package.inner.Part", "own_namespace.inner.Part"]
    other = ["json.Part", "yaml.Part", "raypipe.Part", "own_absent.Part", "no-module.Part"]
    assert [own_parts.is_in_folder(target, folder) for target in own] == [True] * 3
    assert [own_parts.is_in_folder(target, folder) for target in other] == [False] * 5


def test_loaded_modules_are_those_of_the_folder(folder: Path) -> None:
    assert own_parts.load_target("own_package.inner.Part").__name__ == "Part"
    assert own_parts.load_target("json.JSONDecoder").__module__ == "json.decoder"
    names = [module.__name__ for module in own_parts.loaded_modules()]
    assert sorted(names) == ["own_package", "own_package.inner"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("own_absent.Part", "there is no module own_absent; put it beside raypipe.yaml"),
        ("own_package.absent.Part", "own_package/__init__.py) has no absent"),
        (
            "own_needs_more.Part",
            "module own_needs_more cannot be imported: ModuleNotFoundError: No module named "
            "'no_such_dependency' ({folder}/own_needs_more.py, line 2); install it for the Python "
            "that runs raypipe; search path: ",
        ),
        (
            "own_broken.Part",
            "cannot be imported: SyntaxError: expected ':' (own_broken.py, line 1)",
        ),
        ("own_exits.Part", "SystemExit: 3 ({folder}/own_exits.py, line 2)"),
        ("own_good.Prt", "module own_good ({folder}/own_good.py) has no Prt; did you mean Part?"),
        ("own_good..Part", "it must be module.Class"),
        ("own_good:Part", "it must be module.Class"),
        ("own_good.py", "it must be module.Class"),
        ("json.MyPart", "Python itself has a module of this name, so rename yours"),
    ],
)
def test_the_message_names_module_reason_and_path(folder: Path, target: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        own_parts.load_target(target)
    text = str(caught.value)
    assert message.format(folder=folder) in text
    assert "\n" not in text
    if "search path: " in message:
        assert text.endswith(str(folder))


def test_a_worker_finds_folders_and_copies_at_the_end_of_its_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    upload = tmp_path_factory.mktemp("upload")
    copy_modules(folder, upload / own_parts.UPLOADED / "0")
    monkeypatch.setattr(sys, "path", [str(upload), *sys.path[:-1]])
    monkeypatch.setenv(own_parts.VARIABLE, f"/first{os.pathsep}/second")
    monkeypatch.setenv(own_parts.OUTER_HOOK, "own_good.Part")
    own_parts.set_up_worker()
    assert sys.path[-3:] == ["/first", "/second", str(upload / own_parts.UPLOADED / "0")]
    assert "own_good" in sys.modules, "the hook of the submitted job runs, too"


def test_modules_and_packages_are_copied_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    beside = ["raypipe.yaml", ".env", "book.txt", ".git/config.py", "raypipe-data/a.parquet"]
    inside = ["words.txt", ".env", "aws.pem", "credentials.json", "__pycache__/inner.pyc", "x/y.py"]
    for name in [*beside, *(f"own_package/{name}" for name in inside)]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("SECRET")
    copy = tmp_path / "copy"
    copy_modules(folder, copy)
    copied = sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file())
    assert copied == [
        "own_broken.py",
        "own_exits.py",
        "own_good.py",
        "own_needs_more.py",
        "own_package/__init__.py",
        "own_package/inner.py",
        "own_package/words.txt",
        "own_package/x/y.py",
        "yaml.py",
    ]


def test_folders_that_cannot_be_read_are_left_out_or_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lost+found").mkdir()
    (folder / "own_package" / "closed").mkdir()
    stat = os.stat

    def refuse(path: Any, **options: Any) -> os.stat_result:
        if "lost+found/" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", refuse)
    check_trusted(folder / "raypipe.yaml", None, "raypipe.yaml")
    copy_or_explain(folder, tmp_path / "copy")
    iterdir = Path.iterdir

    def refuse_listing(path: Path) -> Iterator[Path]:
        if path.name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refuse_listing)
    with pytest.raises(SetupError, match=r"cannot be copied .*: Permission denied \(.*/closed\)"):
        copy_or_explain(folder, tmp_path / "again")


def test_large_modules_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_env, "MAX_MB", 1)
    (folder / "own_package" / "weights.bin").write_bytes(bytes(1_100_000))
    with pytest.raises(SetupError, match=r"file is own_package/weights.bin \(1.1 MB\). Fix"):
        copy_modules(folder, folder.parent / f"{folder.name}-copy")


def test_the_environment_of_a_submitted_job_stays() -> None:
    own = {"py_modules": ["/parts"], "worker_process_setup_hook": "raypipe.hook"}
    assert merge_environments({}, own) == own
    outer = {
        "pip": ["some"],
        "py_modules": ["gcs://theirs.zip"],
        "env_vars": {"A": "1"},
        "worker_process_setup_hook": "their.hook",
    }
    assert merge_environments(outer, own) == {
        "pip": ["some"],
        "py_modules": ["gcs://theirs.zip", "/parts"],
        "worker_process_setup_hook": "raypipe.hook",
        "env_vars": {
            "A": "1",
            own_parts.OUTER_HOOK: "their.hook",
            "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR": "raypipe.hook",
        },
    }
