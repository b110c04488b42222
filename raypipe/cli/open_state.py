"""Open the state of a command that only reads it: `export`, and readers of the Python API."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from raypipe.cli.job_factory import find_connection
from raypipe.core.errors import OptionError
from raypipe.core.s3 import S3Connection
from raypipe.ledger.newest_documents import check_exists
from raypipe.state.factory import open_state
from raypipe.state.store import State


def open_recorded_state(cfg: DictConfig, options: Any) -> tuple[State, S3Connection | None]:
    """Return the state of a config, and how S3 is reached; no service is started.

    Raises:
        OptionError: The state's URI or a setting of the storage is wrong.
        SetupError: There is no state, or it cannot be read.
    """
    connection = find_connection(cfg)
    return open_existing_state(options.state.uri, connection), connection


def open_existing_state(uri: str, connection: S3Connection | None) -> State:
    """Return a state.

    Args:
        uri: The folder, or `s3://bucket/prefix`.
        connection: How S3 is reached; None for boto3's defaults.

    Raises:
        OptionError: The URI is wrong.
        SetupError: There is no state, or it cannot be read.
    """
    try:
        state = open_state(uri, connection)
    except ValueError as error:
        raise OptionError(str(error)) from None
    check_exists(state)
    return state
