"""Read YAML as options: values as on the command line, each option with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from raypipe.core.errors import OptionError

_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_INT = re.compile(rf"[-+]?(?!0[0-9_]){_DIGITS}")
_FLOAT = re.compile(
    rf"[-+]?(?:{_DIGITS}\.(?:{_DIGITS})?|\.{_DIGITS}|{_DIGITS}(?=[eE]))(?:[eE][-+]?[0-9]+)?"
)
_NO_NUMBER = re.compile(r"[-+]?(?:inf|nan)", re.IGNORECASE)
_MAX_NUMBER_CHARS = 100
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_TAGS = ("str", "int", "float", "bool", "null", "timestamp", "value", "seq", "map", "merge")


@dataclass(frozen=True)
class Line:
    """A key with its YAML value.

    Args:
        key: The key.
        node: Its value as a node of YAML.
        number: Line of the key, from 1.
    """

    key: str
    node: yaml.Node
    number: int


class YamlText:
    """A YAML file whose values are read like those of a command line.

    `true`, `false`, `null` and decimal numbers are what they are there; everything else is text.
    YAML's other forms, such as dates, `yes` or numbers to the base 60, would change a value copied
    from a command line.

    Args:
        text: The content of the file.
        name: Its name for messages.

    Raises:
        OptionError: The text is not YAML; the message has file and line.
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.text = text
        try:
            self.root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = error.problem or error.context or "no YAML"
            raise self.error(
                mark.line + 1 if mark else 1, f"this is not valid YAML: {problem}"
            ) from None
        except (yaml.YAMLError, RecursionError) as error:
            reason = str(error).splitlines()[0]
            raise OptionError(f"{name} is not valid YAML: {reason}") from None
        self._check_nodes()

    def error(self, line: int, message: str) -> OptionError:
        """Return an error with the file and the line."""
        return OptionError(f"{self.name}:{line}: {message}")

    def lines(self, node: yaml.Node | None) -> Iterator[Line]:
        """Yield the keys of a mapping; nothing for an empty file or an empty value.

        Raises:
            OptionError: The node is not a mapping, or a key occurs twice or is not a text.
        """
        if node is None or (isinstance(node, yaml.ScalarNode) and self.value(node) is None):
            return
        number = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            raise self.error(number, "write one `option: value` on each line")
        first: dict[str, int] = {}
        for key_node, value in node.value:
            at = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":merge"):
                raise self.error(at, "write one `option: value` on each line")
            key = str(key_node.value)
            if key in first:
                raise self.error(at, f"{key} is set twice, the first time in line {first[key]}")
            first[key] = at
            yield Line(key, value, at)

    def value(self, node: yaml.Node) -> Any:
        """Return a value: None, a truth value, a number, a text, a list or a mapping.

        Raises:
            OptionError: A key of a mapping occurs twice or is not a text.
        """
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item) for item in node.value]
        if isinstance(node, yaml.MappingNode):
            return {line.key: self.value(line.node) for line in self.lines(node)}
        if (
            not isinstance(node, yaml.ScalarNode) or node.style is not None
        ):  # in quotes, or a block of text
            return str(node.value)
        return read_plain(str(node.value))

    def _check_nodes(self) -> None:
        """Raise an error about what a command line cannot say: tags and aliases of YAML."""
        seen: set[int] = set()
        waiting = [self.root] if self.root is not None else []
        while waiting:
            node = waiting.pop()
            line = node.start_mark.line + 1
            if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
                raise self.error(line, f"the YAML tag {node.tag} is not supported")
            if id(node) in seen:
                raise self.error(line, "YAML's aliases are not supported; write the value again")
            seen.add(id(node))
            if isinstance(node, yaml.MappingNode):
                waiting += [part for pair in node.value for part in pair]
            elif isinstance(node, yaml.SequenceNode):
                waiting += node.value


def read_plain(text: str) -> Any:
    """Return the value of a text without quotes, as a command line reads it."""
    if len(text) > _MAX_NUMBER_CHARS:
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) or _NO_NUMBER.fullmatch(text):
        return float(text)
    return text
