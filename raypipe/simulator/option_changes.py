"""Change the options of a running server, from POST /control or a fault script."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from raypipe.simulator.options import FaultOptions, ServerOptions

CHANGEABLE = ("latency", "quota", "concurrency", "faults", "model")
"""Option groups that can be changed while the server runs."""


def apply_changes(options: ServerOptions, changes: Mapping[str, Any]) -> ServerOptions:
    """Return options with some values replaced.

    Args:
        options: Current options.
        changes: New values by group, such as `{"quota": {"tokens_per_minute": 500000}}`.

    Raises:
        ValueError: An option does not exist, or a value is out of its range.
    """
    groups = dict(_changed_groups(options, changes))
    if "faults" in groups:
        check_script(options, groups["faults"])
    return dataclasses.replace(options, **groups)


def check_script(options: ServerOptions, faults: FaultOptions) -> None:
    """Check that the steps of a script set only options that can change.

    Raises:
        ValueError: A step sets another option, or a value out of its range.
    """
    for number, step in enumerate(faults.script):
        try:
            dict(_changed_groups(options, step.get("set", {})))
        except ValueError as error:
            raise ValueError(f"faults.script[{number}]: {error}") from None


def _changed_groups(
    options: ServerOptions, changes: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    for group, values in changes.items():
        if group not in CHANGEABLE:
            raise ValueError(f"{group} cannot be changed; choose one of {', '.join(CHANGEABLE)}")
        current = getattr(options, group)
        names = [option.name for option in dataclasses.fields(current)]
        if not isinstance(values, Mapping) or set(values) - set(names):
            raise ValueError(f"{group} must be a mapping with keys among {', '.join(names)}")
        try:
            yield group, dataclasses.replace(current, **values)
        except TypeError as error:
            raise ValueError(f"{group}: {error}") from None
