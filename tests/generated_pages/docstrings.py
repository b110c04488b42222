"""Read docstrings in Google's style: text, and sections such as `Args:`."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

_SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises):")


@dataclass(frozen=True)
class Docstring:
    """A docstring.

    Attributes:
        text: Everything before the sections.
        arguments: Text of each argument or attribute.
        returns: Text of `Returns:` or `Yields:`.
        raises: Text of each error.
    """

    text: str
    arguments: dict[str, str] = field(default_factory=dict)
    returns: str = ""
    raises: dict[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """Return the first paragraph."""
        return " ".join(self.text.partition("\n\n")[0].split())


def read_docstring(documented: object) -> Docstring:
    """Return the docstring of an object; an empty one if it has none."""
    return parse_docstring(inspect.getdoc(documented) or "")


def parse_docstring(source: str) -> Docstring:
    """Return the text and the sections of a docstring without indentation."""
    text: list[str] = []
    sections: dict[str, list[str]] = {}
    lines = text
    for line in source.splitlines():
        if match := _SECTION.fullmatch(line):
            lines = sections.setdefault(match[1], [])
        elif lines is not text and line and not line.startswith(" "):
            raise ValueError(f"{line!r} follows the sections of a docstring")
        else:
            lines.append(line)
    named = {name: _parse_items(found) for name, found in sections.items()}
    returns = sections.get("Returns", sections.get("Yields", []))
    return Docstring(
        "\n".join(text).strip(),
        named.get("Args", {}) | named.get("Attributes", {}),
        " ".join(" ".join(returns).split()),
        named.get("Raises", {}),
    )


def _parse_items(lines: list[str]) -> dict[str, str]:
    """Return the texts of a section by name: `name: text`, which may continue deeper."""
    items: dict[str, str] = {}
    name = ""
    for line in lines:
        if re.match(r" {4}\S", line):
            name, _, text = line.strip().partition(": ")
            items[name] = text
        elif line.strip():
            items[name] += f" {line.strip()}"
    return items
