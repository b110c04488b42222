"""Put the options of a settings file before those of a command line, which win."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raypipe.cli.settings import option_names
from raypipe.cli.settings.file import Entry, SettingsFile, display_path
from raypipe.cli.settings.hydra_text import format_override
from raypipe.config.group_options import LISTS, list_choices, split_choices
from raypipe.config.origins import override_key
from raypipe.config.validate import QUOTING_HINT
from raypipe.core.errors import OptionError

_OVERRIDE = re.compile(r"(\+{1,2}|~)?[A-Za-z_][\w./@-]*=|~[A-Za-z_][\w./@-]*$")
_SUBJECT = re.compile(r"(?:there is no option )?['+]*([A-Za-z_][\w.]*)")
_CONFIG_DIR = ("-cd", "--config-dir")
_NAMED_COMMANDS = 3
_YAML_HINT = "put quotes around it"


@dataclass(frozen=True)
class MergedArguments:
    """The arguments of a command: those of a settings file, then those that were typed.

    Args:
        command: The command.
        args: All arguments for Hydra.
        typed: The arguments of the command line that the command has.
        entries: The options of the settings file among `args`.
        settings: The settings file; None without one.
        notes: Lines for the user: the file, and the options that are not used.
    """

    command: str
    args: Sequence[str]
    typed: Sequence[str]
    entries: Sequence[Entry] = ()
    settings: SettingsFile | None = None
    notes: Sequence[str] = ()

    def locate(self, message: str) -> str:
        """Return an error message, with file and line if it is about an option of the file."""
        match = _SUBJECT.match(message)
        name = match[1].rstrip(".") if match else ""
        for entry in self.entries:
            is_inside = isinstance(entry.value, Mapping) and name.startswith(f"{entry.name}.")
            if name == entry.name or is_inside:
                return f"{message.replace(QUOTING_HINT, _YAML_HINT)} ({entry.place})"
        return message


def merge_arguments(
    command: str, args: Sequence[str], settings: SettingsFile | None
) -> MergedArguments:
    """Return the arguments of a command, and notes about options that it does not use.

    Args:
        command: The command.
        args: The arguments that were typed after it, without `--settings` and `profile=`.
        settings: The settings file; None without one.

    Raises:
        OptionError: A group of another command has no such choice.
    """
    config_dir = _typed_config_dir(args) or (settings.config_dir if settings else None)
    foreign = [arg for arg in args if _is_foreign(command, arg, config_dir)]
    typed = [arg for arg in args if arg not in foreign]
    notes = [_describe_foreign(command, foreign)] if foreign else []
    if settings is None:
        return MergedArguments(command, typed, typed, notes=notes)
    entries, dropped = merge_entries(settings, [arg for arg in args if _OVERRIDE.match(arg)])
    used = [entry for entry in entries if option_names.takes_from_file(command, entry.name)]
    lost = [line for name, line in dropped if option_names.takes_from_file(command, name)]
    overrides = [format_override(_key_for_hydra(entry), entry.value) for entry in used]
    flags = _config_dir_flags(settings, args)
    notes = [describe_file(settings), *lost, *notes]
    return MergedArguments(command, [*overrides, *typed, *flags], typed, used, settings, notes)


def _key_for_hydra(entry: Entry) -> str:
    """Return the key with `++` for a name in a table that is empty by default."""
    is_new = option_names.is_in_table(entry.name) and not entry.key.startswith("+")
    return f"++{entry.key}" if is_new else entry.key


def describe_file(settings: SettingsFile) -> str:
    """Return the log line about a settings file."""
    profile = f", profile {settings.profile}" if settings.profile else ""
    return f"Settings: {settings.path}{profile}"


def merge_entries(
    settings: SettingsFile, overrides: Iterable[str] = ()
) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Return the options of a file that hold beside a command line, and those that do not.

    An option that is given again is left out. Where another option file of a group is chosen, the
    options of the file's own choice are left out, too: they belong to another part.

    Args:
        settings: The settings file.
        overrides: The overrides of the command line.

    Returns:
        The options, and a name and a line for each group whose options are left out.
    """
    config_dir = settings.config_dir
    chosen = list(settings.chosen)
    own = {entry.name: entry.value for entry in chosen}
    choices = {
        name: (str(value), f"profile {settings.profile}")
        for name, value in own.items()
        if name in option_names.group_names()
    }
    kept, dropped = _drop_other_choices(settings.shared, choices, config_dir)
    entries = [*(entry for entry in kept if entry.name not in own), *chosen]
    typed = [(override_key(arg), arg) for arg in overrides]
    choices = {
        name: (arg.partition("=")[2].strip("'\""), arg)
        for name, arg in typed
        if name in option_names.group_names()
    }
    entries, more = _drop_other_choices(entries, choices, config_dir)
    names = {name for name, _ in typed}
    return [entry for entry in entries if entry.name not in names], [*dropped, *more]


