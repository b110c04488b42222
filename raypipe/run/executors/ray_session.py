"""Start or join Ray for one run."""

from __future__ import annotations

import logging
import os
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from raypipe.core.errors import OptionError, SetupError
from raypipe.core.net import is_loopback
from raypipe.core.options import RayOptions

log = logging.getLogger(__name__)

IDLE_WORKERS = 8
"""Ray ends idle workers beyond the number of cores after a second; write tasks of a small machine
would start one anew, for a second of a core, again and again."""

ONE_MACHINE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch that lets a node be of this machine alone, whatever the system."""

ANSWER_S = 5.0
"""A cluster that is there takes a connection at once; Ray itself would try for minutes."""

TRIES = 5
"""How often Ray asks to be let in."""

BOOTSTRAP = "~/ray_bootstrap_config.yaml"
"""Where `ray up` puts the cluster's configuration on the head node."""

_ELSEWHERE = {
    "storage.endpoint_url": "storage=s3 storage.bucket=...",
    "opensearch.endpoint": "opensearch=self_managed opensearch.endpoint=..., or opensearch=none",
}


def check_places(address: str, state_uri: str, embedded: Sequence[str]) -> None:
    """Check that the nodes of a cluster can reach what a run shares.

    Args:
        address: `ray.address`.
        state_uri: `state.uri`.
        embedded: Options that ask for a service that raypipe starts on this machine.

    Raises:
        OptionError: They cannot; the message names the option and another value.
    """
    if address == "local":
        return
    if not state_uri.startswith("s3://"):
        raise OptionError(
            f"state.uri={state_uri} is a folder of this machine, and every node of the cluster "
            f"at ray.address={address} writes to the state: give state.uri=s3://bucket/prefix"
        )
    for option in embedded:
        raise OptionError(
            f"{option}=embedded is on this machine alone, and the workers of the cluster at "
            f"ray.address={address} may be on others: choose {_ELSEWHERE[option]}"
        )


def check_reach(places: Mapping[str, str]) -> None:
    """Check that no address is this machine's own when the cluster has other machines.

    Args:
        places: URLs, or folders, by the options that name them.

    Raises:
        SetupError: A worker elsewhere would look for a service on its own machine.
    """
    hosts = _hosts()
    if len(hosts) < 2:  # a cluster on one machine, for a try, may use what is there
        return
    for option, place in places.items():
        host = (urlsplit(place).hostname or "") if "://" in place else ""
        if is_loopback(host):
            raise SetupError(
                f"{option}={place} is each machine's own address and the cluster has "
                f"{len(hosts)} machines: give one that all of them reach"
            )
        if place and "://" not in place:
            log.warning("%s=%s must be the same folder on all nodes", option, place)


def check_gpus(workers: int, share: float, options: RayOptions) -> None:
    """Check that there are the GPUs that the embedders reserve: Ray would wait for ever.

    Args:
        workers: Embedders.
        share: GPUs that each reserves.
        options: How Ray is reached.

    Raises:
        SetupError: There are fewer, and none can come.
    """
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    now, asked = resources.get("GPU", 0.0), workers * share
    if asked <= now:
        return
    said = f"stages.embed reserves {asked:g} GPUs and Ray has {now:g}"
    if options.address == "local" or not _growth():
        raise SetupError(f"{said}; lower stages.embed.num_gpus or stages.embed.workers")
    log.warning("%s: the run waits until nodes with more come", said)


