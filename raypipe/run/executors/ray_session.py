"""Start or join Ray for one run."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Lock, Thread, current_thread, main_thread
from typing import Any

import psutil

from raypipe.core.errors import SetupError
from raypipe.core.options import RayOptions
from raypipe.core.proxy import loopback_without_proxy
from raypipe.run.executors.cluster_checks import available_cpus
from raypipe.run.executors.lean_ray import SYSTEM_CONFIG, fewer_processes
from raypipe.run.executors.private_session import (
    PrivateSession,
    private_session,
    session_environment,
)
from raypipe.run.executors.ray_init import init_ray, silence_stderr
from raypipe.run.executors.ray_metrics import check_metrics_port, log_metrics_address
from raypipe.run.executors.runtime_env import own_parts_environment

log = logging.getLogger(__name__)

IDLE_WORKERS = 8
"""Idle workers that a local Ray keeps. Its default is the number of cores: on a small machine
Ray would end and restart the workers of its tasks, for a second of a core each time."""

SINGLE_NODE_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch for laptops, on any system: 0 keeps the node on this machine alone."""

CONNECT_TIMEOUT_S = 5.0
"""A running cluster accepts a connection at once; Ray itself would try for minutes."""

JOIN_TRIES = 5
"""Number of times that Ray asks the cluster for its address, once a second."""

_START_ERRORS = (ConnectionError, RuntimeError, ValueError, OSError)
_QUIET: dict[str, Any] = {
    "log_to_driver": False,
    "configure_logging": True,
    "logging_level": "ERROR",
}


@dataclass(frozen=True)
class RaySession:
    """A Ray that a run uses.

    Args:
        cpus: The CPUs that it has or can grow to.
        is_shared: Whether it was there before: other code of this process started it.
    """

    cpus: float
    is_shared: bool


class _Runs:
    """The runs in threads of this process; they share a session, which the last run ends."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.count = 0
        self.ended: Event | None = None  # of the session that they have started
        self.files = ExitStack()  # the folder and the token of that session


_runs = _Runs()


@contextmanager
def ray_session(options: RayOptions) -> Iterator[RaySession]:
    """Start or join Ray, or use the session of this process, which then stays.

    If Ray is initialized already, by the caller or an earlier job of a multirun, it is used as it
    is and not shut down.

    Raises:
        SetupError: Ray did not start, or no cluster is at the address.
    """
    import ray

    with _runs.lock:
        is_shared = ray.is_initialized()
        if not is_shared:
            _runs.ended = Event()
            try:
                _connect_in_lasting_thread(options, _runs.ended)
            except BaseException:
                _runs.files.close()
                raise
        _runs.count += 1
    try:
        yield RaySession(available_cpus(options), is_shared)
    finally:
        with _runs.lock:
            _runs.count -= 1
            if _runs.ended is not None and not _runs.count:
                _disconnect(options)
                _runs.ended.set()
                _runs.ended = None


def _connect_in_lasting_thread(options: RayOptions, ended: Event) -> None:
    """Start or join Ray in a thread that lives until the session ends.

    Linux kills Ray's processes when the thread that started them ends, and Ray then ends this
    process. Ray's signal handler needs the main thread.
    """
    if current_thread() is main_thread():
        _connect(options)
        return
    connected: Future[None] = Future()

    def connect_and_wait() -> None:
        try:
            _connect(options)
        except BaseException as error:  # `result` raises it
            connected.set_exception(error)
            return
        connected.set_result(None)
        ended.wait()

    Thread(target=connect_and_wait, name="ray-session", daemon=True).start()
    connected.result()


def _connect(options: RayOptions) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # tokenizers warns in every worker that it was forked; a worker computes on one core anyway.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Ray Data logs an error line for every actor pool (ray issue 53727).
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    # They concern future releases of Ray; the version is pinned.
    warnings.filterwarnings("ignore", category=ray.util.annotations.RayDeprecationWarning)
    token = ""
    if options.address == "local":
        has_metrics = options.metrics_port is not None
        if options.metrics_port is not None:
            check_metrics_port(options.metrics_port)
        private = private_session(options.temp_dir, exports_metrics=has_metrics)
        session = _runs.files.enter_context(private)
        context = _start(options, session)
        if has_metrics:
            log_metrics_address()
        token = session.token_place and f" and asks for the token in {session.token_place}"
    else:
        context = _join(options)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if context.dashboard_url:
        log.info("Ray's dashboard is at http://%s%s", context.dashboard_url, token)


def _disconnect(options: RayOptions) -> None:
    import ray

    workers = _find_workers() if options.address == "local" else []
    ray.shutdown()
    for worker in workers:
        # A worker that Ray ends while it starts may hang in its C++ code for ever.
        with suppress(psutil.Error):
            worker.kill()
    _runs.files.close()


def _find_workers() -> list[psutil.Process]:
    """Return the processes that Ray's node process on this machine has started."""
    workers: list[psutil.Process] = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if child.name() == "raylet":
                workers += child.children(recursive=True)
    return workers


