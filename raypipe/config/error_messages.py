"""Turn errors of Hydra and OmegaConf into one line that names the option and its choices."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from raypipe.config.compose import compose_with_choices
from raypipe.config.group_options import (
    LISTS,
    explain_added_argument,
    explain_other_choices,
    list_choices,
    names_below,
    split_choices,
)
from raypipe.config.paths import conf_dir, conf_folders
from raypipe.config.value_hints import hint_for
from raypipe.core.suggest import did_you_mean

CONFIG_ERRORS = (HydraException, OmegaConfBaseException, YAMLError)
"""What Hydra raises about a command line or an option file."""

_CHOICE_NAME = re.compile(r"[A-Za-z_][\w./-]{0,99}")
_LITERALS = ("null", "true", "false", "nan", "inf")
_MAX_ARGUMENT_CHARS = 100
_MAX_NAMES = 3
_KINDS = (
    (r"converted to Integer", "a whole number"),
    (r"converted to Float", "a number"),
    (r"not a valid bool", "true or false"),
    (r"is not Optional|Incompatible value 'None'", "a value other than null"),
    (r"to ListConfig|is not a ListConfig", "a list"),
)
"""Parts of OmegaConf's messages, and the kind of value that the option needs."""


def explain(error: Exception, command: str, args: Sequence[str]) -> str:
    """Return one line about a wrong option.

    Args:
        error: An error of one of the types in `CONFIG_ERRORS`.
        command: The command.
        args: The arguments that were typed after it.
    """
    if isinstance(error, MissingConfigException):
        return _explain_missing_file(error, args)
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} cannot be read as option=value"
    if isinstance(error, ConfigCompositionException):
        return _explain_composition(error, command, args)
    if isinstance(error, YAMLError):
        return "an option file is not valid YAML: " + " ".join(str(error).split())
    return _explain_value(error)


def find_invalid_choice(args: Sequence[str]) -> str:
    """Return a line about a group whose value cannot name an option file, or ''.

    Hydra raises a bare ValueError, TypeError or OSError for `storage=null`, `=7`, `=[1]` and for
    names that are too long for a file.
    """
    folders = conf_folders()
    for arg in args:
        group, _, value = arg.partition("=")
        is_list = value.startswith("[") and group not in LISTS
        if group in folders and (is_list or not all(map(_can_be_choice, split_choices(value)))):
            choices = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
            return f"{arg[:_MAX_ARGUMENT_CHARS]}: {list_choices(value, choices)}"
    return ""


def _can_be_choice(value: str) -> bool:
    """Whether a value can name an option file; Hydra reads other values as numbers or null.

    A sweep such as `glob(*)` is left to Hydra.
    """
    if "(" in value or ")" in value:
        return True
    word = value.strip().strip("'\"")
    return bool(_CHOICE_NAME.fullmatch(word)) and word.lower() not in _LITERALS


def find_missing_values(cfg: DictConfig) -> str:
    """Return a line about the options that have no value yet, or ''."""
    keys = sorted(_missing_keys(cfg))
    return f"give a value for {', '.join(f'{key}=...' for key in keys)}" if keys else ""


