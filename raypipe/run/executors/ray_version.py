"""Check the version of Ray before the pipeline starts it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from raypipe.core.errors import SetupError

RAY_VERSION = "2.60.0"
"""The version that the pipeline is tested with: its graph depends on details of Ray that change
between releases, such as block sizes. The datasink alone works with older versions, too."""


def check_ray_version() -> None:
    """Check the installed version of Ray; Ray is not imported.

    Raises:
        SetupError: It is another version than the pipeline needs.
    """
    try:
        installed = version("ray")
    except PackageNotFoundError:
        installed = "none"
    if installed != RAY_VERSION:
        raise SetupError(
            f"the pipeline needs Ray {RAY_VERSION}, and the installed version is {installed}; run "
            f'`pip install "ray[data]=={RAY_VERSION}"`, or set executor=local to run without Ray'
        )
