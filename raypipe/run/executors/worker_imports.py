"""Check that Ray's workers can import the modules of a run's parts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray import cloudpickle as untyped_cloudpickle
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raypipe.core.errors import OptionError, SetupError
from raypipe.core.own_parts import import_or_explain, loaded_modules

cloudpickle: Any = untyped_cloudpickle

IMPORT_TIMEOUT_S = 120.0
"""Time for a worker to start and import; a node that takes longer is checked by its first books."""


@contextmanager
def importable_parts(parts: Sequence[object], *, is_shared: bool) -> Iterator[None]:
    """Check on each node that it imports the parts' modules.

    Someone else's Ray session keeps its runtime environment. If its workers lack a module, the
    parts of that module travel with their code, by value.

    Args:
        parts: The parts of a run.
        is_shared: Whether the Ray session was started by other code of this process.

    Raises:
        SetupError: A node cannot import a module that this process has imported.
    """
    names = {type(part).__module__ for part in parts} | {m.__name__ for m in loaded_modules()}
    names = {name for name in names if name.partition(".")[0] not in ("raypipe", "builtins")}
    problem = find_import_problem(sorted(names)) if names else ""
    if not problem:
        yield
        return
    if not is_shared:
        raise SetupError(problem)
    tops = {name.partition(".")[0] for name in names}
    modules = [each for name, each in list(sys.modules.items()) if name.partition(".")[0] in tops]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        _check_pickles(parts, problem)
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _check_pickles(parts: Sequence[object], problem: str) -> None:
    for part in parts:
        try:
            cloudpickle.dumps(part)
        except Exception as error:  # whatever the module's objects raise
            raise SetupError(
                f"{problem}. {type(part).__name__} cannot be sent with its code either "
                f"({type(error).__name__}: {error}). Fix: start Ray with "
                "ray.init(runtime_env={'py_modules': [...]}), or let raypipe start it"
            ) from None


def find_import_problem(modules: Sequence[str]) -> str:
    """Return why a node cannot import one of the modules, or ''.

    In a cluster that has no worker yet, this waits for the first one.

    Args:
        modules: Full names of modules that this process has imported.
    """
    remote: Any = ray.remote  # its overloads know no strategy
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    workers = [node["NodeID"] for node in nodes if node["Alive"] and node["Resources"].get("CPU")]
    placements: list[dict[str, Any]] = [
        {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False)}
        for node_id in workers
    ]
    replies = [
        remote(max_retries=1, **placement)(_try_imports).remote(list(modules))
        for placement in placements or [{"num_cpus": 0.1}]
    ]
    timeout_s = IMPORT_TIMEOUT_S if workers else None
    problems = (_get(reply, timeout_s) for reply in replies)
    return next((f"imported on the driver but not on {each}" for each in problems if each), "")


def _get(reply: Any, timeout_s: float | None) -> str:
    try:
        problem: str = ray.get(reply, timeout=timeout_s)
    except RayTaskError as error:
        return f"a node, which lacks raypipe: {str(error).strip().splitlines()[-1]}"
    except (GetTimeoutError, RayError):
        return ""  # the node is busy or gone; Ray runs the books elsewhere
    return problem


def _try_imports(modules: Sequence[str]) -> str:
    """Return this node and why it cannot import one of the modules, or ''."""
    for module in modules:
        try:
            import_or_explain(module)
        except OptionError as error:
            util: Any = ray.util
            node_id = ray.get_runtime_context().get_node_id()
            return f"node {util.get_node_ip_address()} ({node_id[:8]}): {error}"
    return ""
