"""Check what a Ray cluster has and can grow to, and that its nodes reach the shared services."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from raypipe.core.errors import OptionError, SetupError
from raypipe.core.net import is_loopback
from raypipe.core.options import RayOptions

log = logging.getLogger(__name__)

BOOTSTRAP_FILE = "~/ray_bootstrap_config.yaml"
"""File with the cluster's configuration that `ray up` writes on the head node."""

_REMOTE_CHOICES = {
    "storage.endpoint_url": "storage=s3 storage.bucket=...",
    "opensearch.endpoint": "opensearch=self_managed opensearch.endpoint=..., or opensearch=none",
}


def check_shared_options(address: str, state_uri: str, embedded: Sequence[str]) -> None:
    """Check that a run on a cluster uses no state folder and no service of this machine alone.

    Args:
        address: `ray.address`.
        state_uri: `state.uri`.
        embedded: Options that ask for a service that raypipe starts on this machine.

    Raises:
        OptionError: Other nodes cannot reach it; the message names the option and another value.
    """
    if address == "local":
        return
    if not state_uri.startswith("s3://"):
        raise OptionError(
            f"state.uri={state_uri} is a folder of this machine, but every node of the cluster "
            f"at ray.address={address} writes to the state: give state.uri=s3://bucket/prefix"
        )
    for option in embedded:
        raise OptionError(
            f"{option}=embedded runs on this machine only, and workers of the cluster at "
            f"ray.address={address} may run on others: choose {_REMOTE_CHOICES[option]}"
        )


def check_reachable(locations: Mapping[str, str]) -> None:
    """Check that no location is a loopback address if the cluster has several machines.

    Args:
        locations: URLs or folders, by the option that names them.

    Raises:
        SetupError: A worker on another machine would look for the service there.
    """
    hosts = _list_hosts()
    if len(hosts) < 2:  # a cluster on one machine may use services of that machine
        return
    for option, location in locations.items():
        host = (urlsplit(location).hostname or "") if "://" in location else ""
        if is_loopback(host):
            raise SetupError(
                f"{option}={location} is a loopback address and the cluster has {len(hosts)} "
                "machines: give an address that all of them reach"
            )
        if location and "://" not in location:
            log.warning("%s=%s must be the same folder on all nodes", option, location)


def check_gpus(workers: int, gpus_per_worker: float, options: RayOptions) -> None:
    """Check that the GPUs that the embedders reserve exist; Ray would wait forever for them.

    Args:
        workers: Number of embedders.
        gpus_per_worker: GPUs that each embedder reserves.
        options: Where Ray runs.

    Raises:
        SetupError: There are fewer GPUs, and the cluster cannot grow.
    """
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    present, reserved = resources.get("GPU", 0.0), workers * gpus_per_worker
    if reserved <= present:
        return
    problem = f"stages.embed reserves {reserved:g} GPUs and Ray has {present:g}"
    if options.address == "local" or not _max_cluster_cpus():
        raise SetupError(f"{problem}; lower stages.embed.num_gpus or stages.embed.workers")
    log.warning("%s: the run waits until nodes with more GPUs join", problem)


def available_cpus(options: RayOptions) -> float:
    """Return the cores that Ray has, or that an autoscaling cluster can grow to."""
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    present = resources.get("CPU", 0.0)
    if options.address == "local":
        return present
    most = max(present, options.num_cpus or _max_cluster_cpus())
    if most > present:
        log.info(
            "the cluster has %g CPUs and can grow to %g; a new node takes minutes", present, most
        )
    return most


def max_launcher_cpus(text: str) -> float:
    """Return the CPUs of a cluster launcher's configuration with all its workers.

    Args:
        text: The YAML that `ray up` writes on the head node, with resources filled in.
    """
    import yaml

    config = yaml.safe_load(text)
    node_types: Mapping[str, Any] = config.get("available_node_types", {})
    head = config.get("head_node_type")
    workers_left = config.get("max_workers", 0)
    total = 0.0
    by_cores = sorted(node_types.items(), key=lambda item: _cores(item[1]), reverse=True)
    for name, node_type in by_cores:
        workers = min(workers_left, node_type.get("max_workers", 0))
        workers_left -= workers
        total += _cores(node_type) * (workers + (1 if name == head else 0))
    return total


def _cores(node_type: Mapping[str, Any]) -> float:
    return float(node_type.get("resources", {}).get("CPU", 0))


def _max_cluster_cpus() -> float:
    """Return the CPUs that the cluster's autoscaler may reach; 0 if it is unknown.

    Ray records them on Kubernetes and hosted Ray. `ray up` leaves its configuration on the head
    node, with the resources that AWS reported for each machine type.
    """
    from ray._private.state import state

    recorded = state.get_max_resources_from_cluster_config()
    if recorded:
        return float(recorded.get("CPU", 0))
    path = Path(BOOTSTRAP_FILE).expanduser()
    return max_launcher_cpus(path.read_text(encoding="utf-8")) if path.exists() else 0.0


def _list_hosts() -> set[str]:
    """Return the host names of the cluster; a cluster that can grow counts as two machines."""
    import ray

    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    hosts = {node["NodeManagerHostname"] for node in nodes if node["Alive"]}
    return hosts | {"to come"} if _max_cluster_cpus() else hosts
