"""Tell the options that were given, on a command line or in a settings file, from defaults."""

from __future__ import annotations

import re

from hydra.core.hydra_config import HydraConfig

_KEY = re.compile(r"[+~]*([^=@]+)")


def given_options() -> list[str]:
    """Return the names of the options that the current job was given, in their order.

    A settings file's options come before those of the command line. Outside a Hydra job, such as
    in a config that a test composed, the list is empty.
    """
    if not HydraConfig.initialized():
        return []
    return [override_key(text) for text in HydraConfig.get().overrides.task]


def was_given(name: str) -> bool:
    """Return whether an option, or an option below it, was given.

    Args:
        name: A group or an option: `was_given("summarizer")` is true after `summarizer=bedrock`
            and after `summarizer.model_id=...`.
    """
    return any(key == name or key.startswith(f"{name}.") for key in given_options())


def override_key(override: str) -> str:
    """Return the name of the option that an override sets: `storage.path` of `+storage.path=x`."""
    match = _KEY.match(override)
    return match[1] if match else override
