"""Check what a part needs on this machine, before anything is started or asked."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

from raypipe.core.errors import SetupError


@runtime_checkable
class ChecksSetup(Protocol):
    """A part that can tell without a request that it lacks a package or a setting here."""

    def check_setup(self) -> None:
        """Check packages, region and credentials; no request is made to a model.

        Raises:
            SetupError: Something is missing; the message says how to get it.
        """


def check_setup(part: object) -> None:
    """Check the setup of a part, if the part can tell; errors as `ChecksSetup.check_setup`."""
    if isinstance(part, ChecksSetup):
        part.check_setup()


def check_together(*checks: Callable[[], None]) -> None:
    """Make checks at the same time: some load a model, others wait for a server.

    Raises:
        SetupError: A check fails; the first of the arguments that does.
    """
    threads = ThreadPoolExecutor(max(len(checks), 1), "check")
    try:
        for result in [threads.submit(check) for check in checks]:
            result.result()
    finally:
        threads.shutdown(wait=False)  # a stop, or an error, does not wait for a slow server


def check_package(name: str, message: str) -> None:
    """Raise `SetupError` with this message if a package is not installed."""
    if importlib.util.find_spec(name) is None:
        raise SetupError(message)
