"""Generate docs/reference/python_api.md: public names, signatures and docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

from tests.generated_pages.docstrings import Docstring, read_docstring
from tests.generated_pages.markdown import format_table, make_anchor

MODULES = (
    "raypipe",
    "raypipe.errors",
    "raypipe.opensearch.datasink",
    "raypipe.embedders",
    "raypipe.summarizers",
    "raypipe.sources",
)
"""The public modules; `__all__` has the names of each."""

_CALLABLE_PACKAGES = "raypipe.api.commands"
"""Module of the functions behind the packages that can be called: `raypipe.run`."""

_INTRO = """\
# Python API reference

Generated from signatures and docstrings by `make docs`: edit the code, not this page.

[The guide](../guides/python.md) shows the functions in use.
[CONTRIBUTING.md](../../CONTRIBUTING.md#add-an-embedder-in-three-steps) shows how to add a part."""

_PUBLIC = re.compile(r"[a-z]\w*")


def format_page() -> str:
    """Return the page as Markdown."""
    lines = [_INTRO]
    headings = _choose_headings()
    for module_name in MODULES:
        module = import_module(module_name)
        lines += ["", f"## {module_name}", "", read_docstring(module).summary]
        rows = [
            (f"[`{name}`](#{make_anchor(headings[id(value)])})", _summarize(value))
            for name, value in public_names(module)
        ]
        lines += format_table(("name", "what it is"), rows)
        for name, value in public_names(module):
            if headings[id(value)] == f"{module_name}.{name}":
                lines += ["", *_section(headings[id(value)], value)]
    return "\n".join(lines) + "\n"


def public_names(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the public names of a module and what they are, except its version."""
    for name in module.__all__:
        if name == "__version__":
            continue
        value = getattr(module, name)
        if isinstance(value, ModuleType) and callable(value):
            value = getattr(import_module(_CALLABLE_PACKAGES), name)
        yield name, value


def _choose_headings() -> dict[int, str]:
    """Return the heading of each public object, by its identity; the first name of it counts."""
    headings: dict[int, str] = {}
    for module_name in MODULES:
        for name, value in public_names(import_module(module_name)):
            headings.setdefault(id(value), f"{module_name}.{name}")
    return headings


def _summarize(value: Any) -> str:
    if isinstance(value, ModuleType) or _is_documented(value):
        return read_docstring(value).summary
    return f"The type `{_type_name(value)}`."


def _is_documented(value: Any) -> bool:
    return inspect.isclass(value) or inspect.isfunction(value)


def _section(heading: str, value: Any) -> Iterator[str]:
    if isinstance(value, ModuleType):
        return  # it has a part of the page
    yield f"### {heading}"
    yield ""
    name = heading.rpartition(".")[2]
    if not _is_documented(value):
        yield from ("```python", f"{name} = {_type_name(value)}", "```")
        return
    docstring = read_docstring(value)
    if dataclasses.is_dataclass(value):
        yield docstring.text
        yield from _fields_table(value, docstring)
    else:
        keyword = "class" if inspect.isclass(value) else "def"
        yield from ("```python", *_format_signature(f"{keyword} {name}", value), "```", "")
        yield docstring.text
        yield from format_table(("argument", ""), _code_keys(docstring.arguments))
    yield from _outcome(docstring)
    if inspect.isclass(value):
        yield from _members(value)


def _outcome(docstring: Docstring) -> Iterator[str]:
    if docstring.returns:
        yield from ("", f"Returns: {docstring.returns}")
    yield from format_table(("error", "when"), _code_keys(docstring.raises))


def _code_keys(items: dict[str, str]) -> list[tuple[str, str]]:
    return [(f"`{name}`", text) for name, text in items.items()]


def _fields_table(value: Any, docstring: Docstring) -> Iterator[str]:
    rows = [
        (
            f"`{field.name}`",
            f"`{_type_name(field.type)}`",
            "" if field.default is dataclasses.MISSING else f"`{_show(field.default)}`",
            docstring.arguments.get(field.name, ""),
        )
        for field in dataclasses.fields(value)
        if _PUBLIC.fullmatch(field.name)
    ]
    if any(default for _, _, default, _ in rows):
        return format_table(("attribute", "type", "default", ""), rows)
    without = [(name, kind, text) for name, kind, _, text in rows]
    return format_table(("attribute", "type", ""), without)


def _members(value: type) -> Iterator[str]:
    """Yield a part for each public method and property that a class adds to its bases."""
    members = {
        name: member
        for name, member in vars(value).items()
        if _PUBLIC.fullmatch(name) and not any(hasattr(base, name) for base in value.__bases__)
    }
    properties = {
        name: (_type_name(inspect.signature(member.fget).return_annotation), member)
        for name, member in members.items()
        if isinstance(member, property) and member.fget is not None
    }
    rows = [
        (f"`{name}`", f"`{returned}`", read_docstring(member).text)
        for name, (returned, member) in properties.items()
    ]
    yield from format_table(("property", "type", ""), rows)
    for name, member in members.items():
        if inspect.isfunction(member):
            yield from ("", *_method(name, member))


def _method(name: str, method: Callable[..., Any]) -> Iterator[str]:
    docstring = read_docstring(method)
    yield from ("```python", *_format_signature(f"def {name}", method), "```", "")
    yield docstring.text
    yield from format_table(("argument", ""), _code_keys(docstring.arguments))
    yield from _outcome(docstring)


def _format_signature(start: str, value: Any) -> list[str]:
    """Return the lines of a signature: a single line if it is short."""
    if inspect.isclass(value) and ("__init__" not in vars(value) or Protocol in value.__bases__):
        return [f"{start}({', '.join(base.__name__ for base in value.__bases__)}): ..."]
    signature = inspect.signature(value)
    parts = list(_format_parameters(signature))
    annotation = signature.return_annotation
    has_result = not inspect.isclass(value) and annotation is not inspect.Signature.empty
    end = f" -> {_type_name(annotation)}: ..." if has_result else ": ..."
    line = f"{start}({', '.join(parts)}){end}"
    if len(line) <= 88:
        return [line]
    return [f"{start}(", *(f"    {part}," for part in parts), f"){end}"]


def _format_parameters(signature: inspect.Signature) -> Iterator[str]:
    had_star = False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not had_star:
            yield "*"
            had_star = True
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        had_star = had_star or star == "*"
        text = f"{star}{parameter.name}"
        if parameter.annotation is not parameter.empty:
            text += f": {_type_name(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {getattr(parameter.default, '__name__', _show(parameter.default))}"
        yield text


def _show(value: Any) -> str:
    """Return a value as ruff formats it."""
    return repr(value).replace("'", '"')


def _type_name(annotation: Any) -> str:
    """Return an annotation as it is written in the code, without the names of modules."""
    if isinstance(annotation, str):
        return annotation.replace("'", '"')
    if isinstance(annotation, type):
        return annotation.__name__
    name = re.sub(r"\b(\w+\.)+(?=\w)", "", str(annotation)).replace("NoneType", "None")
    return name.replace("'", '"')
