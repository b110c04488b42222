"""Check options before anything starts: typed options, and a part's settings against its class."""

from __future__ import annotations

import dataclasses
import inspect
import json
import types
from collections.abc import Mapping, Sequence
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from raypipe.config.error_messages import describe_unknown, first_line
from raypipe.config.group_options import explain_other_choices
from raypipe.config.value_hints import hint_for
from raypipe.core.errors import OptionError
from raypipe.core.own_parts import load_target
from raypipe.core.suggest import did_you_mean

QUOTING_HINT = "put quotes in quotes: \"'...'\""
"""How a number is typed as text on a command line; in a file, simple quotes are enough."""

_TYPE_NAMES: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "a list",
    tuple: "a list",
    Mapping: "a mapping like {name: value}",
    type(None): "null",
}


def check_typed_options(node: DictConfig, path: str = "") -> None:
    """Check the options of a schema, nested schemas first.

    A schema's own messages name an option without its path, so the path is added here.

    Args:
        node: The options.
        path: Prefix of their names, e.g. `stages.summarize.`.

    Raises:
        OptionError: An option is unknown, or its value is out of range.
        OmegaConfBaseException: A value has another type than its option.
    """
    schema = OmegaConf.get_type(node)
    if schema is None or not dataclasses.is_dataclass(schema):
        return
    known = [option.name for option in dataclasses.fields(schema)]
    for name in map(str, node):
        if name not in known:
            key = f"{path}{name}"
            hint = did_you_mean(name, known) or explain_other_choices(key)
            owner = path.rstrip(".") or "this command"
            raise OptionError(describe_unknown(key, hint, owner, sorted(known)))
        if isinstance(node[name], DictConfig):
            check_typed_options(node[name], f"{path}{name}.")
    try:
        OmegaConf.to_object(node)
    except OmegaConfBaseException:
        raise
    except (ValueError, TypeError) as error:
        raise OptionError(f"{path}{first_line(error)}") from None


def find_wrong_setting(settings: Any, path: str) -> str:
    """Return a line about the first setting that does not fit the part's class, or ''.

    Checks the class, names and plain types. Without this check, text in the place of a number is
    noticed on a worker, or never.

    Args:
        settings: A part's settings as plain lists and dicts; `_target_` names its class.
        path: The option that holds them, e.g. `opensearch`.
    """
    if not isinstance(settings, Mapping) or not settings.get("_target_"):
        return ""
    try:
        target = load_target(str(settings["_target_"]))
    except OptionError as error:
        return f"{path}._target_={settings['_target_']}: {error}"
    if not callable(target):
        return f"{path}._target_={settings['_target_']} is not a class; write module.Class"
    parameters = inspect.signature(target).parameters
    if any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters.values()):
        return ""
    hints = _type_hints(target)
    for name, value in settings.items():
        if name.startswith("_") and name.endswith("_"):
            continue  # Hydra's own keys, such as _convert_
        if name not in parameters:
            return _explain_unknown(path, name, list(parameters))
        problem = find_wrong_setting(value, f"{path}.{name}")
        if not problem and _is_value_for_part(value, hints.get(name, Any)):
            option = f"{path}.{name}"
            problem = f"{option}={_format(value)}: write {option}.OPTION=VALUE for an option of it"
        if not problem and not _fits(value, hints.get(name, Any)):
            wanted = _describe_type(hints[name])
            problem = f"{path}.{name}={_format(value)} must be {wanted}{hint_for(value, wanted)}"
        if problem:
            return problem
    return ""


def _type_hints(target: Any) -> dict[str, Any]:
    try:
        return get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError):
        return {}  # a type that is imported for type checkers only


def _explain_unknown(path: str, name: str, known: Sequence[str]) -> str:
    key = f"{path}.{name}"
    hint = did_you_mean(name, known) or explain_other_choices(key)
    return describe_unknown(key, hint, path, known)


def _is_value_for_part(value: Any, hint: Any) -> bool:
    """Return whether a plain value stands in the place of a nested part of raypipe."""
    allowed = _allowed_types(hint)
    is_part = all(getattr(kind, "__module__", "").startswith("raypipe.") for kind in allowed)
    return is_part and isinstance(value, bool | int | float | str | list)


def _fits(value: Any, hint: Any) -> bool:
    allowed = _allowed_types(hint)
    if not all(kind in _TYPE_NAMES for kind in allowed):
        return True  # another part, or a type that only the class can check
    if isinstance(value, bool):
        return bool in allowed
    if isinstance(value, int):
        return int in allowed or float in allowed
    if isinstance(value, list | tuple):
        return list in allowed or tuple in allowed
    if isinstance(value, Mapping):
        return Mapping in allowed
    return type(value) in allowed


def _allowed_types(hint: Any) -> list[Any]:
    """Return the types of a union, or the type itself; `list[str]` counts as `list`."""
    if get_origin(hint) in (Union, types.UnionType):
        return [kind for member in get_args(hint) for kind in _allowed_types(member)]
    return [get_origin(hint) or hint]


def _describe_type(hint: Any) -> str:
    names = " or ".join(dict.fromkeys(_TYPE_NAMES[kind] for kind in _allowed_types(hint)))
    quoting = f"; {QUOTING_HINT}" if names.startswith("text") else ""
    return names + quoting


def _format(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
