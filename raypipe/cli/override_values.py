"""Take values that Hydra cannot read as text, and find options that are given twice.

A value that Hydra's grammar reads keeps Hydra's meaning: numbers, `null`, lists, mappings, sweeps
with `-m`, functions, and `${...}`. Without these rules, a path with an umlaut or a parenthesis
would have to be quoted twice, once for the shell and once for Hydra.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException

from raypipe.cli.arguments import FLAGS_WITH_VALUE, MULTIRUN, quote
from raypipe.cli.settings import option_names
from raypipe.cli.settings.hydra_text import format_value
from raypipe.cli.wrong_words import explain_word
from raypipe.config.origins import override_key
from raypipe.core.errors import OptionError

_TEXT = re.compile(r"(\+{0,2}[A-Za-z_][\w./@:-]*)=(.*)", re.DOTALL)
_PLAIN_LIST = re.compile(r"[^'\"\[\](){}]*")


def accept_text(command: str, args: Sequence[str]) -> list[str]:
    """Return arguments that Hydra can read: values outside its grammar are quoted as text.

    Args:
        command: The command.
        args: The arguments after it, as they were typed; flags stay as they are.

    Raises:
        OptionError: An argument is not `option=value`.
    """
    is_multirun = any(flag in args for flag in MULTIRUN)
    parser = OverridesParser.create()
    accepted = list(args)
    for at in _override_positions(args):
        accepted[at] = _accept(parser, command, args, at, is_multirun=is_multirun)
    return accepted


def describe_repeated(args: Sequence[str]) -> list[str]:
    """Return a line for each option that has several values; the last value is used."""
    values: dict[str, list[str]] = {}
    for at in _override_positions(args):
        name, equals, value = args[at].partition("=")
        if equals and name[0] not in "+~" and value not in values.get(name, [])[-1:]:
            values.setdefault(name, []).append(value)
    return [
        f"{name} is given {len(given)} times; {name}={given[-1]} is used"
        for name, given in values.items()
        if len(given) > 1
    ]


def _override_positions(args: Sequence[str]) -> Iterator[int]:
    for at, arg in enumerate(args):
        is_value = at > 0 and args[at - 1] in FLAGS_WITH_VALUE
        if not is_value and not arg.startswith("-"):
            yield at


def _accept(
    parser: OverridesParser, command: str, args: Sequence[str], at: int, *, is_multirun: bool
) -> str:
    arg = args[at]
    override = _read(parser, arg)
    if override is not None:
        return _keep_or_quote(override, arg, is_multirun=is_multirun)
    match = _TEXT.fullmatch(arg)
    if match is None or override_key(arg) in option_names.group_names():
        raise OptionError(explain_word(command, args, at))
    key, value = match.groups()
    if is_multirun and "," in value:
        raise OptionError(
            f"{arg}: with -m, put single quotes around each value that has other characters than "
            f"letters, digits and -_.:/%+@*: \"{key}='...','...'\""
        )
    parsed = _read_yaml(value)
    if isinstance(parsed, list | Mapping):
        return _format(key, parsed)
    # A reference to another option stays a reference.
    is_reference = re.search(r"\$\{[^{}]+\}", value) is not None
    text = f"{key}={quote(value, is_reference=is_reference)}"
    if _read(parser, text) is None:
        raise OptionError(explain_word(command, args, at))
    return text


def _read(parser: OverridesParser, arg: str) -> Override | None:
    """Return an override, or None if Hydra cannot read it."""
    try:
        override = parser.parse_override(arg)
    except HydraException:  # with a cause for each error of its lexer, parser and functions
        return None
    return override if override.key_or_group.strip() else None


def _keep_or_quote(override: Override, arg: str, *, is_multirun: bool) -> str:
    key, _, value = arg.partition("=")
    name = override_key(arg)
    if override.is_delete() or name in option_names.group_names():
        return arg
    if override.is_sweep_override():
        sweep = override.value()
        is_list = isinstance(sweep, ChoiceSweep) and sweep.simple_form
        is_text = is_list and not is_multirun and _PLAIN_LIST.fullmatch(value) is not None
        return f"{key}={quote(value)}" if is_text else arg
    is_change = not override.is_add() and not override.is_force_add()
    is_table = isinstance(override.value(), dict) and override.value()
    # Hydra adds names to a table only with `++`. A part's class checks its names later.
    if is_change and (is_table or option_names.is_in_table(name)):
        return f"++{arg}"
    return arg


def _format(key: str, value: Any) -> str:
    prefix = "++" if isinstance(value, Mapping) and not key.startswith("+") else ""
    return f"{prefix}{key}={format_value(value)}"


def _read_yaml(value: str) -> Any:
    """Return the list or mapping that a value is as YAML, such as JSON, or None."""
    if value[:1] not in ("[", "{"):
        return None
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return None