@contextmanager
def ray_session(options: RayOptions) -> Iterator[float]:
    """Start or join Ray; yields the CPUs it has, or can grow to.

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
        yield _cpus(options)
        return
    # They speak of Ray's next releases; the version is pinned.
    warnings.filterwarnings("ignore", category=ray.util.annotations.RayDeprecationWarning)
    context = _start(options) if options.address == "local" else _join(options)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if context.dashboard_url:
        log.info("Ray's dashboard is at http://%s", context.dashboard_url)
    try:
        yield _cpus(options)
    finally:
        ray.shutdown()


_NOT_STARTED = (ConnectionError, RuntimeError, ValueError, OSError)


def _start(options: RayOptions) -> Any:
    import ray
    from ray._private import ray_constants

    # Ray's own switch for laptops: 127.0.0.1 is this node's address then, and its servers listen
    # there alone; as `_node_ip_address` it would be turned into the address of the network. The
    # variable tells the same to what Ray starts, the constant was read from it at the import.
    several, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    before = os.environ.get(ONE_MACHINE)
    os.environ[ONE_MACHINE] = "0"
    try:
        with _quiet_stderr():
            return ray.init(**_arguments(options))
    except Exception as error:
        # Ray raises a bare Exception where the machine is too busy to start it in its 30 s.
        if type(error) is not Exception and not isinstance(error, _NOT_STARTED):
            raise
        reason = str(error).strip().splitlines()[0]
        raise SetupError(f"Ray at ray.address={options.address} did not start: {reason}") from None
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = several
        os.environ.pop(ONE_MACHINE)
        if before is not None:
            os.environ[ONE_MACHINE] = before


def _join(options: RayOptions) -> Any:
    """Join a running cluster, with the token that Ray keeps in the home folder if it asks."""
    import ray
    from ray._private import ray_constants
    from ray._private.authentication.authentication_token_setup import (
        maybe_enable_token_auth_if_token_available,
    )
    from ray.exceptions import AuthenticationError

    named = f"ray.address={options.address}"
    address = _found(options.address)
    # Ray looks for the token by itself for `auto` alone (2.60).
    token = maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    # It knocks once a second; the door is there, so a fourth of its patience will do.
    ray_constants.NUM_REDIS_GET_RETRIES = TRIES
    try:
        with _quiet_stderr():
            return ray.init(address=address, **_QUIET)
    except (ConnectionError, AuthenticationError):
        reason = "the token here is not the cluster's" if token else "there is no token here"
        raise SetupError(
            f"{named}: {address} answers and does not let us in; {reason}: put what "
            "`ray get-auth-token` prints on the head node into ~/.ray/auth_token or "
            "RAY_AUTH_TOKEN"
        ) from None
    except (RuntimeError, ValueError, OSError) as error:
        raise SetupError(f"{named} cannot be joined: {' '.join(str(error).split())}") from None


def _found(address: str) -> str:
    """Return host:port of a cluster that takes connections.

    Raises:
        SetupError: There is none.
    """
    from ray._private.services import canonicalize_bootstrap_address_or_die

    if "://" in address:
        raise SetupError(
            f"ray.address={address}: raypipe runs on the cluster, not through Ray Client; give "
            "host:port from a node, or send it there: ray job submit -- raypipe run ray=cluster"
        )
    try:
        found: str = canonicalize_bootstrap_address_or_die(address)
        host, _, port = found.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except ConnectionError as error:
        if "find any running" not in str(error):
            raise SetupError(_nobody(f"{address} ({error.strerror})")) from None
        raise SetupError(_nobody(f"{address}, which looks for a cluster on this machine")) from None
    except (OSError, ValueError) as error:
        raise SetupError(_nobody(f"{address} ({error})")) from None
    return found


def _nobody(address: str) -> str:
    return (
        f"no Ray cluster answers at ray.address={address}; run this on a node of it, give "
        "host:port of its head (port 6379 unless changed), or use ray=local"
    )


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


def _hosts() -> set[str]:
    """Return the machines of the cluster; one that may grow counts as two."""
    import ray

    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    hosts = {node["NodeManagerHostname"] for node in nodes if node["Alive"]}
    return hosts | {"to come"} if _growth() else hosts


def _cpus(options: RayOptions) -> float:
    """Return the cores there are, or that an autoscaling cluster can have."""
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    now = resources.get("CPU", 0.0)
    if options.address == "local":
        return now
    most = max(now, options.num_cpus or _growth())
    if most > now:
        log.info("the cluster has %g CPUs and can grow to %g: a new node takes minutes", now, most)
    return most


def _growth() -> float:
    """Return the most CPUs that the cluster's autoscaler may have; 0 = none is known.

    Ray's own record has them on Kubernetes and hosted Ray; `ray up` leaves its configuration on
    the head node, with what AWS told of each machine.
    """
    from ray._private.state import state

    known = state.get_max_resources_from_cluster_config()
    if known:
        return float(known.get("CPU", 0))
    path = Path(BOOTSTRAP).expanduser()
    return most_cpus(path.read_text(encoding="utf-8")) if path.exists() else 0.0


def most_cpus(text: str) -> float:
    """Return the most CPUs of a cluster launcher's configuration, all its workers there.

    Args:
        text: The YAML that `ray up` puts on the head node, resources filled in.
    """
    import yaml

    config = yaml.safe_load(text)
    kinds: Mapping[str, Any] = config.get("available_node_types", {})
    head = config.get("head_node_type")
    left = config.get("max_workers", 0)
    total = 0.0
    sizes = [(_cores(kind), 1 if name == head else 0, kind) for name, kind in kinds.items()]
    for cores, heads, kind in sorted(sizes, key=lambda one: one[0], reverse=True):
        workers = min(left, kind.get("max_workers", 0))
        left -= workers
        total += cores * (workers + heads)
    return total


def _cores(kind: Mapping[str, Any]) -> float:
    return float(kind.get("resources", {}).get("CPU", 0))


_QUIET: dict[str, Any] = {
    "log_to_driver": False,
    "configure_logging": True,
    "logging_level": "ERROR",
}


def _arguments(options: RayOptions) -> dict[str, Any]:
    megabyte = 1024 * 1024
    store = options.object_store_mb
    return {
        "address": "local",
        "num_cpus": options.num_cpus,
        "include_dashboard": options.dashboard,
        "object_store_memory": store * megabyte if store else None,
        "_temp_dir": options.temp_dir,
        "_system_config": {"num_workers_soft_limit": IDLE_WORKERS},
        **_QUIET,
    }
