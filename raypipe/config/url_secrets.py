"""Refuse passwords and tokens in URLs before anything prints or keeps them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from raypipe.config.origins import override_key
from raypipe.core.errors import OptionError
from raypipe.core.redact import has_url_secret

_NAME = re.compile(r"-{0,2}[A-Za-z_][\w./-]*")
_AWS = "set the profile option, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
_FIXES = {
    "opensearch": "set opensearch.connection.username or token, and put the password into the "
    "environment variable OPENSEARCH_PASSWORD, or the token into OPENSEARCH_TOKEN",
    "base_url": "put the key into the environment variable OPENAI_API_KEY",
    "storage": _AWS,
    "state": _AWS,
    "endpoint_url": _AWS,
}
"""How to pass a secret, by the group or the last word of an option."""
_ANY_FIX = (
    "pass secrets in the environment (OPENSEARCH_PASSWORD, OPENSEARCH_TOKEN, OPENAI_API_KEY, an "
    "AWS profile)"
)


def refuse_secrets_in_arguments(args: Iterable[str]) -> None:
    """Refuse arguments of a command line that have a URL with a password or token.

    Raises:
        OptionError: An argument has one. The message does not repeat it.
    """
    for arg in args:
        name = override_key(arg) if "=" in arg else ""
        value = arg[arg.find("=") + 1 :].strip("'\"")
        if has_url_secret(value, name) or has_url_secret(arg):
            raise _refusal(name)


def refuse_secrets_in_config(cfg: DictConfig) -> None:
    """Refuse a config whose URLs, also those from the environment, have a password or token.

    Raises:
        OptionError: An option has one. The message does not repeat it.
    """
    for name in map(str, cfg):
        if name != "hydra" and not OmegaConf.is_missing(cfg, name):
            _refuse_in(name, _get(cfg, name))


def _refuse_in(name: str, value: Any) -> None:
    if isinstance(value, DictConfig | Mapping):
        for key in value:
            _refuse_in(f"{name}.{key}", _get(value, key))
    elif OmegaConf.is_list(value) or isinstance(value, list | tuple):
        for at in range(len(value)):
            _refuse_in(name, _get(value, at))
    elif isinstance(value, str) and has_url_secret(value, name):
        raise _refusal(name)


def _get(node: Any, key: Any) -> Any:
    """Return a resolved value; None for a value that is missing or refers to a missing value."""
    try:
        return node[key]
    except OmegaConfBaseException:
        return None


def _refusal(name: str) -> OptionError:
    is_option = bool(_NAME.fullmatch(name))
    words = (name.partition(".")[0], name.rpartition(".")[2])
    fix = next((_FIXES[word] for word in words if word in _FIXES), _ANY_FIX)
    return OptionError(
        f"{name if is_option else 'an argument'}: the URL contains a user name, password or token, "
        f"which messages and run.json would show. Fix: remove it from the URL; {fix}"
    )
