"""Whether the settings of a part fit its class: names and plain types, before it is made."""

from __future__ import annotations

import difflib
import inspect
import json
import types
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Union, get_args, get_origin, get_type_hints

_WORDS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "a list",
    tuple: "a list",
    type(None): "null",
}


def wrong_setting(node: Any, path: str) -> str:
    """Return one line about the first setting that does not fit, or an empty string.

    Without this, text where a number belongs is found on a worker, or never.

    Args:
        node: A part's settings as plain lists and dicts; `_target_` names its class.
        path: The option that holds them, e.g. `opensearch`.
    """
    if not isinstance(node, Mapping) or not node.get("_target_"):
        return ""
    made = _found(str(node["_target_"]))
    if made is None:
        return ""  # instantiate() says so
    parameters = inspect.signature(made).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return ""
    hints = _hints(made)
    for name, value in node.items():
        if name.startswith("_") and name.endswith("_"):
            continue  # Hydra's own words
        if name not in parameters:
            return _unknown(path, name, list(parameters))
        wrong = wrong_setting(value, f"{path}.{name}")
        if not wrong and not _fits(value, hints.get(name, Any)):
            wrong = f"{path}.{name}={_shown(value)} must be {_asked(hints[name])}"
        if wrong:
            return wrong
    return ""


def _found(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        return None


def _hints(made: Any) -> dict[str, Any]:
    try:
        return get_type_hints(made.__init__ if inspect.isclass(made) else made)
    except (NameError, TypeError):
        return {}  # a type that only type checkers import


def _unknown(path: str, name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"there is no option {path}.{name}; {hint}{path} has {', '.join(names) or 'none'}"


def _fits(value: Any, hint: Any) -> bool:
    choices = _choices(hint)
    if not all(one in _WORDS for one in choices):
        return True  # another part, or a type that only the class can judge
    if isinstance(value, bool):
        return bool in choices
    if isinstance(value, int):
        return int in choices or float in choices
    if isinstance(value, list | tuple):
        return list in choices or tuple in choices
    return type(value) in choices


def _choices(hint: Any) -> list[Any]:
    if get_origin(hint) in (Union, types.UnionType):
        return [choice for one in get_args(hint) for choice in _choices(one)]
    return [get_origin(hint) or hint]


def _asked(hint: Any) -> str:
    asked = " or ".join(dict.fromkeys(_WORDS[one] for one in _choices(hint)))
    quoting = "; put quotes in quotes: \"'...'\"" if asked.startswith("text") else ""
    return asked + quoting


def _shown(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
