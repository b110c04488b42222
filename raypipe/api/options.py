"""Turn the arguments of a Python call into the config of a command.

The name of an option is that of the command line. Three spellings of `storage.bucket=my-books`:

    raypipe.run(storage__bucket="my-books")               # two underscores are a dot
    raypipe.run(**{"storage.bucket": "my-books"})
    raypipe.run(storage={"bucket": "my-books"})           # nested, as in raypipe.yaml

A group takes its choice, `storage="s3"`, or a part of the caller, `embedder={"_target_": ...}`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from raypipe.cli.prepare import check_values, explain_option_errors, prepare_arguments
from raypipe.cli.settings import option_names
from raypipe.cli.settings.hydra_text import format_override
from raypipe.cli.settings.merge import MergedArguments
from raypipe.config.build import PARTS
from raypipe.config.compose import compose_config
from raypipe.config.error_messages import CONFIG_ERRORS, explain
from raypipe.config.group_options import LISTS
from raypipe.config.schema import SCHEMAS
from raypipe.core.errors import OptionError

Config: TypeAlias = Mapping[str, Any] | DictConfig
"""A composed config: of OmegaConf or Hydra, or as a dict."""

SettingsFile: TypeAlias = str | os.PathLike[str] | Literal[False] | None
"""A settings file; None for the file that the commands read, False for none."""

_OFF = "none"
_CONFIG_DIR = "--config-dir"
_NAME = re.compile(r"[A-Za-z]\w*")
_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class CallOptions:
    """The options of a call.

    Args:
        config: A composed config; None to compose it from the options.
        overrides: Overrides as they are typed on a command line; they win over `options`.
        settings: The settings file.
        profile: Profile of the settings file; None for the profile that the file names.
        options: Values by the names of the options.
    """

    config: Config | None
    overrides: Sequence[str]
    settings: SettingsFile
    profile: str | None
    options: Mapping[str, Any]


@dataclass(frozen=True)
class PreparedConfig:
    """The config of a call.

    Args:
        cfg: The config.
        arguments: Where its options come from, for messages.
    """

    cfg: DictConfig
    arguments: MergedArguments


def prepare_config(command: str, call: CallOptions, fixed: Mapping[str, Any]) -> PreparedConfig:
    """Return the config of a command.

    Args:
        command: The command.
        call: The options of the call.
        fixed: Values that the call gives by itself, by option.

    Raises:
        OptionError: An option is wrong; the message is that of the command line.
    """
    if call.config is not None and (call.overrides or call.options):
        given = [*call.overrides, *call.options][0]
        raise OptionError(f"{given}: give either config or options; config has all options")
    if isinstance(call.overrides, str):
        raise OptionError(f"overrides={call.overrides!r} must be a list of texts")
    if call.config is None:
        args = [*to_overrides(call.options), *call.overrides, *to_overrides(fixed)]
        prepared = _compose(command, args, call)
    else:
        prepared = _fill(command, call.config, fixed)
    with explain_option_errors(prepared.arguments):
        check_values(prepared.cfg, prepared.arguments)
    return prepared


def to_overrides(options: Mapping[str, Any]) -> list[str]:
    """Return options as overrides in Hydra's grammar.

    Raises:
        OptionError: A value is no text, number, truth value, list or mapping.
    """
    return [
        override for name, value in options.items() for override in _overrides(_dotted(name), value)
    ]


def _overrides(name: str, value: Any) -> Iterator[str]:
    plain = _to_plain(name, value)
    if name in option_names.group_names() and isinstance(plain, str) and _NAME.fullmatch(plain):
        yield f"{name}={plain}"
    elif not isinstance(plain, Mapping):
        yield format_override(name, plain)
    elif name in option_names.group_names() and "_target_" in plain:
        # A part of the caller, without the options of the part that it replaces.
        yield f"~{name}"
        yield format_override(name, plain)
    elif option_names.has_options_below(name):
        for key, item in plain.items():
            yield from _overrides(f"{name}.{_dotted(str(key))}", item)
    else:
        yield format_override(name, plain)


def _dotted(name: str) -> str:
    """Return the name of an option: two underscores are a dot, those of `_target_` are not."""
    return name.replace("__", ".")


def _to_plain(name: str, value: Any) -> Any:
    if isinstance(value, DictConfig | ListConfig):
        return OmegaConf.to_container(value, resolve=False)
    if isinstance(value, Mapping):
        return {key: _to_plain(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(name, item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, _PLAIN):
        return value
    raise OptionError(
        f"{name}: {type(value).__name__} is no value of an option; give text, a number, a truth "
        "value, a list or a mapping"
    )


def _compose(command: str, args: Sequence[str], call: CallOptions) -> PreparedConfig:
    """Return the config that the settings file and the arguments make."""
    if flags := [arg for arg in args if arg.startswith("-")]:
        raise OptionError(f"overrides: {flags[0]} is a flag of the command line, not an option")
    settings = call.settings
    named = _OFF if settings is False else None if settings is None else os.fspath(settings)
    merged = prepare_arguments(command, args, named, call.profile)
    overrides, config_dir = _take_config_dir(merged.args)
    try:
        cfg = compose_config(command, overrides, config_dir)
    except CONFIG_ERRORS as error:
        raise OptionError(merged.locate(explain(error, command, overrides))) from None
    return PreparedConfig(cfg, merged)


def _take_config_dir(args: Sequence[str]) -> tuple[list[str], Path | None]:
    """Return the overrides, and the folder with option files of the settings file."""
    if _CONFIG_DIR not in args:
        return list(args), None
    at = list(args).index(_CONFIG_DIR)
    return [*args[:at], *args[at + 2 :]], Path(args[at + 1])


def _fill(command: str, config: Config, fixed: Mapping[str, Any]) -> PreparedConfig:
    """Return a copy of a composed config; options that it lacks have the command's defaults."""
    is_composed = isinstance(config, DictConfig)
    values: Any = OmegaConf.to_container(config, resolve=False) if is_composed else dict(config)
    own = _option_names(command)
    names = [name for name in values if name != "hydra"]
    # The config of a run works for a search, too: `limit` means books there.
    is_own = set(names) <= own
    used = [name for name in names if is_own or option_names.takes_from_file(command, name)]
    known = {name for each in SCHEMAS for name in _option_names(each)}
    if unknown := [name for name in names if name not in known]:
        hint = option_names.suggest(unknown[0])
        raise OptionError(f"there is no option {unknown[0]}{hint}")
    cfg = compose_config(command, to_overrides(fixed))
    merged = MergedArguments(command, (), ())
    with explain_option_errors(merged), open_dict(cfg):
        for name in (name for name in used if name not in fixed):
            if name in (*PARTS, *LISTS):
                cfg[name] = values[name]
            else:
                OmegaConf.update(cfg, name, values[name], merge=True)
    return PreparedConfig(cfg, merged)


def _option_names(command: str) -> set[str]:
    return {field.name for field in dataclasses.fields(SCHEMAS[command])}
