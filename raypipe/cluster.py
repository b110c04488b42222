"""Start or join Ray for one run."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from raypipe.errors import SetupError
from raypipe.options import RayOptions

log = logging.getLogger(__name__)

IDLE_WORKERS = 8
"""Ray ends idle workers beyond the number of cores after a second; write tasks of a small machine
would start one anew, for a second of a core, again and again."""


@contextmanager
def cluster(options: RayOptions) -> Iterator[float]:
    """Start or join Ray; yields the CPUs it has.

    Raises:
        SetupError: Ray did not start, or no cluster is at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # tokenizers warns in every worker that it was forked; a worker computes on one core anyway.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Ray Data logs an error line about every actor pool it makes (ray issue 53727).
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if options.address == "local":
        # Everything listens on loopback, so a token would only lock people out of their dashboard.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    if ray.is_initialized():  # the second job of a multirun
        yield _cpus()
        return
    # They speak of Ray's next releases; the version is pinned.
    warnings.filterwarnings("ignore", category=ray.util.annotations.RayDeprecationWarning)
    try:
        with _quiet_stderr():
            context = ray.init(**_arguments(options))
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SetupError(f"Ray at ray.address={options.address} did not start: {reason}") from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if context.dashboard_url:
        log.info("Ray's dashboard is at http://%s", context.dashboard_url)
    try:
        yield _cpus()
    finally:
        ray.shutdown()


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hold back what Ray's C++ side writes while it starts; errors come as exceptions."""
    sys.stderr.flush()
    saved = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(sink)
        os.close(saved)


def _cpus() -> float:
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return resources.get("CPU", 0.0)


def _arguments(options: RayOptions) -> dict[str, Any]:
    quiet = {"log_to_driver": False, "configure_logging": True, "logging_level": "ERROR"}
    if options.address != "local":
        return {"address": options.address, **quiet}
    megabyte = 1024 * 1024
    store = options.object_store_mb
    return {
        "address": "local",
        "num_cpus": options.num_cpus,
        "include_dashboard": options.dashboard,
        "object_store_memory": store * megabyte if store else None,
        "_temp_dir": options.temp_dir,
        "_node_ip_address": "127.0.0.1",
        "_system_config": {"num_workers_soft_limit": IDLE_WORKERS},
        **quiet,
    }
