"""Bring own parts to Ray's workers, in the runtime environment of the run's Ray job.

The modules are uploaded as one `py_modules` package. A hook adds its folder `raypipe_own_parts` to
the end of each worker's search path. `working_dir` would move the workers, and both would put the
modules before Python's own.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raypipe.core.environment import set_variables
from raypipe.core.errors import SetupError
from raypipe.core.own_parts import (
    OUTER_HOOK,
    UPLOADED,
    VARIABLE,
    allowed_folders,
    can_be_own,
)

MAX_MB = 20
"""Largest upload: Ray keeps it in the memory of the head node."""

HOOK = "raypipe.core.own_parts.set_up_worker"

_JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray passes a submitted job's environment in it
_OVERRIDE = "RAY_OVERRIDE_JOB_RUNTIME_ENV"
_RAY_HOOK = "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR"
_LEFT_OUT = (".pyc", ".pem", ".key", ".p12", ".pfx", ".jks")
_LEFT_OUT_NAMES = ("__pycache__", "credentials", "credentials.json", "secrets.json", "secrets.yaml")


@contextmanager
def own_parts_environment(*, same_machine: bool) -> Iterator[dict[str, Any]]:
    """Yield the arguments with which `ray.init` brings own parts to the workers.

    Ray adds the working directory of the driver to the front of each worker's search path, where a
    file such as `queue.py` hides Python's; these arguments prevent it.

    Args:
        same_machine: Whether all workers see the folders of this machine.

    Raises:
        SetupError: The modules are too large.
    """
    from ray.job_config import JobConfig

    arguments: dict[str, Any] = {"job_config": JobConfig(_py_driver_sys_path=_NoPaths())}
    folders = allowed_folders()
    if not folders:
        yield arguments
        return
    with tempfile.TemporaryDirectory(prefix="raypipe-parts-") as staging:
        own: dict[str, Any] = {"worker_process_setup_hook": HOOK}
        outer = _outer_environment()
        if same_machine:
            own["env_vars"] = {VARIABLE: os.pathsep.join(map(str, folders))}
        elif "working_dir" in outer and folders == (Path.cwd(),):
            yield arguments  # Ray brought the folder here, and brings it to the workers, too
            return
        else:
            copies = Path(staging) / UPLOADED
            for number, folder in enumerate(folders):
                copy_or_explain(folder, copies / str(number))
            own["py_modules"] = [str(copies)]
        arguments["runtime_env"] = merge_environments(outer, own)
        # The merged environment replaces that of the submitted job.
        with set_variables({_OVERRIDE: "1"} if outer else {}):
            yield arguments


class _NoPaths(list[str]):
    """A list of folders that stays empty: Ray extends it before it starts workers."""

    def __bool__(self) -> bool:
        return True  # Ray would replace an empty list

    def extend(self, values: Any) -> None:
        """Add nothing."""


def _outer_environment() -> dict[str, Any]:
    """Return the runtime environment of the Ray job that started this process, if there is one."""
    config = json.loads(os.environ.get(_JOB_CONFIG) or "{}")
    environment: dict[str, Any] = config.get("runtime_env") or {}
    return environment


def merge_environments(outer: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return the runtime environment of a run inside a submitted Ray job: both work.

    Args:
        outer: The environment of the submitted job.
        own: The environment that the run needs.
    """
    merged = {**outer, **own}
    variables = {**outer.get("env_vars", {}), **own.get("env_vars", {})}
    hook = outer.get("env_vars", {}).get(_RAY_HOOK) or outer.get("worker_process_setup_hook")
    if hook:
        variables |= {OUTER_HOOK: hook, _RAY_HOOK: own["worker_process_setup_hook"]}
    if variables:
        merged["env_vars"] = variables
    if "py_modules" in own:
        merged["py_modules"] = [*outer.get("py_modules", []), *own["py_modules"]]
    return merged


def copy_or_explain(folder: Path, destination: Path) -> None:
    """Copy the modules of a folder, see `copy_modules`.

    Raises:
        SetupError: They have more than `MAX_MB` MB, or cannot be read.
    """
    try:
        copy_modules(folder, destination)
    except OSError as error:
        raise SetupError(
            f"the parts in {folder} cannot be copied to the workers: {error.strerror} "
            f"({error.filename}). Fix: grant read permission, or move it away"
        ) from None


def copy_modules(folder: Path, destination: Path) -> None:
    """Copy the modules of a folder: Python files, and folders with `__init__.py`.

    Other files stay: books, state and settings may be beside the modules. In a package, other
    files are copied, too, but no hidden files, keys and credentials.

    Raises:
        SetupError: They have more than `MAX_MB` MB.
    """
    destination.mkdir(parents=True)
    sizes: dict[Path, int] = {}
    for entry in sorted(folder.iterdir()):
        if not can_be_own(entry.name.partition(".")[0]):
            continue
        is_package = os.path.isfile(entry / "__init__.py")  # noqa: PTH113 # False if unreadable
        if is_package or (entry.is_file() and entry.suffix in (".py", ".so")):
            for file in _walk(entry) if is_package else [entry]:
                sizes[file.relative_to(folder)] = file.stat().st_size
                _check_size(sizes, folder)
    for path in sizes:
        (destination / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, destination / path)


def _walk(package: Path) -> Iterator[Path]:
    for path in sorted(package.iterdir()):
        if path.name.startswith(".") or path.name in _LEFT_OUT_NAMES or path.suffix in _LEFT_OUT:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        elif path.is_file():
            yield path


def _check_size(sizes: dict[Path, int], folder: Path) -> None:
    if sum(sizes.values()) <= MAX_MB * 1_000_000:
        return
    largest = max(sizes, key=lambda path: sizes[path])
    raise SetupError(
        f"the modules in {folder} have more than the {MAX_MB} MB that raypipe sends to a cluster; "
        f"the largest file is {largest} ({sizes[largest] / 1e6:.1f} MB). Fix: put the modules "
        "into a folder of their own and name its settings file by --settings, or install them on "
        "each node"
    )