def _missing_keys(node: DictConfig, path: str = "") -> Iterator[str]:
    """Yield the keys without a value.

    `OmegaConf.missing_keys` raises an error where another option refers to a missing value.
    """
    for key in map(str, node):
        if OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            yield f"{path}{key}"
        elif OmegaConf.is_dict(node._get_node(key)):
            yield from _missing_keys(node[key], f"{path}{key}.")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if the message is empty.

    A first line that ends with a colon is joined with the next line, which has the cause.
    """
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def _explain_missing_file(error: MissingConfigException, args: Sequence[str]) -> str:
    group, _, choice = (error.missing_cfg_file or "").rpartition("/")
    options = error.options or []
    if not options and group in LISTS:  # Hydra lists the options of a single choice only
        options = [path.stem for path in (conf_dir() / group).glob("*.yaml")]
    if not options:
        match = re.search(r"[Cc]ould not find '([^']+)'", str(error))
        return f"there is no option file {match[1] if match else choice!r}"
    choices = list_choices(choice, sorted(options))
    typed = next((arg for arg in args if arg.lstrip("+~").startswith(f"{group}=")), "")
    argument = typed or f"{group}={choice}"
    return f"{argument}: there is no such option; {choices}"


def _explain_composition(error: Exception, command: str, args: Sequence[str]) -> str:
    merging = re.match(r"Error merging override (.+)", str(error), re.DOTALL)
    if merging is not None and error.__cause__ is not None:
        return _explain_kind(merging[1], error.__cause__)
    if sweep := re.match(
        r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)'(?: requires|$)",
        first_line(error),
    ):
        return f"{sweep[1]}: {_explain_sweep(*sweep[1].split('=', 1))}"
    match = re.search(r"Could not (?:override|delete|append to config)[^']*'([^']+)'", str(error))
    cause = error.__cause__
    if match is None or (not isinstance(cause, Exception) and "group" in str(error)):
        return first_line(error)
    if cause is not None and "is not in struct" not in str(cause) and "not in '" not in str(cause):
        return f"{match[1]}: {_explain_value(cause)}"
    return _explain_unknown_key(match[1], command, args)


def _explain_sweep(key: str, value: str) -> str:
    single = "give a single value, or add -m to run a job for each value"
    if key in LISTS:
        return f"{single}; for all of them: {key}=[{value}]"
    if key in conf_folders():
        return single
    return f"{single}; in quotes it is text: \"{key}='{value}'\""


def _explain_kind(override: str, cause: BaseException) -> str:
    """Return a line about a value that the option's type does not take."""
    key, _, text = override.partition("=")
    if len(text) > 1 and text[0] == text[-1] == "'":
        text = text[1:-1].replace("\\'", "'")  # raypipe itself may have added the quotes
    key = key.lstrip("+")
    shown = f"{key}={text}"[:_MAX_ARGUMENT_CHARS]
    line = first_line(cause)
    if "is not a subclass of" in line:
        return f"{shown}: {key} has no value, but options: write {key}.OPTION=VALUE"
    for pattern, kind in _KINDS:
        if re.search(pattern, line):
            return f"{shown} must be {kind}{hint_for(text, kind)}"
    return f"{shown}: {line}"


def _explain_unknown_key(key: str, command: str, args: Sequence[str]) -> str:
    key = key.partition("@")[0]
    group = key.partition(".")[0]
    if any(arg.startswith(f"{group}._target_=") for arg in args):
        return f"there is no option {key}; {explain_added_argument(key)}"
    parent, _, name = key.rpartition(".")
    cfg, current = _compose_choices(command, args)
    node = OmegaConf.select(cfg, parent) if parent else cfg
    while parent and not isinstance(node, DictConfig):
        parent, _, name = parent.rpartition(".")
        node = OmegaConf.select(cfg, parent) if parent else cfg
    choices = sorted(str(choice) for choice in node if not str(choice).startswith("_"))
    hint = (
        _find_elsewhere(key, cfg)
        or did_you_mean(name, choices)
        or explain_other_choices(key, current)
    )
    return describe_unknown(key, hint, parent or command, choices)


def describe_unknown(key: str, hint: str, owner: str, choices: Sequence[str]) -> str:
    """Return a line about an unknown option.

    Args:
        key: Full name of the option.
        hint: What may be meant, or ''.
        owner: The group or command that lacks it.
        choices: Names of the options of the owner.
    """
    parts = [
        f"there is no option {key}",
        hint,
        f"{owner} has {', '.join(choices) or 'no options'}",
    ]
    return "; ".join(filter(None, parts)).replace("?; ", "? ")


def _find_elsewhere(key: str, cfg: DictConfig) -> str:
    """Return where else the config has an option of this name, or ''."""
    group, dot, rest = key.partition(".")
    names = [
        name
        for name in names_below(OmegaConf.to_container(cfg, resolve=False))
        if name.endswith(f".{rest or key}") and (not dot or name.startswith(f"{group}."))
    ]
    more = ", ..." if len(names) > _MAX_NAMES else ""
    return f"did you mean {', '.join(names[:_MAX_NAMES])}{more}?" if names else ""


def _compose_choices(command: str, args: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
    """Compose a command's config with the typed group choices only, to list its options."""
    folders = conf_folders()
    choices = [arg for arg in args if arg.partition("=")[0] in folders]
    try:
        return compose_with_choices(command, choices)
    except CONFIG_ERRORS:
        return compose_with_choices(command)


def _explain_value(error: BaseException) -> str:
    key = getattr(error, "full_key", None)
    line = first_line(error)
    if "Interpolation" in line or "interpolation" in line:
        line += "; ${NAME} refers to an option, ${oc.env:NAME} to an environment variable"
    return f"{key}: {line}" if key and not line.startswith(str(key)) else line
