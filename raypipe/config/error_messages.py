"""Turn what Hydra and OmegaConf raise into one line that names the option and its choices."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from raypipe.config.build import conf_dir

_NAME = re.compile(r"[A-Za-z_][\w./-]{0,99}")
_SHOWN = 100  # characters of what was typed
_NO_NAMES = ("null", "true", "false", "nan", "inf")
CONFIG_ERRORS = (HydraException, OmegaConfBaseException, YAMLError)


def explain(error: Exception, command: str, args: Sequence[str]) -> str:
    """Return one line about a wrong option.

    Args:
        error: One of `CONFIG_ERRORS`.
        command: The command that was typed.
        args: What was typed behind it.
    """
    if isinstance(error, MissingConfigException):
        return _no_such_file(error, args)
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} cannot be read as option=value; quote values with spaces or ,[]"
    if isinstance(error, ConfigCompositionException):
        return _composition(error, command, args)
    if isinstance(error, YAMLError):
        return "an option file is no YAML: " + " ".join(str(error).split())
    return _value(error)


def odd_choice(args: Sequence[str]) -> str:
    """Return a line about a group that was set to what is no name, or an empty string.

    Hydra raises a bare ValueError, TypeError or OSError for `storage=null`, `=7`, `=[1]` and names
    that are too long for a file.
    """
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()}
    for arg in args:
        group, _, choice = arg.partition("=")
        if group in groups and not all(map(_is_name, choice.strip("[]").split(","))):
            choices = ", ".join(sorted(path.stem for path in (conf_dir() / group).glob("*.yaml")))
            return f"{arg[:_SHOWN]}: choose one of {choices}"
    return ""


def _is_name(choice: str) -> bool:
    """Whether a choice of a group can be one: Hydra takes the others for numbers and the like.

    A sweep such as `glob(*)` is Hydra's to read.
    """
    if "(" in choice or ")" in choice:
        return True
    word = choice.strip().strip("'\"")
    return bool(_NAME.fullmatch(word)) and word.lower() not in _NO_NAMES


def missing(cfg: DictConfig) -> str:
    """Return a line about options that have no value yet, or an empty string."""
    keys = sorted(_missing_keys(cfg))
    return f"give a value for {', '.join(f'{key}=...' for key in keys)}" if keys else ""


def _missing_keys(node: DictConfig, path: str = "") -> Iterator[str]:
    """Yield the keys without a value; `OmegaConf.missing_keys` stumbles over references to them."""
    for key in map(str, node):
        if OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            yield f"{path}{key}"
        elif OmegaConf.is_dict(node._get_node(key)):
            yield from _missing_keys(node[key], f"{path}{key}.")


def _no_such_file(error: MissingConfigException, args: Sequence[str]) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if not error.options:
        match = re.search(r"[Cc]ould not find '([^']+)'", str(error))
        return f"there is no option file {match[1] if match else option!r}"
    choices = ", ".join(sorted(error.options))
    typed = next((arg for arg in args if arg.lstrip("+~").startswith(f"{group}=")), "")
    named = typed or f"{group}={option}"
    return f"{named}: there is no such option; choose one of {choices}"


def _composition(error: Exception, command: str, args: Sequence[str]) -> str:
    merging = re.match(r"Error merging override (.+)", str(error))
    if merging is not None and error.__cause__ is not None:
        return f"{merging[1]}: {_first_line(error.__cause__)}"
    found = re.search(r"Could not (?:override|delete|append to config)[^']*'([^']+)'", str(error))
    if found is None or (not isinstance(error.__cause__, Exception) and "group" in str(error)):
        return _first_line(error)
    cause = error.__cause__
    if cause is not None and "is not in struct" not in str(cause) and "not in '" not in str(cause):
        return f"{found[1]}: {_value(cause)}"
    return _no_such_key(found[1], command, args)


def _no_such_key(key: str, command: str, args: Sequence[str]) -> str:
    key = key.partition("@")[0]
    parent, _, name = key.rpartition(".")
    cfg = _composed(command, args)
    node = OmegaConf.select(cfg, parent) if parent else cfg
    while parent and not isinstance(node, DictConfig):
        parent, _, name = parent.rpartition(".")
        node = OmegaConf.select(cfg, parent) if parent else cfg
    choices = [str(choice) for choice in node if not str(choice).startswith("_")]
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    where = f"{parent} has" if parent else f"{command} has"
    return f"there is no option {key}; {hint}{where} {', '.join(sorted(choices))}"


def _composed(command: str, args: Sequence[str]) -> DictConfig:
    """Compose the command with the group choices that were typed, leaving out the rest."""
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()}
    chosen = [arg for arg in args if arg.partition("=")[0] in groups]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        try:
            return compose(command, overrides=chosen)
        except CONFIG_ERRORS:
            return compose(command)


def _value(error: BaseException) -> str:
    key = getattr(error, "full_key", None)
    line = _first_line(error)
    return f"{key}: {line}" if key and not line.startswith(str(key)) else line


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
