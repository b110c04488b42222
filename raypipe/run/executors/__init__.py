"""Process the books of a run: on Ray, or in threads of this process."""

from __future__ import annotations

from raypipe.run.executors.base import Executor
from raypipe.run.executors.ray_version import check_ray_version
from raypipe.run.job import Execution, ModelLimits

__all__ = ["Executor", "create_executor"]


def create_executor(execution: Execution, limits: ModelLimits) -> Executor:
    """Return the executor that the options name. Only the executor on Ray imports Ray.

    Args:
        execution: Which executor, and how large the stages are.
        limits: What model calls may take and cost.

    Raises:
        SetupError: The installed version of Ray is not the pipeline's.
    """
    if execution.executor == "local":
        from raypipe.run.executors.local import LocalExecutor

        return LocalExecutor(execution, limits)
    check_ray_version()
    # Ray takes a second to import.
    from raypipe.run.executors.ray import RayExecutor

    return RayExecutor(execution, limits)
