"""Own parts: classes in modules beside the settings file, here and on Ray's workers.

The folder is the last entry of the search path, so that no module in it hides a module of Python,
of raypipe or of an installed package. `PYTHONPATH` would put it before them.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from raypipe.core.errors import OptionError
from raypipe.core.suggest import did_you_mean

VARIABLE = "RAYPIPE_OWN_PARTS"
"""Environment variable with the folders that a worker on this machine adds to its search path."""

UPLOADED = "raypipe_own_parts"
"""Folder that holds copies of the folders, where a worker on another machine finds it."""

OUTER_HOOK = "RAYPIPE_OUTER_SETUP_HOOK"
"""Environment variable with the worker's setup hook of the Ray job that started the run."""

_allowed: list[Path] = []


def allow_imports(folder: Path) -> None:
    """Import modules from a folder, in this process and on the workers of its runs."""
    if folder not in _allowed:
        _allowed.append(folder)
    _append_to_search_path([folder])


def allowed_folders() -> tuple[Path, ...]:
    """Return the folders from which this process imports own parts."""
    return tuple(_allowed)


def set_up_worker() -> None:
    """Add the driver's folders to the search path of this process, a worker of Ray."""
    names = [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    spec = PathFinder.find_spec(UPLOADED, sys.path)
    uploads = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    copies = [folder for upload in uploads for folder in sorted(upload.iterdir())]
    _append_to_search_path([*map(Path, names), *copies])
    if outer := os.environ.get(OUTER_HOOK):
        load_target(outer)()


def _append_to_search_path(folders: Iterable[Path]) -> None:
    sys.path.extend(str(folder) for folder in folders if str(folder) not in sys.path)


def can_be_own(name: str) -> bool:
    """Whether a module may be an own part: Python's and raypipe's names are taken."""
    return name.isidentifier() and name not in sys.stdlib_module_names and name != "raypipe"


def is_in_folder(target: str, folder: Path) -> bool:
    """Whether the module of a `_target_` is imported from a folder, or would be.

    Args:
        target: Path of a class, e.g. `my_embedder.MyEmbedder`.
        folder: The folder, without links.
    """
    name = target.partition(".")[0]
    if not can_be_own(name):
        return False
    spec = PathFinder.find_spec(name, [*sys.path, str(folder)])
    return spec is not None and any(place.parent == folder for place in _places(spec))


def _places(spec: ModuleSpec) -> list[Path]:
    """Return the file of a module, or the folders of a package."""
    found = spec.submodule_search_locations or ([spec.origin] if spec.origin else [])
    return [Path(place).resolve() for place in found]


def loaded_modules() -> Iterator[ModuleType]:
    """Yield the modules that this process has imported from the allowed folders."""
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        top = sys.modules.get(name.partition(".")[0])
        top_spec = getattr(top, "__spec__", None)
        if spec is None or top_spec is None or not can_be_own(name.partition(".")[0]):
            continue
        if any(place.parent in _allowed for place in _places(top_spec)):
            yield module


def load_target(target: str) -> Any:
    """Return the class or function that a `_target_` names.

    Raises:
        OptionError: It cannot be imported; the message has the module, the reason with file and
            line, and the search path.
    """
    names = target.split(".")
    if not all(names) or names[-1] == "py" or set(target) & set(":/\\ "):
        raise OptionError("it must be module.Class, e.g. my_parts.MyEmbedder for my_parts.py")
    found: Any = import_or_explain(names[0])
    for number, name in enumerate(names[1:], 2):
        if not hasattr(found, name) and hasattr(found, "__path__"):
            import_or_explain(".".join(names[:number]), optional=True)
        if not hasattr(found, name):
            raise OptionError(_explain_attribute(found, ".".join(names[: number - 1]), name))
        found = getattr(found, name)
    return found


def import_or_explain(module: str, *, optional: bool = False) -> Any:
    """Return a module.

    Args:
        module: Its full name.
        optional: Return None if there is no such module; its package may have a class of the name.

    Raises:
        OptionError: It cannot be imported; the message has the reason and the search path.
    """
    try:
        return import_module(module)
    except (Exception, SystemExit) as error:
        is_absent = isinstance(error, ModuleNotFoundError) and error.name == module
        if is_absent and optional:
            return None
        path = f"search path: {', '.join(entry or '.' for entry in sys.path)}"
        if is_absent:
            fix = "put it beside raypipe.yaml, or install it for the Python that runs raypipe"
            raise OptionError(f"there is no module {module}; {fix}; {path}") from None
        reason = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
        lacks_package = isinstance(error, ModuleNotFoundError)
        fix = "install it for the Python that runs raypipe; " if lacks_package else ""
        raise OptionError(
            f"module {module} cannot be imported: {reason}{_place_of(error)}; {fix}{path}"
        ) from None


def _place_of(error: BaseException) -> str:
    """Return file and line of an error, in an own part if its code is in the traceback."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})" if "line" not in str(error) else ""
    frames = [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and "importlib" not in Path(frame.filename).parts
    ][1:]  # the first is this module
    own = [
        frame for frame in frames if any(Path(frame[0]).is_relative_to(each) for each in _allowed)
    ]
    file, line = (own or frames or [("", 0)])[-1]
    return f" ({file}, line {line})" if file else ""


def _explain_attribute(owner: object, path: str, name: str) -> str:
    file = getattr(owner, "__file__", None)
    place = f"module {path} ({file})" if file else path
    hint = did_you_mean(name, dir(owner))
    if not hint and path in sys.stdlib_module_names:
        hint = "Python itself has a module of this name, so rename yours"
    return f"{place} has no {name}" + (f"; {hint}" if hint else "")
