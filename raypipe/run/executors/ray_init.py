"""Call `ray.init`: a second time if Ray did not start in time, and with this process's signals."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

log = logging.getLogger(__name__)

_LATE = (ConnectionError, TimeoutError, RuntimeError)


def init_ray(tries: int = 1, **arguments: Any) -> Any:
    """Return the result of `ray.init`.

    Args:
        tries: Number of starts; a busy machine may not start Ray within Ray's own 30 s.
        arguments: Arguments of `ray.init`.

    Raises:
        Exception: The error of the last start, of any type; what it had started is ended.
    """
    import ray

    while True:
        tries -= 1
        before = set(psutil.Process().children(recursive=True))
        try:
            with _own_signal_handler():
                return ray.init(**arguments)
        except BaseException as error:
            with suppress(Exception):
                ray.shutdown()
            _end(set(psutil.Process().children(recursive=True)) - before)
            if tries <= 0 or not _is_late(error):
                raise
            log.warning("Ray did not start in time (%s); starting it once more", error)


def _is_late(error: BaseException) -> bool:
    """Whether another start may succeed. Ray raises a bare Exception if its node is not ready."""
    return type(error) is Exception or isinstance(error, _LATE)


def _end(processes: set[psutil.Process]) -> None:
    """Kill what a failed start has left; Ray forgets its processes until its node is ready."""
    for process in processes:
        with suppress(psutil.Error):
            process.kill()


@contextmanager
def _own_signal_handler() -> Iterator[None]:
    """Keep the handler of SIGTERM: Ray's ends the process with exit code 15 while Ray starts."""
    from ray._private import utils

    install = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = install


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Discard what Ray's C++ code writes while it starts; errors arrive as exceptions."""
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