def _drop_other_choices(
    entries: Sequence[Entry], choices: Mapping[str, tuple[str, str]], config_dir: Path | None
) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Return the entries without options of other choices, and a line for each such group.

    Args:
        entries: The options.
        choices: For each group that is chosen later: the choice, and where it was made.
        config_dir: Folder with option files of the user.
    """
    before = {entry.name: str(entry.value) for entry in entries if entry.name in choices}
    dropped: dict[str, list[Entry]] = {}
    for entry in entries:
        group = option_names.top_name(entry.name)
        if group not in choices or entry.name == group or group == "scale":
            continue
        names = split_choices(choices[group][0])
        has = [option_names.choice_has(group, name, entry.name, config_dir) for name in names]
        if group in LISTS:
            is_kept = any(has)
        else:
            is_kept = names == split_choices(before[group]) if group in before else all(has)
        if not is_kept:
            dropped.setdefault(group, []).append(entry)
    gone = [entry for group in dropped.values() for entry in group]
    lines = []
    for group, lost in dropped.items():
        chosen, origin = choices[group]
        choice = origin if "=" in origin or origin[0] == "~" else f"{group}={chosen} of {origin}"
        old = f"{group}={before[group]}" if group in before else "another choice"
        unused = ", ".join(f"{entry.name} ({entry.place})" for entry in lost)
        lines.append((group, f"{choice} replaces {old}; not used: {unused}"))
    return [entry for entry in entries if entry not in gone], lines


def _is_foreign(command: str, arg: str, config_dir: Path | None) -> bool:
    """Return whether an argument is an option that only other commands have."""
    if not _OVERRIDE.match(arg):
        return False
    name = override_key(arg)
    if option_names.takes(command, name) or not option_names.commands_with(name):
        return False
    if name in option_names.group_names():
        choices = option_names.all_choices(name, config_dir)
        if not set(split_choices(arg.partition("=")[2])) <= set(choices):
            problem = list_choices(arg.partition("=")[2], choices)
            raise OptionError(f"{arg}: there is no such option; {problem}")
        return True
    is_added = arg.startswith("+") and option_names.top_name(name) in option_names.group_names()
    return is_added or option_names.is_option(name, config_dir)


def _describe_foreign(command: str, foreign: Sequence[str]) -> str:
    names = list(dict.fromkeys(map(override_key, foreign)))
    owners = option_names.commands_with(names[0])
    more = ", ..." if len(owners) > _NAMED_COMMANDS else ""
    verb = "is an option" if len(names) == 1 else "are options"
    return (
        f"{', '.join(names)} {verb} of other commands ({', '.join(owners[:_NAMED_COMMANDS])}{more})"
        f"; {command} ignores {'it' if len(names) == 1 else 'them'}"
    )


def _config_dir_flags(settings: SettingsFile, args: Sequence[str]) -> list[str]:
    if settings.config_dir is None or _typed_config_dir(args) is not None:
        return []
    return ["--config-dir", str(settings.config_dir)]


def _typed_config_dir(args: Sequence[str]) -> Path | None:
    for at, arg in enumerate(args):
        flag, equals, value = arg.partition("=")
        if flag in _CONFIG_DIR:
            return Path(value if equals else "".join(args[at + 1 : at + 2]))
    return None


def place_of(entry: Entry) -> str:
    """Return where an option of a settings file comes from, with its profile."""
    return f"{entry.place}, profile {entry.profile}" if entry.profile else entry.place


def name_of(settings: SettingsFile) -> str:
    """Return the name of a settings file for messages."""
    return display_path(settings.path)
