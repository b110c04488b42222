"""The page of all options, made from conf/: `make docs` writes it, a test holds it up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from raypipe.cli.app import COMMANDS
from raypipe.cli.config_docs import (
    choices,
    comments,
    groups,
    header,
    leaves,
    shown,
    sources,
    values,
)
from raypipe.config import build as config

_INTRO = """\
# Options

Made from `conf/` by `make docs`; edit the configs, not this page.

`raypipe COMMAND GROUP=CHOICE OPTION=VALUE`: a choice brings its own options, a value changes one
of them. `raypipe COMMAND --help` shows what a line would use, `--cfg job` prints it as YAML, and
`-m OPTION=A,B` runs one job for each value. `???` must be given."""


def page() -> str:
    """Return the page, in Markdown."""
    used = {name: groups(name) for name in COMMANDS}
    names = list(dict.fromkeys(group for own in used.values() for group in own))
    lines = [_INTRO, "", "| command | what it does |", "|---|---|"]
    lines += [f"| [`{name}`](#raypipe-{name}) | {_cell(text)} |" for name, text in COMMANDS.items()]
    lines += ["", "| group | choices | of |", "|---|---|---|"]
    for group in names:
        of = " ".join(f"`{command}`" for command, own in used.items() if group in own)
        links = " ".join(f"[`{one}`](#{group}{one})" for one in choices(group))
        lines.append(f"| `{group}` | {links} | {of} |")
    for command in COMMANDS:
        lines += ["", *_command(command)]
    for group in names:
        for choice in choices(group):
            lines += ["", *_choice(group, choice)]
    return "\n".join(lines) + "\n"


def _command(command: str) -> Iterator[str]:
    about, *examples = header(config.conf_dir() / f"{command}.yaml")
    yield f"## raypipe {command}"
    yield ""
    yield _sentence(about.partition(": ")[2])
    if examples:
        yield from ("", "```sh", *examples, "```")
    if chosen := groups(command):
        yield ""
        yield f"Groups: {', '.join(f'`{group}={choice}`' for group, choice in chosen.items())}."
    yield from _table([row for path in sources(command) for row in _rows(path, "")])


def _choice(group: str, choice: str) -> Iterator[str]:
    path = config.conf_dir() / group / f"{choice}.yaml"
    # A preset sets options of the whole config; a part's file stands for its group.
    whole = path.read_text(encoding="utf-8").startswith("# @package _global_")
    yield f"## {group}={choice}"
    yield ""
    yield " ".join(header(path))
    yield from _table(list(_rows(path, "" if whole else group)))


def _rows(path: Path, group: str) -> Iterator[tuple[str, str, str]]:
    """Yield option, default and meaning of what a file sets."""
    said, before = comments(path), header(path)[-1]
    for name, value in leaves("", values(path)):
        if name.endswith("_target_") or str(value).startswith("${"):
            continue
        # A comment may stand for the keys behind it, too: "These three are for ray=local".
        about = said.get(name) or said.get(name.rpartition(".")[0], before)
        before = about
        yield f"{group}.{name}" if group else name, shown(value), about


def _table(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    if rows:
        yield from ("", "| option | default | |", "|---|---|---|")
    for option, default, about in rows:
        yield f"| `{option}` | `{_cell(default)}` | {_cell(about)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def main(path: str) -> None:
    """Write the page."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
