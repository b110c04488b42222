"""Turn a composed config into typed options and parts. The only place that instantiates parts."""

from __future__ import annotations

import inspect
import re
from typing import Any, cast

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from raypipe.config.error_messages import first_line
from raypipe.config.moved_targets import update_moved_targets
from raypipe.config.validate import check_typed_options, find_wrong_setting
from raypipe.core.errors import OptionError, SetupError

PARTS = (
    "storage",
    "text",
    "summarizer",
    "embedder",
    "opensearch",
    "checkpoint",
    "prices",
    "prompts",
    "cloudwatch",
)
"""Groups whose option files name a class in `_target_`."""

OPTIONAL_PARTS = ("opensearch", "cloudwatch")
"""Parts that a command may do without: `GROUP=none`."""


def read_options(cfg: DictConfig) -> Any:
    """Return a command's options as its schema; the settings of parts stay plain mappings.

    Raises:
        OptionError: An option is unknown, or its value is out of range.
    """
    check_typed_options(cfg)
    return OmegaConf.to_object(cfg)


def to_plain(cfg: DictConfig, *, resolve: bool = True) -> dict[str, Any]:
    """Return a config as plain dicts and lists, e.g. for the record of a run.

    Args:
        cfg: The config.
        resolve: Whether to replace references such as `${prompts}` by their values.
    """
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=resolve))


def build_part(cfg: DictConfig, name: str) -> Any:
    """Return the part that `cfg[name]` describes, or None if it has no `_target_`.

    Raises:
        OptionError: A setting does not fit the part's class, or the class refused it.
        SetupError: The part cannot work on this machine.
    """
    node = OmegaConf.select(cfg, name)
    if node is None or node.get("_target_") is None:
        return None
    update_moved_targets(node)
    if problem := find_wrong_setting(OmegaConf.to_container(node, resolve=True), name):
        raise OptionError(problem)
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        raise _explain_refusal(name, node, error) from None


def build_list(cfg: DictConfig, name: str) -> dict[str, Any]:
    """Return the parts of the chosen options of a group in `LISTS`, by the name of the choice.

    Raises:
        OptionError: A setting does not fit the part's class, or the class refused it.
    """
    parts = {choice: build_part(cfg, f"{name}.{choice}") for choice in map(str, cfg[name] or {})}
    return {choice: part for choice, part in parts.items() if part is not None}


def require_part(cfg: DictConfig, name: str, contract: type | None = None) -> Any:
    """Return the part that `cfg[name]` describes; the command cannot work without it.

    Args:
        cfg: The config.
        name: Group of the part.
        contract: Protocol whose members the part must have; a user's own class may lack some.

    Raises:
        OptionError: The chosen option has no part, a setting of the part is wrong, or its class
            lacks members of the contract.
        SetupError: The part cannot work on this machine.
    """
    part = build_part(cfg, name)
    if part is None:
        raise OptionError(f"this command needs {name}: choose an option other than {name}=none")
    missing = find_missing_members(part, contract) if contract is not None else []
    if contract is not None and missing:
        raise OptionError(
            f"{name}._target_={cfg[name]._target_}: the class lacks {', '.join(missing)}, see "
            f"{contract.__module__}.{contract.__name__}; CONTRIBUTING.md shows a complete class"
        )
    return part


def find_missing_members(part: object, contract: type) -> list[str]:
    """Return the public members of a protocol that an object lacks, in the protocol's order."""
    absent = object()
    return [
        name
        for name in vars(contract)
        if not name.startswith("_") and inspect.getattr_static(part, name, absent) is absent
    ]


def _explain_refusal(name: str, node: DictConfig, error: InstantiationException) -> Exception:
    cause = error.__cause__ or error
    if isinstance(cause, SetupError):
        return cause
    line = first_line(cause)
    # The classes begin a message with the name of the setting; they do not know their group.
    setting = re.match(r"\w*", line)
    return OptionError(f"{name}.{line}" if setting and setting[0] in node else f"{name}: {line}")
