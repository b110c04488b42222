"""Leave out the processes of Ray that a run on this machine does not need.

Ray 2.60 starts some 25 processes beside the workers, which take 20 seconds of CPU and 1 GB. Where
it has no option, its functions are replaced while Ray starts, or while datasets are executed; the
version is pinned, and the tests count the processes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

SYSTEM_CONFIG = {"prestart_worker_first_driver": False}
"""Ray's internal settings: no worker is started before a task or an actor needs it."""

_NO_DASHBOARD = ImportError("the dashboard is turned off")


@contextmanager
def fewer_processes(*, dashboard: bool, metrics: bool = False) -> Iterator[None]:
    """Let `ray.init` start no autoscaler, no log monitor, and the dashboard only if it is wanted.

    Args:
        dashboard: Whether Ray's dashboard is started.
        metrics: Whether Ray's agent exports metrics.
    """
    from ray._private import node, parameter, utils

    class Parameters(parameter.RayParams):
        """Ray's parameters, which `ray.init` does not offer."""

        def __init__(self, **arguments: Any) -> None:
            super().__init__(**{"include_log_monitor": False, "no_monitor": True, **arguments})

    with ExitStack() as stack:
        stack.enter_context(_replaced(parameter, "RayParams", Parameters))
        if not dashboard:
            stack.enter_context(_replaced(node.Node, "start_api_server", _start_no_dashboard))
        if not dashboard and not metrics:
            # Ray's agents then serve no HTTP, and import less.
            stack.enter_context(
                _replaced(utils, "get_dashboard_dependency_error", lambda: _NO_DASHBOARD)
            )
        yield


def _start_no_dashboard(node: Any, **_: Any) -> None:
    node._webui_url = ""


@contextmanager
def fewer_actors(*, dashboard: bool) -> Iterator[None]:
    """Let Ray Data start no actors beside the workers of its datasets.

    They know on which node an actor is, ask for more nodes, and collect what the dashboard shows.

    Args:
        dashboard: Whether Ray's dashboard shows datasets.
    """
    import ray
    from ray.data._internal.execution import streaming_executor
    from ray.data._internal.execution.operators import actor_pool_map_operator
    from ray.data._internal.stats import _StatsManager

    node_id = ray.get_runtime_context().get_node_id()
    with ExitStack() as stack:
        replace = partial(_replace_until, stack)
        replace(actor_pool_map_operator, "get_or_create_actor_location_tracker", NoTracker)
        replace(
            actor_pool_map_operator, "get_actor_locations", lambda ids: dict.fromkeys(ids, node_id)
        )
        replace(streaming_executor, "create_cluster_autoscaler", _one_node)
        if not dashboard:
            for name in (
                "register_dataset_to_stats_actor",
                "update_execution_metrics",
                "update_iteration_metrics",
            ):
                replace(_StatsManager, name, staticmethod(_do_nothing))
            replace(
                _StatsManager,
                "gen_dataset_id_from_stats_actor",
                staticmethod(lambda: uuid.uuid4().hex),
            )
        yield


class NoTracker:
    """Stands for the actor that records where actors are: all of them are on this machine."""

    @property
    def update_actor_location(self) -> NoTracker:
        """Return a method that does nothing."""
        return self

    def remote(self, *_: Any) -> None:
        """Do nothing."""


def _one_node(*_: Any, **__: Any) -> Any:
    """Return a cluster autoscaler for a cluster that stays as it is."""
    import ray
    from ray.data._internal.cluster_autoscaler import ClusterAutoscaler
    from ray.data._internal.execution.interfaces import ExecutionResources

    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    total = ExecutionResources(
        cpu=found.get("CPU", 0.0),
        gpu=found.get("GPU", 0.0),
        memory=found.get("memory", 0.0),
        object_store_memory=found.get("object_store_memory", 0.0),
    )

    class OneNode(ClusterAutoscaler):
        """A cluster of one node."""

        def try_trigger_scaling(self) -> None:
            """Do nothing."""

        def on_executor_shutdown(self) -> None:
            """Do nothing."""

        def get_total_resources(self) -> Any:
            """Return the resources of the node."""
            return total

    return OneNode()


def _do_nothing(*_: Any, **__: Any) -> None:
    pass


def _replace_until(stack: ExitStack, owner: Any, name: str, value: Any) -> None:
    stack.enter_context(_replaced(owner, name, value))


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute of a module or a class for a while."""
    before = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
