"""Decide whether the parts beside a settings file may be imported: importing runs their code."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raypipe.core.errors import OptionError

_MODULES = (".py", ".pyc", ".so")
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


def has_parts(name: str, value: Any) -> bool:
    """Return whether an option names a class to import."""
    if name.rpartition(".")[2] == "_target_":
        return True
    if isinstance(value, dict):
        return any(has_parts(str(key), item) for key, item in value.items())
    return isinstance(value, list) and any(has_parts("", item) for item in value)


def check_trusted(path: Path, config_dir: Path | None, name: str, undo: str = "") -> None:
    """Check that only the user can change the file, its folder, and the code beside it.

    Args:
        path: The settings file, without links.
        config_dir: Folder with option files, without links.
        name: What names the parts, for messages: the file, or an option of the command line.
        undo: What to do instead, for messages; '' for a settings file.

    Raises:
        OptionError: Another user owns or can change a file.
    """
    undo = undo or f"remove config_dir and _target_ from {name}"
    try:
        for checked in _files_with_code(path, config_dir):
            if problem := _find_problem(checked):
                raise _distrust(name, checked, problem, undo)
    except OSError as error:
        problem = f"cannot be checked ({error.strerror})"
        raise _distrust(name, error.filename, problem, undo) from None


def _distrust(name: str, checked: object, problem: str, undo: str) -> OptionError:
    return OptionError(
        f"{name} names parts to import, but {checked} {problem}. Fix: make it yours alone "
        f"(chown, chmod go-w), or {undo}"
    )


def _find_problem(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        return f"cannot be checked ({error.strerror})"
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        return "belongs to another user"
    return "can be changed by other users" if status.st_mode & _WRITABLE else ""


def _files_with_code(path: Path, config_dir: Path | None) -> Iterator[Path]:
    if path.exists():  # `raypipe init` checks a file that it has yet to write
        yield path
    yield path.parent
    if config_dir is not None:
        yield from _tree(config_dir)
    for module in sorted(path.parent.iterdir()):
        is_package = module.name == "__pycache__" or os.path.isfile(module / "__init__.py")  # noqa: PTH113
        if is_package or module.suffix in _MODULES:
            yield from _tree(module)


def _tree(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir():
        yield from sorted(path.rglob("*"))