def _start(options: RayOptions, session: PrivateSession) -> Any:
    from ray._private import ray_constants

    # With the switch for laptops, 127.0.0.1 is the node's address and Ray's servers listen on it
    # alone; `_node_ip_address` would be replaced by the network's address. The variable is for
    # the processes that Ray starts; this process read the constant when it imported Ray.
    enabled, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    variables = {**session.variables, SINGLE_NODE_VARIABLE: "0"}
    has_metrics = options.metrics_port is not None
    arguments = _init_arguments(options, session.temp_dir)
    try:
        with (
            session_environment(variables),
            own_parts_environment(same_machine=True) as environment,
            loopback_without_proxy(),
            fewer_processes(dashboard=bool(options.dashboard), metrics=has_metrics),
            silence_stderr(),
        ):
            return init_ray(2, **arguments, **environment)
    except Exception as error:
        # Ray raises a bare Exception if a busy machine does not start it within its 30 s.
        if type(error) is not Exception and not isinstance(error, _START_ERRORS):
            raise
        reason = _find_reason(error)
        raise SetupError(f"Ray at ray.address={options.address} did not start: {reason}") from None
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = enabled


def _find_reason(error: Exception) -> str:
    """Return the first line of a message, or the last if the first introduces lines of a log."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if not lines[0].rstrip().endswith(":"):
        return lines[0]
    return f"{lines[-1].strip()} (ray.temp_dir=FOLDER keeps Ray's logs)"


def _join(options: RayOptions) -> Any:
    """Join a running cluster, with the token from the home folder if the cluster asks for it."""
    from ray._private import ray_constants
    from ray._private.authentication.authentication_token_setup import (
        maybe_enable_token_auth_if_token_available,
    )
    from ray.exceptions import AuthenticationError

    option = f"ray.address={options.address}"
    address = _find_cluster(options.address)
    # Ray 2.60 looks for the token by itself only for the address `auto`.
    has_token = maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    ray_constants.NUM_REDIS_GET_RETRIES = JOIN_TRIES
    try:
        with own_parts_environment(same_machine=False) as environment, silence_stderr():
            return init_ray(address=address, **environment, **_QUIET)
    except (ConnectionError, AuthenticationError):
        reason = "the token here is not the cluster's" if has_token else "there is no token here"
        raise SetupError(
            f"{option}: {address} answers but refuses the connection; {reason}: put the output of "
            "`ray get-auth-token` on the head node into ~/.ray/auth_token or RAY_AUTH_TOKEN"
        ) from None
    except (RuntimeError, ValueError, OSError) as error:
        raise SetupError(f"{option} cannot be joined: {' '.join(str(error).split())}") from None


def _find_cluster(address: str) -> str:
    """Return host:port of a cluster that accepts connections.

    Raises:
        SetupError: No cluster answers at the address.
    """
    from ray._private.services import canonicalize_bootstrap_address_or_die

    if "://" in address:
        raise SetupError(
            f"ray.address={address}: raypipe runs on the cluster, not through Ray Client; give "
            "host:port from a node, or submit the run: ray job submit -- raypipe run ray=cluster"
        )
    try:
        host_port: str = canonicalize_bootstrap_address_or_die(address)
        host, _, port = host_port.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except ConnectionError as error:
        if "find any running" not in str(error):
            raise _no_cluster(f"{address} ({error.strerror})") from None
        raise _no_cluster(f"{address}, which looks for a cluster on this machine") from None
    except (OSError, ValueError) as error:
        raise _no_cluster(f"{address} ({error})") from None
    return host_port


def _no_cluster(address: str) -> SetupError:
    return SetupError(
        f"no Ray cluster answers at ray.address={address}; run this command on a node of the "
        "cluster, give host:port of its head (port 6379 unless changed), or use ray=local"
    )


def _init_arguments(options: RayOptions, temp_dir: str) -> dict[str, Any]:
    store = options.object_store_mb
    return {
        "address": "local",
        "num_cpus": options.num_cpus,
        "include_dashboard": bool(options.dashboard),
        "object_store_memory": store * 1024 * 1024 if store else None,
        "_temp_dir": temp_dir,
        "_metrics_export_port": options.metrics_port,
        "_system_config": {"num_workers_soft_limit": IDLE_WORKERS, **SYSTEM_CONFIG},
        **_QUIET,
    }
