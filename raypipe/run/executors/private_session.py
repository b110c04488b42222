"""Keep a local Ray private: a folder that only this user enters, a token for its ports.

Ray makes the folders of its session writable for all users of the machine, and without a token
every user who reaches its ports can run code as the user who started it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raypipe.core.environment import set_variables
from raypipe.core.errors import SetupError

MODE = "RAY_AUTH_MODE"
TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105
TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"  # noqa: S105

CLOSED_PORTS = {"DASHBOARD_METRIC_PORT": "-1", "AUTOSCALER_METRIC_PORT": "-1"}
"""Closes the ports for Prometheus of dashboard and autoscaler. Ray logs that both are invalid."""

NO_METRICS = {"RAY_enable_metrics_collection": "0", **CLOSED_PORTS}
"""Closes all ports for Prometheus, which ask for no token."""

LONGEST_SOCKET = 103
"""Bytes of the longest path of a socket on macOS; Linux allows four more."""

SOCKET = "ray/session_2026-01-01_00-00-00_000000_1000000/sockets/plasma_store"


@dataclass(frozen=True)
class PrivateSession:
    """Where a local Ray keeps its files, and which token its ports ask for.

    Args:
        folder: A folder of mode 0700.
        variables: Environment variables for Ray's processes.
        token_place: The file or the variable with the token; empty if Ray asks for none.
    """

    folder: Path
    variables: Mapping[str, str]
    token_place: str

    @property
    def temp_dir(self) -> str:
        """Return the folder for Ray, which gives it the mode 0777."""
        return str(self.folder / "ray")


@contextmanager
def private_session(
    temp_dir: str | None, *, exports_metrics: bool = False
) -> Iterator[PrivateSession]:
    """Create the folder and the token of a local Ray, and delete them afterwards.

    A mode or a token in the environment is used as it is. The token in the home folder is not:
    Ray makes that file readable for all users.

    Args:
        temp_dir: Folder in which Ray's session stays with its logs; None for a temporary folder.
        exports_metrics: Whether Ray's agent has a port for Prometheus, which asks for no token.

    Raises:
        SetupError: The folder cannot be created, or its path is too long for Ray's sockets.
    """
    try:
        folder = _create_folder(temp_dir)
    except OSError as error:
        raise SetupError(
            f"cannot create a folder for Ray at {error.filename}: {error.strerror}; set "
            "ray.temp_dir to a folder that you can write to"
        ) from None
    token = folder / "token"
    try:
        yield _with_token(folder, token, CLOSED_PORTS if exports_metrics else NO_METRICS)
    finally:
        _reload_authentication()
        token.unlink(missing_ok=True)
        if temp_dir is None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def session_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables while Ray starts; its processes keep them.

    They are not left to this process: its other children would look for a token that is gone
    after the run.
    """
    with set_variables(variables):
        _reload_authentication()
        yield


def _reload_authentication() -> None:
    """Let Ray read mode and token from the environment; it keeps what it read before."""
    from ray import _raylet

    ray: Any = _raylet  # its type hints lack both classes
    # The mode first: a thread of the last session ends Ray's process if it asks for a token and
    # finds none.
    ray.Config.initialize("")
    ray.AuthenticationTokenLoader.instance().reset_cache()


def _create_folder(temp_dir: str | None) -> Path:
    """Create a folder with a random name and the mode 0700."""
    if temp_dir is None:
        parent, prefix = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()), "raypipe-ray-"
        if _excess(parent, prefix) > 0:
            parent = Path("/tmp")  # noqa: S108
    else:
        parent, prefix = Path(temp_dir).absolute(), "ray-"
        if (excess := _excess(parent, prefix)) > 0:
            raise SetupError(
                f"ray.temp_dir={temp_dir} is too long for Ray's sockets: its absolute path must be "
                f"shorter by {excess} characters"
            )
        parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=prefix, dir=parent))


def _excess(parent: Path, prefix: str) -> int:
    """Return by how many bytes the paths of Ray's sockets are too long."""
    if os.name != "posix":
        return 0
    return len(os.fsencode(parent / f"{prefix}12345678" / SOCKET)) - LONGEST_SOCKET


def _with_token(folder: Path, token: Path, ports: Mapping[str, str]) -> PrivateSession:
    """Return a session with the token of the environment, or with a new token in a file."""
    if os.environ.get(MODE, "token").lower() != "token":
        return PrivateSession(folder, ports, "")
    variables = {**ports, MODE: "token"}
    if place := (os.environ.get(TOKEN) and TOKEN) or os.environ.get(TOKEN_PATH):
        return PrivateSession(folder, variables, place)
    descriptor = os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32))
    return PrivateSession(folder, {**variables, TOKEN_PATH: str(token)}, str(token))
